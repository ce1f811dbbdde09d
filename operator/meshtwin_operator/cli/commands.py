"""All commands of ``meshtwin`` put together."""

import typer

from meshtwin_operator.cli.deciding import register as add_deciding
from meshtwin_operator.cli.graphing import register as add_graphing
from meshtwin_operator.cli.looking import register as add_looking
from meshtwin_operator.cli.modelling import register as add_modelling
from meshtwin_operator.cli.running import register as add_running
from meshtwin_operator.cli.validating import register as add_validating

__all__ = ["app"]

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
