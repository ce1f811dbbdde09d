"""Who may connect to the local broker and use which topics, and how mosquitto wants that written. Pure.

The same rights as the roles of the dynamic-security plugin on a cluster: a gateway and a twin can publish
what is theirs and nothing else, commands come from the operator alone.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from meshtwin.contract.topics import GATEWAYS, TWINS, gateway_topic

__all__ = ["Account", "acl_text", "gateway_account", "operator_account", "password_text", "twin_account"]

# mosquitto's password format $7$: PBKDF2-HMAC-SHA512 (mosquitto_passwd(1)). The passwords are random,
# 256 bits, so a high number of iterations would buy nothing.
ITERATIONS: Final = 101
HASH_BYTES: Final = 64


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
    leaves = ("state", "telemetry/+", "configuration/result", "configuration/reported")
    return Account(
        username=username,
        publish=tuple(gateway_topic(gateway_id, leaf) for leaf in leaves),
        receive=(
            gateway_topic(gateway_id, "configuration/command"),
            gateway_topic(gateway_id, "configuration/reported"),  # its own words of before a restart
        ),
    )


def twin_account(username: str) -> Account:
    """Telemetry of the gateways and summaries of twins to hear; its own topics to publish.

    ``username`` is ``twin.<namespace>.<name>``, the topics are rooted at ``<namespace>.<name>``.
    """
    leaves = ("state", "telemetry/+", "configuration/result", "configuration/reported")
    return Account(
        username=username,
        publish=(f"{TWINS}/{username.removeprefix('twin.')}/#",),
        receive=(*(f"{GATEWAYS}/+/{leaf}" for leaf in leaves), f"{TWINS}/#"),
    )


def password_text(passwords: Sequence[tuple[str, str]], salts: Sequence[bytes]) -> str:
    """mosquitto's password file for (user, password) pairs, one salt of 12 bytes each."""
    lines = []
    for (username, password), salt in zip(passwords, salts, strict=True):
        digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ITERATIONS, HASH_BYTES)
        encoded = (base64.b64encode(part).decode() for part in (salt, digest))
        lines.append(f"{username}:$7${ITERATIONS}${'$'.join(encoded)}")
    return "".join(f"{line}\n" for line in lines)


def acl_text(accounts: Sequence[Account]) -> str:
    """mosquitto's ACL file: whoever is not named may do nothing."""
    blocks = []
    for account in accounts:
        rules = [f"topic write {topic}" for topic in account.publish]
        rules += [f"topic read {topic}" for topic in account.receive]
        blocks.append("\n".join([f"user {account.username}", *rules]))
    return "\n\n".join(blocks) + "\n"
