"""Names of MQTT topics, rooted at gateways and twins."""

from typing import Final

__all__ = ["GATEWAYS", "TWINS", "gateway_topic", "split_gateway_topic", "twin_topic"]

GATEWAYS: Final = "meshtwin/v1/gateways"
TWINS: Final = "meshtwin/v1/twins"


def gateway_topic(gateway_id: str, leaf: str) -> str:
    """For example ``meshtwin/v1/gateways/gw-north/telemetry/neighbours``."""
    return f"{GATEWAYS}/{gateway_id}/{leaf}"


def split_gateway_topic(topic: str) -> tuple[str, str] | None:
    """Gateway id and leaf of a gateway topic; None for any other topic."""
    prefix = GATEWAYS + "/"
    if not topic.startswith(prefix):
        return None
    gateway_id, slash, leaf = topic.removeprefix(prefix).partition("/")
    return (gateway_id, leaf) if slash and gateway_id and leaf else None


def twin_topic(namespace: str, name: str, leaf: str) -> str:
    """For example ``meshtwin/v1/twins/buildings.office/summary``."""
    return f"{TWINS}/{namespace}.{name}/{leaf}"
