"""The one error of this package."""

__all__ = ["ClusterError"]


class ClusterError(Exception):
    """A cluster or an image cannot be had; the message says what is missing or which log to read."""
