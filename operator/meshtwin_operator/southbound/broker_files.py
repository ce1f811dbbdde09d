"""Files of an embedded mosquitto: its configuration, and the first dynamic-security state. Pure.

The first state holds the operator alone, who makes all other accounts over the control topic.
"""

import base64
import hashlib
import json
from typing import Any, Final

from meshtwin_operator.southbound.accounts import Account

__all__ = [
    "CONTROL_TOPIC",
    "ITERATIONS",
    "initial_security",
    "mosquitto_configuration",
    "password_digest",
    "role_acls",
]

CONTROL_TOPIC: Final = "$CONTROL/dynamic-security/v1"
ITERATIONS: Final = 101  # passwords are random, 256 bits: a high number would buy nothing
HASH_BYTES: Final = 64


def mosquitto_configuration(*, port: int, certificate_folder: str, data_folder: str, plugin: str) -> str:
    """``mosquitto.conf`` with TLS 1.2 or newer, dynamic security, persistence, bounded queues."""
    return "\n".join(
        (
            f"listener {port}",
            f"certfile {certificate_folder}/tls.crt",
            f"keyfile {certificate_folder}/tls.key",
            "tls_version tlsv1.2",
            "allow_anonymous false",
            f"plugin {plugin}",
            f"plugin_opt_config_file {data_folder}/dynamic-security.json",
            "persistence true",
            f"persistence_location {data_folder}/",
            "autosave_interval 30",
            "max_inflight_messages 1000",
            "max_queued_messages 20000",
            "message_size_limit 4194304",  # a result of 2,000 nodes with values read back takes about 0.5 MB
            "max_keepalive 300",
            "log_dest stdout",
            "log_type error",
            "log_type warning",
            "log_type notice",
            "",
        )
    )


def role_acls(account: Account, *, administrator: bool = False) -> list[dict[str, Any]]:
    """Rights of one account as dynamic-security ACLs.

    Anybody may subscribe to anything: what is *received* is what counts, and that is listed.
    """
    acls = [_acl("publishClientSend", topic) for topic in account.publish]
    acls += [_acl("publishClientReceive", topic) for topic in account.receive]
    acls.append(_acl("subscribePattern", "#"))
    acls.append(_acl("unsubscribePattern", "#"))
    if administrator:
        acls.append(_acl("publishClientSend", "$CONTROL/dynamic-security/#"))
        acls.append(_acl("publishClientReceive", "$CONTROL/dynamic-security/#"))
        acls.append(_acl("subscribePattern", "$CONTROL/dynamic-security/#"))
    return acls


def initial_security(operator: Account, password: str, salt: bytes) -> str:
    """``dynamic-security.json`` with the operator as administrator; ``salt`` of 12 bytes."""
    state = {
        "defaultACLAccess": {
            "publishClientSend": False,
            "publishClientReceive": False,
            "subscribe": False,
            "unsubscribe": True,
        },
        "clients": [
            {
                "username": operator.username,
                "textname": "meshtwin operator",
                "roles": [{"rolename": operator.username}],
                "password": base64.b64encode(password_digest(password, salt)).decode(),
                "salt": base64.b64encode(salt).decode(),
                "iterations": ITERATIONS,
            }
        ],
        "groups": [],
        "roles": [{"rolename": operator.username, "acls": role_acls(operator, administrator=True)}],
    }
    return json.dumps(state, indent=1)


def password_digest(password: str, salt: bytes) -> bytes:
    """PBKDF2-HMAC-SHA512, as in mosquitto's password files ($7$) and its dynamic-security plugin 2.0."""
    return hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ITERATIONS, HASH_BYTES)


def _acl(kind: str, topic: str) -> dict[str, Any]:
    return {"acltype": kind, "topic": topic, "priority": 0, "allow": True}
