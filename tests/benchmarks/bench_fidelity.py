"""The simulator against published tables, as `meshtwin validate` does it; bounds are those of the validation."""

from tests.benchmarks.figures import Figure

from meshtwin.sim.validation import validate
from meshtwin.sim.validation.report import SEED

COMMAND = "meshtwin validate"


def run() -> list[Figure]:
    """All figures of all tables, on the seed that nothing was fitted on."""
    report = validate(seed=SEED)
    return [Figure(f"{f.table}: {f.name}", f.reached, f.unit, f.must, f.is_kept, COMMAND) for f in report.figures]
