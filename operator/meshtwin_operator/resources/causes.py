"""Why an object is refused: path, message, and the kind of fault, as the API server says them."""

from dataclasses import dataclass
from enum import Enum
from typing import Final

__all__ = ["BLOCKING", "Cause", "Fault"]


class Fault(Enum):
    """``reason`` of a cause in a ``Status`` of the API server."""

    DUPLICATE = "FieldValueDuplicate"
    FORBIDDEN = "FieldValueForbidden"
    INVALID = "FieldValueInvalid"
    NOT_SUPPORTED = "FieldValueNotSupported"
    REQUIRED = "FieldValueRequired"
    TOO_LONG = "FieldValueTooLong"
    TOO_MANY = "FieldValueTooMany"
    TYPE = "FieldValueTypeInvalid"
    UNKNOWN_FIELD = "UnknownField"  # the API server has no cause for it, only the text of its refusal


# With one of these present the API server checks no CEL rule.
BLOCKING: Final = frozenset({Fault.NOT_SUPPORTED, Fault.REQUIRED, Fault.TOO_LONG, Fault.TOO_MANY, Fault.TYPE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One reason for a refusal; ``path`` like ``spec.settings[0].nodes``."""

    path: str
    message: str
    fault: Fault = Fault.INVALID

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"
