"""Accounts of the local broker as mosquitto's password and ACL files. Pure; the rights are those of a cluster."""

import base64
import hashlib
from collections.abc import Sequence
from typing import Final

from meshtwin_operator.southbound.accounts import Account, gateway_account, operator_account, twin_account

__all__ = ["Account", "acl_text", "gateway_account", "operator_account", "password_text", "twin_account"]

# mosquitto's password format $7$: PBKDF2-HMAC-SHA512 (mosquitto_passwd(1)). The passwords are random,
# 256 bits, so a high number of iterations would buy nothing.
ITERATIONS: Final = 101
HASH_BYTES: Final = 64


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
