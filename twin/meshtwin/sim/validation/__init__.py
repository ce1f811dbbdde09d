"""Published tables as scenarios, and how far the simulator is from them.

The tables are files of this package (`published/*.yaml`, each with its source). Chain: a real stack in a simulated
radio. Office and grid: other simulators (verification). Hardware: measured, reported and not fitted. Packet error
ratio: derived from a modem's description.
"""

from meshtwin.sim.validation.chain import ChainRow, build_chain_scenario, run_chain
from meshtwin.sim.validation.figures import ValidationFigure, ValidationReport
from meshtwin.sim.validation.grid import GridResult, build_grid_scenario, run_grid
from meshtwin.sim.validation.office import OfficeCell, build_office_scenario, hard_range_links, run_office
from meshtwin.sim.validation.report import validate
from meshtwin.sim.validation.tables import TABLES, read_table

__all__ = [
    "TABLES",
    "ChainRow",
    "GridResult",
    "OfficeCell",
    "ValidationFigure",
    "ValidationReport",
    "build_chain_scenario",
    "build_grid_scenario",
    "build_office_scenario",
    "hard_range_links",
    "read_table",
    "run_chain",
    "run_grid",
    "run_office",
    "validate",
]
