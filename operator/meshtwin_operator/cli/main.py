"""``meshtwin``: entry point, errors and exit codes.

Exit codes, as of gateways and twins: 0 done, also if the reader of the output has gone, as ``| head`` does; 2 what was
given is wrong (usage, file, resource, value: the message says what to mend); 1 anything else that failed, such as a
twin that does not answer or a full disk. 130, 143: ended by Ctrl-C, SIGTERM.
"""

import sys

__all__ = ["main"]


def main() -> None:
    """Run a command line; one line per error on stderr. Imports nothing before Ctrl-C is caught."""
    try:
        _run()
    except KeyboardInterrupt:
        sys.exit(130)  # as of `meshtwin_operator.cli.loading`, which is not loaded yet


def _run() -> None:
    from meshtwin_operator.cli.loading import loading

    with loading():
        from meshtwin.errors import InvalidInput, MeshTwinError
        from meshtwin.sim.files import DISK_FAULTS
        from meshtwin_operator.cli.commands import app

    try:
        app()
    except MeshTwinError as error:
        sys.stderr.write(f"meshtwin: {error.reason}: {error}\n")
        sys.exit(2 if isinstance(error, InvalidInput) else 1)
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # typer and rich end so, and see that no more is written
            sys.exit(0)
        raise
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        if error.errno not in DISK_FAULTS:
            raise
        sys.stderr.write(f"meshtwin: output can't be written: {error.strerror}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
