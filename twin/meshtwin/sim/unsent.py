"""Messages that a scenario asks for and that its runs do not send, since their duration ends before. Pure."""

from collections.abc import Sequence
from math import ceil

import numpy as np

from meshtwin.sim.message_table import MessageTable
from meshtwin.sim.run_result import RunResult
from meshtwin.sim.scenario import Scenario, ScenarioFlow
from meshtwin.sim.traffic import count_due, find_end_ns, find_run_s, places_of_senders
from meshtwin.units import s_to_ns
from meshtwin.wording import counted

__all__ = ["tell_unsent"]

NAMED_MOST = 3


def tell_unsent(scenario: Scenario, runs: Sequence[RunResult]) -> tuple[str, ...]:
    """A gap with the messages of each flow that fall due only after the end of ``runs``; () if there are none.

    Of a source that is switched during the run those alone that are due later in any case: what falls due while it is
    off is neither sent nor counted.
    """
    if scenario.duration_s is None or s_to_ns(scenario.duration_s) >= find_end_ns(scenario):
        return ()
    tables = [MessageTable.of(run.messages) for run in runs]
    switched = {change.node for change in scenario.changes if change.is_on is not None}
    run_s, cut = find_run_s(scenario), []
    for place in places_of_senders(scenario):
        flow = scenario.flows[place]
        if flow.source in switched:
            missing = (flow.count - ceil(count_due(flow, run_s))) * len(runs)
        else:
            missing = flow.count * len(runs) - sum(_count(table, flow) for table in tables)
        if missing > 0:
            cut.append(f"{missing} of {counted(flow.count * len(runs), 'message')} of {flow.name}")
    if not cut:
        return ()
    more = f" and of {counted(len(cut) - NAMED_MOST, 'more flow')}" if len(cut) > NAMED_MOST else ""
    which = "" if len(runs) == 1 else f" (in {len(runs)} replications)"
    told = f"{', '.join(cut[:NAMED_MOST])}{more} were not sent{which}"
    return (f"{told}: the run ends at {scenario.duration_s:g} s, before they are due",)


def _count(table: MessageTable, flow: ScenarioFlow) -> int:
    if flow.name not in table.flows:
        return 0
    return int(np.count_nonzero(table.sent["flow"] == table.flows.index(flow.name)))
