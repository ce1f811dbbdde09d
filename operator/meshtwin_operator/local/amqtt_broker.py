"""The fallback broker as a process: ``python -m meshtwin_operator.local.amqtt_broker PORT ACCESS.json``.

amqtt in pure Python with one plugin of ours: users, passwords and topics from a file that may change.
MQTT 3.1.1 only and slow: for machines without mosquitto.
"""

import asyncio
import hmac
import json
import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amqtt.broker import Broker
from amqtt.contexts import Action, BaseContext
from amqtt.plugins.base import BaseAuthPlugin, BaseTopicPlugin
from amqtt.session import Session

__all__ = ["AccessFile", "AuthPlugin", "TopicPlugin", "is_covered"]

HOST = "127.0.0.1"


class AccessFile:
    """``{"passwords": {user: password}, "acl": {user: {"publish": [...], "receive": [...]}}}``, read anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen_ns = -1
        self._passwords: dict[str, str] = {}
        self._acl: dict[str, dict[str, list[str]]] = {}

    def is_password(self, username: str | None, password: str | None) -> bool:
        """Whether the password is that of the user."""
        self._refresh()
        known = self._passwords.get(username or "")
        return known is not None and hmac.compare_digest(known.encode(), (password or "").encode())

    def may(self, username: str | None, way: str, topic: str) -> bool:
        """Whether the user may ``publish`` to or ``receive`` from a topic (or subscribe to a filter)."""
        self._refresh()
        return any(is_covered(topic, allowed) for allowed in self._acl.get(username or "", {}).get(way, []))

    def _refresh(self) -> None:
        written_ns = self._path.stat().st_mtime_ns
        if written_ns != self._seen_ns:
            content = json.loads(self._path.read_text())
            self._passwords, self._acl = content["passwords"], content["acl"]
            self._seen_ns = written_ns


def is_covered(wanted: str, allowed: str) -> bool:
    """Whether every topic that ``wanted`` (a topic or filter) matches is matched by ``allowed``."""
    wanted_parts, allowed_parts = wanted.split("/"), allowed.split("/")
    for index, part in enumerate(allowed_parts):
        if part == "#":
            return True
        if index >= len(wanted_parts) or wanted_parts[index] == "#":
            return False
        if part not in ("+", wanted_parts[index]):
            return False
    return len(wanted_parts) == len(allowed_parts)


class AuthPlugin(BaseAuthPlugin):  # type: ignore[misc]  # amqtt has no types
    """Passwords of the access file."""

    def __init__(self, context: BaseContext) -> None:
        super().__init__(context)
        self._access = AccessFile(Path(self.config.path))

    async def authenticate(self, *, session: Session) -> bool:
        """Whether the session may begin."""
        return self._access.is_password(session.username, session.password)

    @dataclass
    class Config:
        """Where the access file is."""

        path: str = ""


class TopicPlugin(BaseTopicPlugin):  # type: ignore[misc]  # amqtt has no types
    """Topics of the access file."""

    def __init__(self, context: BaseContext) -> None:
        super().__init__(context)
        self._access = AccessFile(Path(self.config.path))

    async def topic_filtering(
        self, *, session: Session | None = None, topic: str | None = None, action: Action | None = None
    ) -> bool:
        """Whether the session may do that with the topic."""
        way = "publish" if action == Action.PUBLISH else "receive"
        return session is not None and topic is not None and self._access.may(session.username, way, topic)

    @dataclass
    class Config:
        """Where the access file is."""

        path: str = ""


async def _serve(port: int, access: str) -> None:
    module = AuthPlugin.__module__ if __name__ != "__main__" else "meshtwin_operator.local.amqtt_broker"
    config: dict[str, Any] = {
        "listeners": {"default": {"type": "tcp", "bind": f"{HOST}:{port}", "max_connections": 200}},
        "plugins": {
            f"{module}.AuthPlugin": {"path": access},
            f"{module}.TopicPlugin": {"path": access},
        },
    }
    broker = Broker(config)
    await broker.start()
    try:
        await asyncio.Event().wait()
    finally:
        await broker.shutdown()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    asyncio.run(_serve(int(sys.argv[1]), sys.argv[2]))
