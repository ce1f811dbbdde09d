from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from statistics import fmean

import pytest

from meshtwin.errors import InvalidInput
from meshtwin.fast import estimate
from meshtwin.fast.declining import find_reason
from meshtwin.mesh.configuration import Configuration, NodeSettings, Transmit
from meshtwin.mesh.nodes import Flow, Node
from meshtwin.mesh.snapshots import LinkEstimate, SegmentView, Snapshot
from meshtwin.mesh.upkeep import UpkeepPart
from meshtwin.sim.compiled.support import unsupported
from meshtwin.sim.engine import simulate, simulate_replications
from meshtwin.sim.from_snapshot import scenario_from_snapshot
from meshtwin.sim.results import summarise
from meshtwin.sim.scenario import ScenarioBackground

GROUP = 0xC001


def make_snapshot(**changes):
    """Three nodes in a line, 1 - 2 - 3, and a border link from node 9 of a neighbour to node 3."""
    snapshot = Snapshot(
        taken_at=datetime(2026, 1, 1, tzinfo=UTC),
        nodes=tuple(Node(address=a, device_uuid=f"u{a}", groups=frozenset({GROUP})) for a in (1, 2, 3)),
        links=tuple(
            LinkEstimate(source=a, target=b, delivery_alpha=90, delivery_beta=10)
            for a, b in [(1, 2), (2, 1), (2, 3), (3, 2), (9, 3)]
        ),
        configuration=Configuration.of(
            {
                a: NodeSettings(
                    relay=True,
                    relay_retransmit=Transmit(count=1, interval_steps=1),
                    network_transmit=Transmit(count=1, interval_steps=1),
                    default_ttl=5,
                )
                for a in (1, 2, 3)
            }
        ),
        flows=(Flow(name="lights", source=1, destination=GROUP, rate_per_minute=6, deadline_ms=150),),
        segments=(),
    )
    return replace(snapshot, **changes)


def test_scenario_has_the_settings_in_force_with_the_candidate_on_top():
    candidate = Configuration.of({2: NodeSettings(relay=False, default_ttl=3)})
    nodes = {n.address: n for n in scenario_from_snapshot(make_snapshot(), candidate).nodes}
    assert (nodes[1].relay, nodes[1].ttl) == (True, 5)
    assert (nodes[2].relay, nodes[2].ttl, nodes[2].relay_retransmit.count) == (False, 3, 1)


def test_group_members_are_its_subscribers_without_the_sender():
    assert scenario_from_snapshot(make_snapshot()).flows[0].members == (2, 3)


def test_border_link_from_an_unknown_node_is_external_traffic_only():
    scenario = scenario_from_snapshot(make_snapshot(notification_interval_s=10.0))
    heard = {n.address: n.external_pdus_per_s for n in scenario.nodes}
    assert {link.source for link in scenario.links} == {1, 2, 3}
    assert heard == {1: 0.0, 2: 0.0, 3: pytest.approx(0.9 / 10)}


def reporting(snapshot, *, budget_ratio=0.05, nodes=(1, 2, 3)):
    """The snapshot with its nodes as one segment that reports every 30 s to node 1."""
    segment = SegmentView(
        name="all",
        addresses=nodes,
        inventory_hash="",
        revision=0,
        newest_report=None,
        gateway_address=1,
        report_interval_s=30.0,
        airtime_budget_ratio=budget_ratio,
    )
    return replace(snapshot, segments=(segment,))


def background_rates(snapshot, configuration=None):
    return {b.name: b.rate_per_s for b in scenario_from_snapshot(snapshot, configuration).background}


def test_flows_notifications_and_reports_go_on_in_the_background():
    snapshot = reporting(make_snapshot(notification_interval_s=10.0))
    rates = background_rates(snapshot)
    assert rates["flow/lights"] == pytest.approx(0.1)
    assert rates["notifications"] == pytest.approx(0.3)
    assert rates["reports/all"] == pytest.approx(2 / 30)  # two nodes, each with one message's worth of neighbours


def test_reports_keep_to_their_airtime_budget():
    assert background_rates(reporting(make_snapshot(), budget_ratio=1e-4))["reports/all"] < 2 / 30


def test_leaner_configuration_lets_no_more_be_reported_than_other_segments_can_relay():
    lean = Configuration.of({a: NodeSettings(relay_retransmit=Transmit(count=0, interval_steps=0)) for a in (1, 2, 3)})
    snapshot = reporting(make_snapshot(), nodes=(1, 2, 3), budget_ratio=1.0)
    assert background_rates(snapshot, lean) == background_rates(snapshot)


READING = UpkeepPart(
    name="settings", per_s=1 / 30, questions=3, question_bytes=20, answers=3, answer_bytes=22, budget_share=0.25
)
TELLING = UpkeepPart(name="intervals", per_s=1 / 120, questions=1, question_bytes=27)


def keeping(snapshot, *parts, budget_ratio=0.05, **said):
    """The snapshot with a gateway at node 1 that does ``parts`` by itself."""
    [segment] = reporting(snapshot, budget_ratio=budget_ratio).segments
    return replace(snapshot, segments=(replace(segment, upkeep=parts, **said),))


def test_upkeep_is_sent_by_the_gateway_and_answered_by_those_it_asks():
    scenario = scenario_from_snapshot(keeping(make_snapshot(), READING, TELLING))

    asked, answered = (b for b in scenario.background if b.name.startswith("upkeep/"))
    assert (asked.sources, answered.sources) == ((1,), (2, 3))
    assert (asked.destinations, answered.destinations) == ((2, 3), (1,))
    assert answered.rate_per_s == pytest.approx(3 / 30 * 2 / 3)  # its own node's turn does not touch the air
    assert asked.rate_per_s == pytest.approx(answered.rate_per_s + 1 / 120)
    assert (asked.ttl, answered.ttl, answered.pdu_bytes) == (None, None, 22)


def test_upkeep_that_is_told_with_ttl_one_reaches_the_neighbours_and_is_refused_by_no_stack():
    told = replace(TELLING, ttl=1)
    scenario = scenario_from_snapshot(keeping(replace(make_snapshot(), profile="bluez"), told))
    assert [b.ttl for b in scenario.background if b.name.startswith("upkeep/")] == [0]


def test_gateway_that_does_nothing_by_itself_adds_nothing_and_an_unknown_one_reads_settings_back():
    assert not any(name.startswith("upkeep/") for name in background_rates(keeping(make_snapshot())))
    assert background_rates(reporting(make_snapshot()))["upkeep/all/gateway"] == pytest.approx(3 / 30 * 2 / 3)


def test_upkeep_that_keeps_to_the_budget_is_done_less_often_where_a_flood_costs_more():
    loud = Configuration.of({a: NodeSettings(relay_retransmit=Transmit(count=7, interval_steps=1)) for a in (1, 2, 3)})
    snapshot = keeping(make_snapshot(), READING, budget_ratio=0.0005)

    before, after = (background_rates(snapshot, c)["upkeep/all/nodes"] for c in (None, loud))

    assert after == pytest.approx(before / 4)  # eight copies in place of two, both held to a quarter of the budget
    assert background_rates(keeping(make_snapshot(), READING), loud)["upkeep/all/nodes"] == pytest.approx(
        3 / 30 * 2 / 3
    )


def test_upkeep_takes_airtime_in_both_models_and_most_where_the_gateway_is():
    snapshot = make_snapshot(profile="emulated", notification_interval_s=10.0)
    often = replace(READING, per_s=1.0, budget_share=None)
    busy, calm = (scenario_from_snapshot(keeping(snapshot, *parts)) for parts in ((often,), ()))

    for judged in (simulate(busy, seed=1, engine="reference"), estimate(busy).kpis):
        quiet = simulate(calm, seed=1, engine="reference") if hasattr(judged, "messages") else estimate(calm).kpis
        ratio, before = (getattr(one.airtime_ratio, "estimate", one.airtime_ratio) for one in (judged, quiet))
        assert ratio - before > 3 * 0.000376 * 6 / 2  # six floods a second of three nodes, two copies each, half lost


def test_reports_leave_room_for_notifications_and_upkeep_where_all_keep_one_budget():
    snapshot = make_snapshot(notification_interval_s=10.0)
    one_budget = keeping(snapshot, READING, budget_ratio=0.00025, notification_transmissions=1)
    apart = keeping(snapshot, replace(READING, budget_share=None), budget_ratio=0.00025)

    assert background_rates(one_budget)["reports/all"] < background_rates(apart)["reports/all"]


def test_notifications_that_go_out_once_are_as_many_pdus_as_the_stack_sends():
    snapshot = make_snapshot(notification_interval_s=10.0)  # network transmit says two copies

    once, as_told = (keeping(snapshot, notification_transmissions=n) for n in (1, None))

    assert background_rates(once)["notifications"] == pytest.approx(background_rates(as_told)["notifications"] / 2)


def test_fingerprint_knows_upkeep_and_snapshots_without_keep_theirs():
    plain = reporting(make_snapshot())
    told = [keeping(make_snapshot(), *parts).fingerprint for parts in ((), (READING,), (READING, TELLING))]

    assert len({plain.fingerprint, *told}) == 4
    assert plain.fingerprint == "29608224798242c7"  # as before gateways told it


@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_node_that_a_background_message_is_for_does_not_relay_it(engine):
    scenario = scenario_from_snapshot(make_snapshot(flows=(), profile="emulated"))
    murmur = ScenarioBackground(name="asks", sources=(1,), rate_per_s=5.0, destinations=(2,))
    flow = scenario_from_snapshot(make_snapshot(profile="emulated")).flows

    def airtime(background):
        judged = replace(scenario, flows=flow, background=(background,))
        return simulate(judged, seed=3, engine=engine).airtime_ratio

    assert airtime(murmur) < airtime(replace(murmur, destinations=(3,)))  # 2 passes on what is for 3
    assert airtime(replace(murmur, destinations=(3,))) < airtime(replace(murmur, destinations=()))  # 3 as well


def test_background_delays_messages_and_is_no_message_itself():
    busy = reporting(make_snapshot(profile="emulated", notification_interval_s=0.2))
    quiet = make_snapshot(profile="emulated")
    loud, calm = (simulate(scenario_from_snapshot(s), seed=1) for s in (busy, quiet))
    assert len(loud.messages) == len(calm.messages)
    assert mean_latency(loud) > mean_latency(calm)
    assert loud.airtime_ratio > calm.airtime_ratio
    assert 0.0 < loud.reporting_airtime_ratio < loud.airtime_ratio
    assert calm.reporting_airtime_ratio == 0.0


def mean_latency(run):
    return fmean(a.latency_ns for m in run.messages for a in m.arrivals)


def test_judged_messages_follow_each_other_as_those_of_a_probe():
    messages = simulate(scenario_from_snapshot(make_snapshot()), seed=1).messages
    gaps_s = [(b.started_ns - a.started_ns) * 1e-9 for a, b in pairwise(messages)]
    assert min(gaps_s) >= 1.0
    assert max(gaps_s) <= 1.5


def test_candidate_that_cuts_the_network_is_predicted_late():
    cut = Configuration.of({2: NodeSettings(relay=False)})
    snapshot = make_snapshot()
    before, after = (
        summarise(simulate_replications(scenario_from_snapshot(snapshot, c), seed=1, replications=2), snapshot.flows)
        for c in (None, cut)
    )
    assert before.flows[0].on_time.low > 0.8
    assert after.flows[0].on_time.estimate == 0.0
    assert after.flows[0].delivery.estimate == pytest.approx(0.5, abs=0.05)


def test_sampled_posterior_makes_replications_differ_more():
    snapshot = make_snapshot(
        links=(LinkEstimate(source=1, target=2, delivery_alpha=1.5, delivery_beta=1.5),),
        flows=(Flow(name="one", source=1, destination=2, rate_per_minute=60, deadline_ms=150),),
    )

    def spread(sample_posterior):
        scenario = scenario_from_snapshot(snapshot, messages_per_flow=60, sample_posterior=sample_posterior)
        runs = simulate_replications(scenario, seed=1, replications=6)
        interval = summarise(runs, snapshot.flows).flows[0].on_time
        return interval.high - interval.low

    assert spread(True) > spread(False)


def test_flow_to_nobody_is_left_out():
    flow = Flow(name="void", source=1, destination=0xC0FF, rate_per_minute=6, deadline_ms=150)
    assert scenario_from_snapshot(make_snapshot(flows=(flow,))).flows == ()


def test_unknown_profile_is_refused_with_those_that_exist():
    with pytest.raises(InvalidInput, match="zephyr"):
        scenario_from_snapshot(make_snapshot(profile="abacus"))


def test_airtime_is_predicted_at_the_gateways_where_it_can_be_measured():
    segments = tuple(
        SegmentView(
            name=name,
            addresses=(1, 2, 3),
            inventory_hash="",
            revision=0,
            newest_report=None,
            gateway_address=gateway,
        )
        for name, gateway in (("here", 2), ("planned", None), ("elsewhere", 9))
    )
    scenario = scenario_from_snapshot(make_snapshot(segments=segments, notification_interval_s=10.0))

    kpis = summarise([simulate(scenario, seed=1, replication=r, engine="reference") for r in range(3)], scenario.flows)

    [(node, airtime)] = kpis.airtime_at
    assert node == 2
    assert airtime.low <= airtime.estimate <= airtime.high
    assert airtime.estimate > kpis.airtime_ratio.estimate  # the node in the middle hears both others
    assert unsupported(scenario) is None
    assert find_reason(scenario) is None
