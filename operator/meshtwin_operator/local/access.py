"""Accounts of the local broker as mosquitto's password and ACL files. Pure; the rights are those of a cluster."""

import base64
from collections.abc import Sequence

from meshtwin_operator.southbound.accounts import Account
from meshtwin_operator.southbound.broker_files import ITERATIONS, password_digest

__all__ = ["acl_text", "password_text"]


def password_text(passwords: Sequence[tuple[str, str]], salts: Sequence[bytes]) -> str:
    """mosquitto's password file for (user, password) pairs, one salt of 12 bytes each."""
    lines = []
    for (username, password), salt in zip(passwords, salts, strict=True):
        encoded = (base64.b64encode(part).decode() for part in (salt, password_digest(password, salt)))
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
