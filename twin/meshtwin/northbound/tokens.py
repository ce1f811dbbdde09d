"""Bearer tokens of the REST interface: JWT, HS256, signed with the key of a tree of twins."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Final

import jwt

from meshtwin.errors import InvalidInput

__all__ = ["AUDIENCE", "Identity", "Role", "mint", "verify"]

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


def _parse_role(text: object) -> Role:
    for role in Role:
        if role.claim == text:
            return role
    known = ", ".join(role.claim for role in Role)
    raise InvalidInput(f"role {text!r} is none of {known}", reason="Unauthorized", place="role")
