"""What a finished step of a push measured: figures into the status, and the no-harm verdict."""

from collections.abc import Set
from datetime import datetime

from meshtwin.contract.configuration import CommandResult, Verb
from meshtwin_operator.reconcile.commands import result_of
from meshtwin_operator.reconcile.measuring import (
    answering_nodes,
    count_outcomes,
    describe_silence,
    figures_of,
    judge,
    merge_figures,
    silence_verdict,
    silent_nodes,
    unasked_nodes,
)
from meshtwin_operator.reconcile.no_harm import LOOKS_MAX, Judgement
from meshtwin_operator.reconcile.push import Signal, Step
from meshtwin_operator.reconcile.push_case import Case
from meshtwin_operator.reconcile.signals import News, probe_attempt
from meshtwin_operator.resources.records import MeshConfigurationStatus, PushStatus
from meshtwin_operator.resources.settings import KpiFigures

__all__ = ["find_silence", "take_over", "with_outcomes"]


def take_over(
    case: Case, status: MeshConfigurationStatus, push: PushStatus, news: News
) -> tuple[MeshConfigurationStatus, News]:
    """What the finished step measured goes into the status."""
    step, policy = Step(push.step), case.lineage.twin.spec.push
    if step not in (Step.MEASURING_BASELINE, Step.VERIFYING) or news.result is None:
        return status, news
    probe = probe_attempt(push, case.world.epoch)
    reports = case.view.flows.get(probe, ())
    wanted = {flow.name for flow in case.segment.spec.flows}
    if wanted - {report.flow for report in reports} and not _is_over(push, case.now):
        return status, News(signal=Signal.WAIT)  # figures come on another topic than the result
    told = case.view.state
    figures = figures_of(reports, case.view.airtime.get(probe), told.gateway_address if told else None)
    if step is Step.MEASURING_BASELINE:
        return _take_baseline(status, figures, wanted - {r.flow for r in reports if r.presses}, news, news.result)
    after = merge_figures(status.measured_after, figures)
    new_silent = _newly_silent(status, news.result)
    before = status.measured_before or figures.model_copy(update={"flows": []})
    judgement, verdict = judge(
        before,
        after,
        margin_per_mille=policy.harm_margin_per_mille,
        newly_silent=new_silent,
        allowed_silent=_allowed_silent(case),
        unasked=unasked_nodes(news.result),
    )
    judged = status.model_copy(update={"measured_after": after, "no_harm": verdict})
    return judged, _verdict_news(judgement, push, case.now, verdict.message)


def _take_baseline(
    status: MeshConfigurationStatus, figures: KpiFigures, missing: Set[str], news: News, result: CommandResult
) -> tuple[MeshConfigurationStatus, News]:
    """A baseline that lacks a flow or a node's turn, or that no node answered, ends the push before any change."""
    text = ""
    if missing:
        text = f"no figures of {', '.join(sorted(missing))}: without them harm could not be seen"
    elif unasked := unasked_nodes(result):
        text = f"no time to ask {', '.join(unasked[:16])}: whether it answers afterwards would tell nothing"
    elif not answering_nodes(result):
        text = "no node answered: without any answer harm could not be seen"
    if text:
        said = f"{text} ({result.message})" if result.message else text
        return status, News(signal=Signal.FAILED, reason="NotMeasured", message=said)
    return status.model_copy(update={"measured_before": figures, "silent_before": silent_nodes(result)}), news


def find_silence(
    case: Case, status: MeshConfigurationStatus, push: PushStatus, news: News
) -> tuple[MeshConfigurationStatus, News] | None:
    """Harm that shows while a probe after the commit is still under way: nodes that do not answer any more.

    The gateway tells them as soon as it has asked everybody. None: no more than coverage allows, so far.
    """
    if Step(push.step) is not Step.VERIFYING or news.result is None:
        return None
    silent, allowed = _newly_silent(status, news.result), _allowed_silent(case)
    if len(silent) <= allowed:
        return None
    message, margin = describe_silence(silent, allowed), case.lineage.twin.spec.push.harm_margin_per_mille
    return status.model_copy(update={"no_harm": silence_verdict(message, margin)}), News(
        signal=Signal.HARM, reason="Harm", message=message, result=news.result
    )


def _newly_silent(status: MeshConfigurationStatus, result: CommandResult) -> list[str]:
    return sorted(set(silent_nodes(result)) - set(status.silent_before))


def _allowed_silent(case: Case) -> int:
    return len(case.inventory.nodes) * (1000 - case.lineage.twin.spec.push.coverage_per_mille) // 1000


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
    if judgement is Judgement.INCONCLUSIVE:
        return News(signal=Signal.HARM, reason="Inconclusive", message=message)
    took_s = (now - (push.step_started_at or now)).total_seconds()
    left_s = (push.not_after - now).total_seconds() if push.not_after else 0.0
    if push.looks + 1 >= LOOKS_MAX or left_s < 2.5 * took_s:  # the next probe is twice as long
        return News(signal=Signal.HARM, reason="NotShownHarmless", message=message)
    return News(signal=Signal.LOOK_AGAIN)
