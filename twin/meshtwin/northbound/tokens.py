"""Bearer tokens of the REST interface: JWT, HS256.

The key of a tree of twins is in each of them: it signs tokens of viewers, with which a parent reads its children. A
key of its own, which nobody else but the operator has, signs a twin's tokens of higher roles: so a twin that was
broken into asks nothing of another one in the operator's name.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Final

import jwt

from meshtwin.errors import InvalidInput

__all__ = ["AUDIENCE", "Identity", "Keys", "Role", "mint", "verify", "verify_at"]

AUDIENCE: Final = "meshtwin"
ALGORITHM: Final = "HS256"
LEEWAY: Final = timedelta(seconds=30)  # clocks of pods differ by seconds


class Role(IntEnum):
    """What a caller may do; a higher role may what a lower one may."""

    VIEWER = 1  # read
    ENGINEER = 2  # ask the models
    OPERATOR = 3  # the operator itself

    @property
    def claim(self) -> str:
        """As it stands in a token."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Identity:
    """Who calls."""

    subject: str
    role: Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Keys by which one twin knows whom it may answer."""

    tree: bytes = field(repr=False)
    own: bytes | None = field(default=None, repr=False)  # None: the tree's key signs every role


def mint(key: bytes, subject: str, role: Role | str, lifetime_s: float, now: datetime) -> str:
    """A token for ``subject`` that is valid for ``lifetime_s`` seconds from ``now``."""
    claim = role.claim if isinstance(role, Role) else _parse_role(role).claim
    claims = {
        "sub": subject,
        "role": claim,
        "aud": AUDIENCE,
        "iat": now,
        "exp": now + timedelta(seconds=lifetime_s),
    }
    return jwt.encode(claims, key, algorithm=ALGORITHM)


def verify(key: bytes, token: str, now: datetime) -> Identity:
    """Who the token speaks for; raises `InvalidInput` (reason ``Unauthorized``) with what is wrong with it."""
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            options={"require": ["sub", "role", "aud", "exp"], "verify_exp": False, "verify_iat": False},
        )
    except jwt.InvalidTokenError as error:
        raise InvalidInput(f"token refused: {error}", reason="Unauthorized") from error
    expiry = claims["exp"]
    if not isinstance(expiry, int | float) or expiry + LEEWAY.total_seconds() < now.timestamp():
        raise InvalidInput(f"token expired at {expiry}", reason="Unauthorized", place="exp")
    return Identity(str(claims["sub"]), _parse_role(claims["role"]))


def verify_at(keys: Keys, token: str, now: datetime) -> Identity:
    """Who a token speaks for at the twin of ``keys``; raises as `verify`, also for a role that its key may not give."""
    if keys.own is not None:
        try:
            return verify(keys.own, token, now)
        except InvalidInput as error:
            if not isinstance(error.__cause__, jwt.InvalidSignatureError):
                raise
    identity = verify(keys.tree, token, now)
    if keys.own is not None and identity.role > Role.VIEWER:
        message = f"role {identity.role.claim} of {identity.subject!r} is signed with the tree's key, not this twin's"
        raise InvalidInput(message, reason="Unauthorized", place="role")
    return identity


def _parse_role(text: object) -> Role:
    for role in Role:
        if role.claim == text:
            return role
    known = ", ".join(role.claim for role in Role)
    raise InvalidInput(f"role {text!r} is none of {known}", reason="Unauthorized", place="role")
