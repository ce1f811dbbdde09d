"""How well a ranking can be known from the office's table: what models without error, and the table itself, would show.

The published table is one run per cell, and relay sets differ by one message of 120. So its own ranking is a draw.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean

from meshtwin.sim.draws import draw, make_key
from meshtwin.sim.validation.figures import kendall_tau
from meshtwin.sim.validation.tables import Table

__all__ = ["MESSAGES", "list_column_rankings", "list_redrawn_rankings", "list_single_run_rankings", "tell_spread"]

MESSAGES = 120  # of a cell; four flows of 30
REDRAWN_TABLES = 400
FLAT_FROM_TTL = 7  # from here on the table is flat: no path is longer


def list_single_run_rankings(runs: Mapping[str, Sequence[float]]) -> list[float]:
    """Kendall's tau of each simulated run against the mean of all others, ascending; ``runs`` by relay set.

    What a model that is right in the mean would show against a table that is one run. Runs of one place share their
    luck, as the published ones do.
    """
    sums = {name: sum(values) for name, values in runs.items()}
    each = list(zip(*runs.values(), strict=True))
    return sorted(kendall_tau(run, [s - v for s, v in zip(sums.values(), run, strict=True)]) for run in each)


def list_column_rankings(table: Table, ttl: int) -> list[float]:
    """Kendall's tau of the table's column ``ttl`` against each of its flat ones, ascending; empty without any."""
    place = table["ttl"].index(ttl)
    ranked = [row[place] for row in table["delivery_ratio"].values()]
    later = [other for other, value in enumerate(table["ttl"]) if value >= FLAT_FROM_TTL]
    return sorted(kendall_tau(ranked, [row[other] for row in table["delivery_ratio"].values()]) for other in later)


def list_redrawn_rankings(table: Table, ttl: int, seed: int) -> list[float]:
    """Kendall's tau of the table's column ``ttl`` against itself, drawn again message by message; ascending.

    Doubt: an upper end of the noise, as messages of one cell are no independent draws, and cells share their luck.
    """
    place = table["ttl"].index(ttl)
    ranked = {name: row[place] for name, row in table["delivery_ratio"].items()}
    keys = {name: make_key(seed, "redrawn table", name) for name in ranked}
    redrawn = (
        [
            sum(draw(keys[name], number * MESSAGES + i) < share for i in range(MESSAGES))
            for name, share in ranked.items()
        ]
        for number in range(REDRAWN_TABLES)
    )
    return sorted(kendall_tau(list(ranked.values()), counts) for counts in redrawn)


def tell_spread(rankings: Sequence[float], must: float) -> str:
    """The middle nine tenths of ascending ``rankings``, and how many of them miss ``must``."""
    low, high = (rankings[int(share * (len(rankings) - 1))] for share in (0.05, 0.95))
    missed = fmean(float(tau < must) for tau in rankings)
    return f"{low:.2f} to {high:.2f} (5 to 95 %), below {must:g} in {missed:.0%}"
