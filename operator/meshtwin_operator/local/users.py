"""The user of local mode: who the operating system says is asking."""

import os
import pwd

__all__ = ["local_user"]


def local_user() -> str:
    """Name of this process's user; its number where it has no name (a container's user)."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
