"""Who may connect to a broker of ours and use which topics. Pure; the same rights in both drivers.

A gateway and a twin can publish what is theirs and nothing else: commands come from the operator alone.
"""

from dataclasses import dataclass

from meshtwin.contract.topics import GATEWAYS, TWINS, gateway_topic

__all__ = ["Account", "gateway_account", "operator_account", "twin_account"]

GATEWAY_LEAVES = ("state", "telemetry/+", "configuration/result", "configuration/reported")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One user with the topic filters it may publish to and receive from."""

    username: str
    publish: tuple[str, ...]
    receive: tuple[str, ...]


def operator_account(username: str) -> Account:
    """Commands to all gateways, and everything to hear."""
    return Account(
        username=username,
        publish=(f"{GATEWAYS}/+/configuration/command", f"{GATEWAYS}/+/#", f"{TWINS}/#"),  # clears retained ones
        receive=(f"{GATEWAYS}/#", f"{TWINS}/#"),
    )


def gateway_account(username: str, gateway_id: str) -> Account:
    """What a gateway says of its own, and the commands to it."""
    return Account(
        username=username,
        publish=tuple(gateway_topic(gateway_id, leaf) for leaf in GATEWAY_LEAVES),
        receive=(
            gateway_topic(gateway_id, "configuration/command"),
            gateway_topic(gateway_id, "configuration/reported"),  # its own words of before a restart
        ),
    )


def twin_account(username: str) -> Account:
    """Telemetry of the gateways and summaries of twins to hear; its own topics to publish.

    ``username`` is ``twin.<namespace>.<name>``, the topics are rooted at ``<namespace>.<name>``.
    """
    return Account(
        username=username,
        publish=(f"{TWINS}/{username.removeprefix('twin.')}/#",),
        receive=(*(f"{GATEWAYS}/+/{leaf}" for leaf in GATEWAY_LEAVES), f"{TWINS}/#"),
    )
