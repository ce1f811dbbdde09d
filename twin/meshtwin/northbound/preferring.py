"""How long a client would rather wait than ask again: ``Prefer: wait=`` seconds (RFC 7240)."""

import re
from typing import Annotated, Final

from fastapi import Header

__all__ = ["WAIT_MOST_S", "Prefer", "read_wait_s"]

Prefer = Annotated[str | None, Header(description="`wait=` seconds, at most 60 (RFC 7240)")]

WAIT_MOST_S: Final = 60.0  # proxies give up an idle connection after a minute or so

_WAIT: Final = re.compile(r'(?:^|[,;])\s*wait\s*=\s*"?([0-9]{1,9})"?\s*(?:[,;]|$)', re.IGNORECASE | re.ASCII)


def read_wait_s(prefer: str | None) -> float:
    """The seconds asked for, at most `WAIT_MOST_S`; 0 where none are: what is not understood is no fault.

    >>> read_wait_s("respond-async, wait=10")
    10.0
    """
    found = _WAIT.search(prefer or "")
    return 0.0 if found is None else min(float(found[1]), WAIT_MOST_S)
