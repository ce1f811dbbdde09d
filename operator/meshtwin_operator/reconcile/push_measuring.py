"""What a finished step of a push measured: figures into the status, and the no-harm verdict."""

from datetime import datetime

from meshtwin.contract.configuration import Verb
from meshtwin_operator.reconcile.commands import result_of
from meshtwin_operator.reconcile.measuring import (
    count_outcomes,
    figures_of,
    judge,
    merge_figures,
    silent_nodes,
)
from meshtwin_operator.reconcile.no_harm import LOOKS_MAX, Judgement
from meshtwin_operator.reconcile.push import Signal, Step
from meshtwin_operator.reconcile.push_case import Case
from meshtwin_operator.reconcile.signals import News, probe_attempt
from meshtwin_operator.resources.records import MeshConfigurationStatus, PushStatus

__all__ = ["take_over", "with_outcomes"]


def take_over(
    case: Case, status: MeshConfigurationStatus, push: PushStatus, news: News
) -> tuple[MeshConfigurationStatus, News]:
    """What the finished step measured goes into the status."""
    step, policy = Step(push.step), case.lineage.twin.spec.push
    if step not in (Step.MEASURING_BASELINE, Step.VERIFYING) or news.result is None:
        return status, news
    probe = probe_attempt(push, case.world.epoch)
    reports = case.view.flows.get(probe, ())
    missing = {flow.name for flow in case.segment.spec.flows} - {report.flow for report in reports}
    if missing and not _is_over(push, case.now):
        return status, News(signal=Signal.WAIT)  # figures come on another topic than the result
    if missing and step is Step.MEASURING_BASELINE:
        text = f"no figures of {', '.join(sorted(missing))}: without them harm could not be seen"
        return status, News(signal=Signal.FAILED, reason="NotMeasured", message=text)
    figures = figures_of(reports, case.view.airtime.get(probe))
    if step is Step.MEASURING_BASELINE:
        silent = silent_nodes(news.result)
        return status.model_copy(update={"measured_before": figures, "silent_before": silent}), news
    after = merge_figures(status.measured_after, figures)
    new_silent = sorted(set(silent_nodes(news.result)) - set(status.silent_before))
    before = status.measured_before or figures.model_copy(update={"flows": []})
    judgement, verdict = judge(
        before,
        after,
        margin_per_mille=policy.harm_margin_per_mille,
        newly_silent=new_silent,
        allowed_silent=len(case.inventory.nodes) * (1000 - policy.coverage_per_mille) // 1000,
    )
    judged = status.model_copy(update={"measured_after": after, "no_harm": verdict})
    return judged, _verdict_news(judgement, push, case.now, verdict.message)


def with_outcomes(case: Case, push: PushStatus) -> MeshConfigurationStatus:
    """The status with what became of the nodes, once the gateway's answer to the commit is there.

    The retained report may show the commit as done a moment before the answer comes; after an operator restart
    the answer may never come: then nothing is claimed.
    """
    status = case.status
    result = result_of(case.view, push.attempt_id or "", Verb.COMMIT)
    if status.outcomes is not None or result is None or not result.outcomes:
        return status
    return status.model_copy(update={"outcomes": count_outcomes(result.outcomes)})


def _is_over(push: PushStatus, now: datetime) -> bool:
    return push.not_after is not None and now >= push.not_after


def _verdict_news(judgement: Judgement, push: PushStatus, now: datetime, message: str) -> News:
    if judgement is Judgement.HARMLESS:
        return News(signal=Signal.DONE)
    if judgement is Judgement.HARMFUL:
        return News(signal=Signal.HARM, reason="Harm", message=message)
    took_s = (now - (push.step_started_at or now)).total_seconds()
    left_s = (push.not_after - now).total_seconds() if push.not_after else 0.0
    if push.looks + 1 >= LOOKS_MAX or left_s < 2.5 * took_s:  # the next probe is twice as long
        return News(signal=Signal.HARM, reason="NotShownHarmless", message=message)
    return News(signal=Signal.LOOK_AGAIN)
