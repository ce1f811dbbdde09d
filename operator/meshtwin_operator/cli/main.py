"""``meshtwin``: entry point, errors and exit codes.

Exit codes, as of gateways and twins: 0 done; 2 what was given is wrong (usage, file, resource, value: the message says
what to mend); 1 anything else that failed, such as a twin that does not answer. 130, 143: ended by Ctrl-C, SIGTERM.
"""

import errno
import sys

import typer

from meshtwin.errors import InvalidInput, MeshTwinError
from meshtwin_operator.cli.deciding import register as add_deciding
from meshtwin_operator.cli.graphing import register as add_graphing
from meshtwin_operator.cli.looking import register as add_looking
from meshtwin_operator.cli.modelling import register as add_modelling
from meshtwin_operator.cli.running import register as add_running
from meshtwin_operator.cli.validating import register as add_validating

__all__ = ["app", "main"]

app = typer.Typer(
    name="meshtwin",
    help="Digital twins of Bluetooth Mesh networks: on a cluster and on this machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for add in (add_running, add_looking, add_deciding, add_modelling, add_graphing, add_validating):
    add(app)


def main() -> None:
    """Run a command line; one line per error on stderr."""
    try:
        app()
    except MeshTwinError as error:
        sys.stderr.write(f"meshtwin: {error.reason}: {error}\n")
        sys.exit(2 if isinstance(error, InvalidInput) else 1)
    except KeyboardInterrupt:
        sys.exit(130)  # as a shell says of a program that Ctrl-C ended; before the program's own handlers stand
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone, as `| head` does
        sys.exit(1)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        sys.stderr.write(f"meshtwin: output can't be written: {error.strerror}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
