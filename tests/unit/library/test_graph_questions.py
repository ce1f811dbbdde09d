"""What links allow, asked of scenarios and snapshots; the figures are counted by hand."""

import json
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

import meshtwin
from meshtwin.errors import InvalidInput, MeshTwinError
from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import Configuration, NodeSettings, Transmit
from meshtwin.mesh.nodes import Flow, Node
from meshtwin.mesh.snapshots import LinkEstimate, SegmentView, Snapshot
from meshtwin.ports import Cancelled
from meshtwin_operator.cli.commands import app

# 1 - 2 - 3 - 4 - 1 is a ring, 5 hangs on 4, all links both ways
RING = """
name: ring
defaults: {relay: true, ttl: 2}
nodes:
  - {address: "0001"}
  - {address: "0002"}
  - {address: "0003"}
  - {address: "0004"}
  - {address: "0005"}
links:
LINKS
flows: [{name: press, source: "0001", destination: "0005", count: 1, periodSeconds: 1}]
"""
PAIRS = ((1, 2), (2, 3), (3, 4), (4, 1), (4, 5))
LINES = "\n".join(
    f'  - {{source: "{a:04x}", target: "{b:04x}", delivery: 0.9}}' for u, v in PAIRS for a, b in ((u, v), (v, u))
)
TEXT = RING.replace("LINKS", LINES)


def test_ring_with_a_tail_has_one_articulation_relay_and_one_cut_link():
    told = meshtwin.graph_of(TEXT)
    assert told.node == "0001"
    assert told.articulation_relays == ["0004"]
    assert [(link.source, link.target) for link in told.cut_links] == [("0004", "0005")]
    assert told.minimal_ttl == 2
    assert {n.address: (n.hops_from, n.paths_to) for n in told.nodes} == {
        "0002": (1, 8), "0003": (2, 2), "0004": (1, 8), "0005": (2, 1)
    }  # fmt: skip


def test_reach_ends_with_the_ttl_that_is_asked_about():
    told = meshtwin.graph_of(TEXT, to="0005", ttl=2)
    assert {n.address for n in told.nodes if n.is_reached} == {"0001", "0003", "0004"}
    assert told.minimal_ttl == 3


def test_flow_tells_members_reached_and_paths_to_the_worst():
    (flow,) = meshtwin.graph_of(TEXT).flows
    assert (flow.members, flow.reached, flow.minimal_ttl, flow.paths) == (1, 1, 2, 1)


def test_backbone_is_small_and_a_robust_one_larger_or_says_what_is_missing():
    small = meshtwin.graph_of(TEXT, backbone=meshtwin.BackboneWish()).backbone
    assert small.is_complete
    assert "0004" in small.relays
    assert len(small.relays) == 2
    robust = meshtwin.graph_of(TEXT, backbone=meshtwin.BackboneWish(connected=2, dominating=2))
    assert robust.backbone.relays == ["0001", "0002", "0003", "0004"]
    assert robust.backbone.connected_reached == 2


def test_progress_rises_with_the_nodes_and_can_end_the_work():
    told = []
    meshtwin.graph_of(TEXT, progress=lambda share, stage: told.append((share, stage)))
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert len(shares) > 3
    assert "disjoint paths of" in told[0][1]

    def end(share, stage):
        raise Cancelled("no longer wanted")

    with pytest.raises(Cancelled):
        meshtwin.graph_of(TEXT, progress=end)


def test_node_that_is_switched_off_is_left_out_and_told():
    told = meshtwin.graph_of(
        TEXT.replace('"0004"}\n  - {address: "0005"', '"0004", poweredOn: false}\n  - {address: "0005"')
    )
    assert "1 node is switched off" in told.gaps[0]
    assert told.minimal_ttl is None
    assert "no TTL reaches all" in str(told)


def test_links_below_the_threshold_do_not_count_until_there_are_more_sends():
    weak = TEXT.replace("delivery: 0.9", "delivery: 0.3")
    alone = meshtwin.graph_of(weak, transmissions=1)
    assert alone.usable_links == 0
    assert meshtwin.graph_of(weak, transmissions=3).usable_links == 10  # 1 - 0.7**3 = 0.657


def make_snapshot():
    once = NodeSettings(
        relay=True,
        default_ttl=5,
        network_transmit=Transmit(count=0, interval_steps=1),
        relay_retransmit=Transmit(count=0, interval_steps=1),
    )
    nodes = tuple(Node(address=UnicastAddress(a), device_uuid=f"{a:032x}") for a in range(1, 6))
    return Snapshot(
        taken_at=datetime(2026, 1, 1, tzinfo=UTC),
        nodes=nodes,
        links=tuple(
            LinkEstimate(source=a, target=b, delivery_alpha=9.0, delivery_beta=1.0)
            for u, v in PAIRS
            for a, b in ((u, v), (v, u))
        ),
        configuration=Configuration.of(dict.fromkeys((n.address for n in nodes), once)),
        flows=(Flow(name="press", source=1, destination=5, rate_per_minute=1.0, deadline_ms=200),),
        segments=(
            SegmentView(
                name="s", addresses=tuple(n.address for n in nodes), inventory_hash="", revision=None,
                newest_report=None, gateway_address=3,
            ),
        ),
    )  # fmt: skip


def test_snapshot_is_asked_about_its_gateway():
    told = meshtwin.graph_of(make_snapshot())
    assert (told.node, told.ttl) == ("0003", 5)
    assert told.articulation_relays == ["0004"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"to": "0009"}, "node 0009 is not there"),
        ({"to": "9"}, "not four hexadecimal digits"),
        ({"ttl": 128}, "ttl 128 is outside 0..127"),
        ({"threshold": 0.0}, "threshold 0.0 is outside"),
        ({"transmissions": 9}, "transmissions 9 is outside 1..8"),
    ],
)
def test_question_that_can_not_be_is_refused(words, said):
    with pytest.raises(InvalidInput, match=said):
        meshtwin.graph_of(TEXT, **words)


@pytest.mark.parametrize("wish", [{"connected": 5}, {"dominating": 0}, {"connected": 1.5}])
def test_wish_out_of_bounds_is_refused(wish):
    with pytest.raises(InvalidInput, match="is not a whole number of 1"):
        meshtwin.BackboneWish(**wish)


def run(*words):
    result = CliRunner().invoke(app, [str(word) for word in words])
    if isinstance(result.exception, MeshTwinError):
        raise result.exception
    return result


def test_command_prints_tables_and_a_document(tmp_path):
    path = tmp_path / "ring.yaml"
    path.write_text(TEXT)
    output = run("graph", path, "--backbone").stdout
    assert "relays that nobody can stand in for: 0004" in output
    assert "backbone, 1-connected" in output
    assert ["0003", "yes", "2", "reached", "2"] in [line.split() for line in output.splitlines()]
    document = json.loads(run("graph", path, "--connected", 2, "--to", "0005", "-o", "json").stdout)
    assert document["format"] == "meshtwin.dev/graph/v1"
    assert document["node"] == "0005"
    assert document["backbone"]["connectedReached"] == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"ttl": 1.5}, "ttl 1.5 is no whole number"),
        ({"ttl": True}, "ttl True is no whole number"),
        ({"ttl": 128}, r"ttl 128 is outside 0\.\.127"),
        ({"transmissions": "2"}, "transmissions '2' is no whole number"),
        ({"transmissions": 9}, r"transmissions 9 is outside 1\.\.8"),
        ({"threshold": ".5"}, "threshold '.5' is no number"),
        ({"threshold": True}, "threshold True is no number"),
        ({"threshold": float("nan")}, "threshold nan is outside"),
        ({"backbone": {"connected": 2}}, "is no BackboneWish"),
        ({"backbone": True}, "True is no BackboneWish"),
        ({"to": 1.0}, "to 1.0 is no whole number"),
        ({"to": True}, "to True is no whole number"),
        ({"to": 70000}, r"to 70000 is outside 1\.\.32767"),
        ({"to": -1}, r"to -1 is outside 1\.\.32767"),
    ],
)
def test_arguments_of_another_kind_are_refused_by_name(words, said):
    with pytest.raises(InvalidInput, match=said) as refused:
        meshtwin.graph_of(TEXT, **words)
    assert refused.value.place == next(iter(words))


def test_threshold_is_told_as_it_was_given():
    assert "deliver 99.99% or more" in str(meshtwin.graph_of(TEXT, threshold=0.9999))
    assert "deliver 57% or more" in str(meshtwin.graph_of(TEXT, threshold=0.57))
