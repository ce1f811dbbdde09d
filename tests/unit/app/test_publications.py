"""What a gateway says while the broker is away: telemetry is bounded, results and reported state are not lost."""

import asyncio
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from meshtwin.app.publications import Publications
from meshtwin.contract.telemetry import FlowTelemetry, GatewayState
from meshtwin.gateway.effects import Publish

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LEAVES = ("telemetry/neighbours", "telemetry/flows", "configuration/result", "configuration/reported", "state")
LIMIT = 5


def say(leaf: str, number: int) -> Publish:
    envelope = {"session": "s", "sequence": number, "sent_at": NOW}
    if leaf == "state":
        return Publish(leaf, GatewayState(**envelope, online=True), retain=True)
    return Publish(leaf, FlowTelemetry(**envelope, flows=[]))


def number_of(publish: Publish) -> int:
    number: int = publish.payload.sequence  # type: ignore[attr-defined]  # every payload here has an envelope
    return number


def empty(publications: Publications) -> list[Publish]:
    async def run() -> list[Publish]:
        return [await publications.take() for _ in range(len(publications))]

    return asyncio.run(run())


@given(st.lists(st.sampled_from(LEAVES), max_size=60))
def test_the_newest_telemetry_and_everything_else_is_published_in_order(leaves: list[str]) -> None:
    publications = Publications(LIMIT)
    for number, leaf in enumerate(leaves):
        publications.put(say(leaf, number))

    taken = empty(publications)

    telemetry = [i for i, leaf in enumerate(leaves) if leaf.startswith("telemetry/")]
    states = [i for i, leaf in enumerate(leaves) if leaf == "state"]
    rest = [i for i, leaf in enumerate(leaves) if leaf.startswith("configuration/")]
    assert [number_of(p) for p in taken] == sorted(telemetry[-LIMIT:] + states[-1:] + rest)
    assert publications.dropped_total == max(0, len(telemetry) - LIMIT)
    assert len(publications) == 0


def test_a_state_tells_how_much_telemetry_was_dropped() -> None:
    publications = Publications(LIMIT)
    publications.put(say("state", 0))
    for number in range(LIMIT + 3):
        publications.put(say("telemetry/flows", number))
    assert publications.owes_count

    state = empty(publications)[0].payload

    assert isinstance(state, GatewayState)
    assert state.telemetry_dropped == 3
    assert b'"telemetryDropped":3' in state.to_payload()
    assert not publications.owes_count


def test_a_state_says_nothing_of_drops_where_there_were_none() -> None:
    publications = Publications(LIMIT)
    publications.put(say("state", 0))

    assert b"telemetryDropped" not in empty(publications)[0].payload.to_payload()


def test_take_waits_for_something_to_be_said() -> None:
    async def run() -> Publish:
        publications = Publications(LIMIT)
        taking = asyncio.ensure_future(publications.take())
        await asyncio.sleep(0)
        assert not taking.done()
        publications.put(say("state", 7))
        return await taking

    assert number_of(asyncio.run(run())) == 7
