"""The scorecard on disk: entered once, kept over a crash, never in the way of the twin."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from meshtwin.app.scoring import CARD_NAME, ScoreKeeper
from meshtwin.errors import InvalidInput, Unavailable
from meshtwin.mesh.scorecards import ENTRIES_MOST
from meshtwin.recipes.score_messages import MeasuredPushModel


def make_push(segment: str = "north", on_time: int = 880) -> MeasuredPushModel:
    def flow(share: int, how_known: str) -> dict[str, Any]:
        said = {"estimatePerMille": share, "lowPerMille": share, "highPerMille": share}
        return {"flow": "lights", "messages": 60, "onTime": said, "delivery": said, "howKnown": how_known}

    figures = {"flows": [flow(900, "predicted")]}
    body = {
        "segment": segment,
        "configuration": "north-r0001",
        "predictedAt": "2026-05-01T12:00:00Z",
        "measuredAt": "2026-05-01T13:00:00Z",
        "prediction": {
            "before": figures,
            "after": figures,
            "model": "packet-simulator",
            "profile": "zephyr",
            "seed": 1,
            "replications": 8,
            "snapshotFingerprint": "f",
        },
        "after": {"flows": [flow(on_time, "receiverCounted")]},
    }
    return MeasuredPushModel.model_validate(body)


def open_card(folder: Path) -> ScoreKeeper:
    return ScoreKeeper(folder / CARD_NAME, "north")


async def test_entered_push_is_there_after_a_restart(tmp_path: Path) -> None:
    answered = await open_card(tmp_path).enter("a1", make_push())
    again = open_card(tmp_path)
    assert again.card() == answered
    assert [e.measured for e in again.card().entries] == [0.88, 0.88]
    assert [s.entries for s in again.card().standings] == [1, 1]


async def test_attempt_counts_once_before_and_after_a_restart(tmp_path: Path) -> None:
    keeper = open_card(tmp_path)
    await asyncio.gather(*(keeper.enter("a1", make_push()) for _ in range(5)))
    await open_card(tmp_path).enter("a1", make_push())
    assert len(open_card(tmp_path).card().entries) == 2


async def test_crash_before_the_file_has_its_name_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    await open_card(tmp_path).enter("a1", make_push())
    (tmp_path / (CARD_NAME + ".new")).write_bytes(b'{"contract":1,"segm')  # killed while writing the next
    keeper = open_card(tmp_path)
    await keeper.enter("a2", make_push(on_time=870))
    assert open_card(tmp_path).card().pushes == ["a1", "a2"]


async def test_disk_that_refuses_is_said_and_nothing_is_claimed(tmp_path: Path) -> None:
    keeper = open_card(tmp_path)
    (tmp_path / (CARD_NAME + ".new")).mkdir()  # in the way, as a full disk would be
    with pytest.raises(Unavailable):
        await keeper.enter("a1", make_push())
    assert keeper.card().pushes == []
    (tmp_path / (CARD_NAME + ".new")).rmdir()
    assert (await keeper.enter("a1", make_push())).pushes == ["a1"]


async def test_push_of_another_segment_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="this is the twin of 'north'"):
        await open_card(tmp_path).enter("a1", make_push(segment="south"))


async def test_card_is_bounded_and_keeps_the_newest(tmp_path: Path) -> None:
    keeper = open_card(tmp_path)
    for number in range(ENTRIES_MOST // 2 + 5):
        await keeper.enter(f"a{number}", make_push(on_time=number))
    entries = open_card(tmp_path).card().entries
    assert len(entries) == ENTRIES_MOST
    assert entries[0].measured == 0.005


@pytest.mark.parametrize("content", [b"", b"{", b'{"contract":2,"segment":"north"}', b"\x00" * 100])
def test_file_that_is_no_card_is_put_aside(tmp_path: Path, content: bytes) -> None:
    (tmp_path / CARD_NAME).write_bytes(content)
    assert open_card(tmp_path).card().entries == []
    assert (tmp_path / "scorecard.broken").read_bytes() == content


async def test_summary_says_how_wide_the_intervals_are_against_no_card(tmp_path: Path) -> None:
    keeper = open_card(tmp_path)
    assert keeper.summary() is None
    for number in range(12):
        await keeper.enter(f"a{number}", make_push(on_time=900))
    summary = keeper.summary()
    assert summary is not None
    assert (summary.pushes, summary.entries, summary.model) == (12, 24, "packet-simulator")
    assert summary.on_time_width_percent is not None
    assert summary.on_time_width_percent < 90
