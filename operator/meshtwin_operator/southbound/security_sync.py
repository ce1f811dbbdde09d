"""Keeps the accounts of an embedded mosquitto as they should be, over its control topic. Level-triggered.

Passwords cannot be read back: a fingerprint of each is kept in the client's ``textdescription``. They are
random, 256 bits, so that a fingerprint tells nothing.
"""

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from meshtwin.connectors.mqtt import BrokerSettings, MqttLink
from meshtwin.errors import Unavailable
from meshtwin_operator.southbound.accounts import Account
from meshtwin_operator.southbound.broker_files import CONTROL_TOPIC, role_acls

__all__ = ["Credential", "plan_changes", "sync_accounts"]

ANSWER_WITHIN_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """An account and its password."""

    account: Account
    password: str = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """Tells whether the password at the broker is this one."""
        return hashlib.sha256(f"{self.account.username}\0{self.password}".encode()).hexdigest()[:16]


async def sync_accounts(settings: BrokerSettings, wanted: Sequence[Credential], *, client_id: str) -> int:
    """Make the broker's accounts those ``wanted`` (our own is left alone); gives the number of commands sent.

    Raises `Unavailable` when the broker does not answer or refuses.
    """
    link = MqttLink(settings, client_id=client_id)
    link.subscribe(f"{CONTROL_TOPIC}/response")
    link.start()
    try:
        await link.wait_connected(ANSWER_WITHIN_S)
        clients, roles = await _ask(
            link,
            [
                {"command": "listClients", "verbose": True, "count": -1},
                {"command": "listRoles", "verbose": True, "count": -1},
            ],
        )
        commands = plan_changes(
            wanted,
            clients.get("data", {}).get("clients", []),
            roles.get("data", {}).get("roles", []),
            keep=settings.username or "",
        )
        if commands:
            await _ask(link, commands)
        return len(commands)
    finally:
        await link.stop()


def plan_changes(
    wanted: Sequence[Credential],
    clients: Sequence[dict[str, Any]],
    roles: Sequence[dict[str, Any]],
    *,
    keep: str,
) -> list[dict[str, Any]]:
    """Commands that turn what the broker has into what is wanted; none when it is as wanted. Pure."""
    here = {client["username"]: client for client in clients}
    roles_here = {role["rolename"]: role for role in roles}
    names = {credential.account.username for credential in wanted}
    commands: list[dict[str, Any]] = []
    for credential in wanted:
        commands += _plan_one(credential, here, roles_here)
    for name in sorted(set(here) - names - {keep}):
        commands.append({"command": "deleteClient", "username": name})
    for name in sorted(set(roles_here) - names - {keep}):
        commands.append({"command": "deleteRole", "rolename": name})
    return commands


def _plan_one(
    credential: Credential, here: dict[str, dict[str, Any]], roles_here: dict[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    name, acls = credential.account.username, role_acls(credential.account)
    commands: list[dict[str, Any]] = []
    role = roles_here.get(name)
    if role is None:
        commands.append({"command": "createRole", "rolename": name, "acls": acls})
    elif _acl_set(role.get("acls", [])) != _acl_set(acls):
        commands.append({"command": "modifyRole", "rolename": name, "acls": acls})
    secret = {"password": credential.password, "textdescription": credential.fingerprint}
    client = here.get(name)
    if client is None:
        commands.append({"command": "createClient", "username": name, "roles": [{"rolename": name}], **secret})
    elif client.get("textdescription") != credential.fingerprint:
        commands.append({"command": "modifyClient", "username": name, **secret})
        # Whoever is connected with the old password is sent away.
        commands.append({"command": "disableClient", "username": name})
        commands.append({"command": "enableClient", "username": name})
    return commands


def _acl_set(acls: Sequence[dict[str, Any]]) -> set[tuple[str, str, bool]]:
    return {(acl["acltype"], acl["topic"], bool(acl.get("allow"))) for acl in acls}


async def _ask(link: MqttLink, commands: list[dict[str, Any]]) -> list[dict[str, Any]]:
    await link.publish(CONTROL_TOPIC, json.dumps({"commands": commands}).encode())
    answers: list[dict[str, Any]] = []
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            while len(answers) < len(commands):
                message = await link.messages.get()
                link.acknowledge(message)
                answers += json.loads(message.payload)["responses"]
    except TimeoutError as error:
        raise Unavailable(f"the broker answered {len(answers)} of {len(commands)} account commands") from error
    for answer in answers:
        if "error" in answer:
            raise Unavailable(f"the broker refused {answer.get('command')}: {answer['error']}")
    return answers
