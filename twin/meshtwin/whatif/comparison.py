"""Comparing forks with their base on the same states."""

from collections.abc import Sequence

from meshtwin.mesh.configuration import Configuration
from meshtwin.mesh.kpis import Prediction
from meshtwin.mesh.snapshots import Snapshot
from meshtwin.ports import Judge, JudgePlan, PairingJudge, Progress, QuickJudge, progress_part

__all__ = ["compare", "expect", "predict"]


def compare(
    snapshot: Snapshot,
    base: Configuration,
    candidates: Sequence[Configuration],
    *,
    judge: Judge,
    plan: JudgePlan,
    progress: Progress,
) -> tuple[Prediction, ...]:
    """One prediction per candidate, in their order: figures under ``base`` and under the candidate.

    All sides meet the same states (equal seed and replications; draws do not depend on configurations).
    """
    before, *after = judge.judge(snapshot, (base, *candidates), plan, progress)
    return tuple(
        Prediction(
            before=before,
            after=figures,
            model=judge.model,
            profile=snapshot.profile,
            seed=plan.seed,
            replications=plan.replications,
            snapshot_fingerprint=snapshot.fingerprint,
        )
        for figures in after
    )


def predict(snapshot: Snapshot, changed: Snapshot, *, judge: Judge, plan: JudgePlan, progress: Progress) -> Prediction:
    """The answer to a what-if: the snapshot as it is against ``changed``, a fork of it, on the same states.

    Changes may take nodes away, so the two sides are two snapshots; flows that the fork lost are missing
    in ``after`` and in the differences, which a `PairingJudge` alone tells.
    """
    differences = None
    if isinstance(judge, PairingJudge):
        before, after, differences = judge.judge_pair(snapshot, changed, plan, progress)
    else:
        (before,) = judge.judge(snapshot, (snapshot.configuration,), plan, progress_part(progress, 0.0))
        (after,) = judge.judge(changed, (changed.configuration,), plan, progress_part(progress, 0.5))
    return Prediction(
        before=before,
        after=after,
        model=judge.model,
        profile=snapshot.profile,
        seed=plan.seed,
        replications=plan.replications,
        snapshot_fingerprint=snapshot.fingerprint,
        differences=differences,
    )


def expect(snapshot: Snapshot, changed: Snapshot, *, quick: QuickJudge, seed: int) -> Prediction | None:
    """What the fast model expects of ``changed``, a fork of ``snapshot``; None if it declines either of them.

    Equal links make the two sides one question, which costs half as much.
    """
    if changed.links == snapshot.links and changed.nodes == snapshot.nodes and changed.flows == snapshot.flows:
        answers = quick.estimate(snapshot, (snapshot.configuration, changed.configuration), seed=seed)
    else:
        answers = tuple(
            answer for s in (snapshot, changed) for answer in quick.estimate(s, (s.configuration,), seed=seed)
        )
    before, after = (answer.kpis for answer in answers)
    if before is None or after is None:
        return None
    return Prediction(
        before=before,
        after=after,
        model=quick.quick_model,
        profile=snapshot.profile,
        seed=seed,
        replications=1,
        snapshot_fingerprint=snapshot.fingerprint,
        provisional=True,
    )
