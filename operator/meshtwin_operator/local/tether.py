"""Becomes another program that dies when its parent dies, also when the parent is killed with SIGKILL.

Run as a script: ``python -I -S tether.py PARENT_PID PROGRAM [ARGUMENT ...]``. The kernel sends SIGTERM to
this process when the thread that started it ends (Linux, prctl(2) PR_SET_PDEATHSIG; kept across execve(2)).
A small program instead of ``preexec_fn``, which may deadlock in a process with threads.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    """Ask for the signal, see that the parent lives still, and become the program."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
            sys.exit(f"prctl failed: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:
        sys.exit("parent ended before its child began")
    os.execvp(command[0], command)  # noqa: S606  # no shell wanted


if __name__ == "__main__":
    main()
