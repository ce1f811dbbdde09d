"""The error types of the project, branched by who must act.

Bugs are not errors of this kind: they are not caught.
"""

__all__ = ["Inconsistent", "InvalidInput", "MeshTwinError", "Unavailable"]


class MeshTwinError(Exception):
    """Root of all errors that a user can meet; ``message`` carries value, limit and place."""

    reason = "Error"

    def __init__(self, message: str, *, reason: str | None = None, place: str | None = None) -> None:
        super().__init__(f"{message} ({place})" if place else message)
        self.message = message
        self.place = place
        if reason is not None:
            self.reason = reason


class InvalidInput(MeshTwinError):
    """The author of a resource, file or request must mend it."""

    reason = "InvalidInput"


class Unavailable(MeshTwinError):
    """Time will help: something is not reachable or not ready yet."""

    reason = "Unavailable"


class Inconsistent(MeshTwinError):
    """Twin and network, or two records, disagree."""

    reason = "Inconsistent"
