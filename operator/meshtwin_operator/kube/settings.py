"""Settings of the operator's own process, from environment variables with the prefix ``MESHTWIN_``."""

import os
import socket
from dataclasses import dataclass, field
from typing import Self

from meshtwin.errors import InvalidInput
from meshtwin_operator.kube.render import RenderSettings

__all__ = ["OperatorSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorSettings:
    """``namespaces`` empty: the whole cluster."""

    render: RenderSettings
    namespaces: tuple[str, ...] = ()
    operator_namespace: str = "meshtwin-system"
    lease_name: str = "meshtwin-operator"
    identity: str = field(default_factory=socket.gethostname)
    health_port: int = 8081
    workers: int = 8

    @classmethod
    def from_environment(cls) -> Self:
        """Raises `InvalidInput` naming the variable that is missing or wrong."""
        environment = os.environ
        image = environment.get("MESHTWIN_IMAGE", "")
        if not image:
            raise InvalidInput("MESHTWIN_IMAGE is not set: the image that twins run", place="environment")
        port = environment.get("MESHTWIN_HEALTH_PORT", "8081")
        if not port.isdecimal() or not 0 < int(port) < 65_536:
            raise InvalidInput(f"MESHTWIN_HEALTH_PORT {port!r} is no port: 1 to 65535", place="environment")
        namespace = environment.get("MESHTWIN_OPERATOR_NAMESPACE", "meshtwin-system")
        return cls(
            render=RenderSettings(
                image=image,
                image_pull_policy=environment.get("MESHTWIN_IMAGE_PULL_POLICY", "IfNotPresent"),
                allowed_image_prefixes=_words(environment.get("MESHTWIN_ALLOWED_IMAGES", "")),
                operator_namespace=namespace,
            ),
            namespaces=_words(environment.get("MESHTWIN_NAMESPACES", "")),
            operator_namespace=namespace,
            # A process that starts again is another holder: its epoch must be higher.
            identity=f"{environment.get('HOSTNAME', socket.gethostname())}-{os.getpid()}-{os.urandom(3).hex()}",
            health_port=int(port),
        )


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.replace(",", " ").split() if word)
