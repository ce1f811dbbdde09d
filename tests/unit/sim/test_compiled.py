"""The compiled engine by itself: one signature, arrays that grow, a cache that works, and what it declines."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pytest

import meshtwin
from meshtwin.errors import InvalidInput
from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import Transmit
from meshtwin.sim.compiled import compile_ahead, run_compiled, unsupported
from meshtwin.sim.compiled.run import run_state
from meshtwin.sim.packets import LossCause
from meshtwin.sim.profiles import PROFILES, get_profile
from meshtwin.sim.reference import run_reference
from meshtwin.sim.scenario import NodeChange, Scenario, ScenarioBackground, ScenarioFlow, ScenarioLink, ScenarioNode
from meshtwin.sim.scenario_features import LowPower, Retries, Segmentation
from meshtwin.sim.states import preset_states


def build_lattice(side: int, *, count: int, profile: str = "zephyr", deviation: float = 0.0) -> Scenario:
    """``side`` times ``side`` relays with links of 0.7 to their neighbours; corners talk to corners and a group."""
    addresses = [UnicastAddress(i + 1) for i in range(side * side)]
    thrice = Transmit(count=2, interval_steps=0)
    near = [
        (addresses[i], addresses[j])
        for i in range(side * side)
        for j in range(side * side)
        if abs(i // side - j // side) + abs(i % side - j % side) == 1
    ]
    return Scenario(
        name="lattice",
        nodes=tuple(
            ScenarioNode(address=a, relay=True, ttl=12, network_transmit=thrice, relay_retransmit=thrice)
            for a in addresses
        ),
        links=tuple(ScenarioLink(source=a, target=b, delivery=0.7, delivery_deviation=deviation) for a, b in near),
        flows=(
            ScenarioFlow(name="far", source=addresses[0], members=(addresses[-1],), count=count, period_s=0.05),
            ScenarioFlow(
                name="group", source=addresses[-1], members=tuple(addresses[:5]), count=count, period_s=0.07,
                response_pdu_bytes=21,
            ),
        ),
        background=(ScenarioBackground(name="murmur", sources=tuple(addresses), rate_per_s=20.0),),
        profile=get_profile(profile),
    )  # fmt: skip


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_busy_network_is_equal_in_both_engines(name):
    scenario = replace(build_lattice(5, count=12, profile=name, deviation=0.2), is_traced=True)
    assert run_compiled(scenario, 7, 0) == run_reference(scenario, 7, 0)


def test_busy_network_is_equal_under_preset_states():
    scenario = build_lattice(5, count=8)
    states = preset_states(scenario, seed=3)
    assert run_compiled(scenario, 3, 0, states) == run_reference(scenario, 3, 0, states)
    assert run_compiled(scenario, 3, 0, states) != run_compiled(scenario, 3, 0)


def test_busy_network_loses_for_every_common_cause():
    """Otherwise the comparisons above would show little."""
    profile = replace(get_profile("zephyr"), relay_buffer=1, scan_window_ns=20_000_000)
    scenario = replace(build_lattice(5, count=30), profile=profile)
    scenario = replace(scenario, flows=tuple(replace(flow, period_s=0.01) for flow in scenario.flows))
    scenario = replace(scenario, nodes=tuple(replace(node, ttl=4) for node in scenario.nodes))
    losses = run_compiled(scenario, 7, 0).losses
    rare = {LossCause.SWITCHED_OFF, LossCause.INTERFERENCE}
    told = {cause for cause in LossCause if losses[cause]}
    common = {
        LossCause.BELOW_SENSITIVITY, LossCause.COLLISION, LossCause.RADIO_BUSY, LossCause.NOT_LISTENING,
        LossCause.CACHE, LossCause.TTL, LossCause.BUFFER,
    }  # fmt: skip
    assert common <= told
    assert not told & rare


def test_equal_arguments_give_equal_results_and_replications_differ():
    scenario = build_lattice(4, count=5)
    assert run_compiled(scenario, 1, 0) == run_compiled(scenario, 1, 0)
    assert run_compiled(scenario, 1, 0).messages != run_compiled(scenario, 1, 1).messages


def test_configurations_that_share_links_do_not_share_results():
    scenario = build_lattice(4, count=5)
    silent = replace(scenario, nodes=tuple(replace(node, relay=False) for node in scenario.nodes))
    assert run_compiled(scenario, 1, 0).transmissions > run_compiled(silent, 1, 0).transmissions
    assert run_compiled(silent, 1, 0) == run_reference(silent, 1, 0)


def test_arrays_grow_when_a_run_needs_more():
    scenario = replace(build_lattice(3, count=400), is_traced=True)
    state = run_state(scenario, 1, 0)
    fresh = run_state(replace(scenario, flows=(), background=()), 1, 0)
    assert len(state.trace) > len(fresh.trace)
    assert len(state.arrivals) > len(fresh.arrivals)
    assert len(state.slots) == len(state.known)


def test_rows_of_messages_that_are_through_are_used_again():
    state = run_state(build_lattice(3, count=400), 1, 0)
    assert len(state.known) < len(state.messages) / 4


def test_network_of_one_node_without_links_or_flows_ends_at_once():
    node = ScenarioNode(
        address=UnicastAddress(1), relay=True, ttl=5, network_transmit=Transmit(count=0, interval_steps=0),
        relay_retransmit=Transmit(count=0, interval_steps=0),
    )  # fmt: skip
    scenario = Scenario(name="alone", nodes=(node,), links=(), flows=())
    assert run_compiled(scenario, 1, 0) == run_reference(scenario, 1, 0)


def test_node_that_goes_and_comes_back_is_equal_in_both_engines():
    scenario = build_lattice(3, count=20)
    middle = UnicastAddress(5)
    changes = (NodeChange(at_s=0.2, node=middle, is_on=False), NodeChange(at_s=0.7, node=middle, is_on=True))
    scenario = replace(scenario, changes=changes, is_traced=True)
    result = run_compiled(scenario, 1, 0)
    assert result == run_reference(scenario, 1, 0)
    assert result.losses[LossCause.SWITCHED_OFF] > 0


def test_one_signature_is_compiled_whatever_the_scenario():
    from meshtwin.sim.compiled.kernel import advance

    scenario = build_lattice(3, count=3)
    run_compiled(scenario, 1, 0)
    run_compiled(replace(scenario, background=(), duration_s=1.0, is_traced=True), 2**63, 5)
    run_compiled(replace(scenario, links=()), 1, 0)
    run_compiled(scenario, 1, 0, preset_states(scenario, seed=1))
    run_compiled(add_transport(scenario), 1, 0)
    assert len(advance.signatures) == 1


def test_feature_that_the_engine_lacks_is_named_and_refused():
    @dataclass(frozen=True, slots=True, kw_only=True)
    class BrightFlow(ScenarioFlow):
        brightness: int = 0

    scenario = build_lattice(2, count=1)
    flow = scenario.flows[0]
    said = {f.name: getattr(flow, f.name) for f in fields(flow)}
    assert unsupported(replace(scenario, flows=(BrightFlow(**said),))) is None
    bright = replace(scenario, flows=(BrightFlow(**said, brightness=3),))
    assert "brightness" in (unsupported(bright) or "")
    with pytest.raises(InvalidInput, match="brightness"):
        run_compiled(bright, 1, 0)


def add_transport(scenario: Scenario) -> Scenario:
    """With a segmented flow to one, one to a group, and two low-power nodes of one friend with a short queue."""
    low = LowPower(friend=UnicastAddress(2), poll_interval_s=2.0, poll_retries=2)
    nodes = tuple(
        replace(node, relay=False, low_power=low) if node.address in (1, 3) else replace(node, friend_queue_size=1)
        for node in scenario.nodes
    )
    far, last = scenario.flows[0], scenario.nodes[-1].address
    flows = (
        replace(far, source=last, members=(UnicastAddress(1), UnicastAddress(3)), response_pdu_bytes=21),
        replace(
            far, name="letter", source=last, members=(UnicastAddress(2),), segmentation=Segmentation(access_bytes=60)
        ),
        replace(
            far, name="letters", source=UnicastAddress(4), members=tuple(n.address for n in nodes[4:8]),
            segmentation=Segmentation(access_bytes=20), retries=Retries(count=1, after_s=1.0), response_pdu_bytes=21,
        ),
    )  # fmt: skip
    return replace(scenario, nodes=nodes, flows=tuple(replace(flow, period_s=0.5) for flow in flows))


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_network_with_segments_and_sleeping_nodes_is_equal_in_both_engines(name):
    scenario = replace(add_transport(build_lattice(3, count=6, profile=name)), is_traced=True, background=())
    changes = (NodeChange(at_s=1.3, node=UnicastAddress(2), is_on=False),)
    changes += (NodeChange(at_s=1.6, node=UnicastAddress(2), is_on=True),)
    result = run_compiled(replace(scenario, changes=changes), 7, 0)
    assert result == run_reference(replace(scenario, changes=changes), 7, 0)
    assert result.losses[LossCause.FRIEND_QUEUE] > 0
    assert {m.flow for m in result.messages if m.arrivals} == {"far", "letter", "letters"}


def test_rounds_of_resends_that_make_progress_go_on_in_both_engines():
    """One send over links of 0.7: most rounds bring something, and one without progress would be the last."""
    lattice = build_lattice(2, count=20)
    once = Transmit(count=0, interval_steps=0)
    zephyr = get_profile("zephyr")
    timing = replace(zephyr.segmentation, retransmissions=4, retransmissions_without_progress=1)
    flow = replace(lattice.flows[0], members=(UnicastAddress(2),), segmentation=Segmentation(access_bytes=100))
    scenario = replace(
        lattice,
        nodes=tuple(replace(n, network_transmit=once, relay_retransmit=once) for n in lattice.nodes),
        flows=(replace(flow, period_s=4.0),),
        background=(),
        profile=replace(zephyr, segmentation=timing),
        is_traced=True,
    )
    result = run_compiled(scenario, 1, 0)
    assert result == run_reference(scenario, 1, 0)
    single = replace(scenario, profile=replace(zephyr, segmentation=replace(timing, retransmissions=1)))
    assert sum(m.reached_all for m in result.messages) > sum(m.reached_all for m in run_compiled(single, 1, 0).messages)


def test_arrays_of_segmented_messages_grow_when_a_run_needs_more():
    scenario = add_transport(build_lattice(3, count=150))
    state = run_state(scenario, 1, 0)
    assert len(state.sendings) > 256
    assert len(state.receptions) > len(state.sendings)
    assert run_compiled(scenario, 1, 0) == run_compiled(scenario, 1, 0)


def test_bits_of_draws_over_arrays_are_those_of_single_draws():
    from meshtwin.sim.array_draws import draw_all, extend_all
    from meshtwin.sim.draws import draw, extend_key

    parts = np.array([0, 1, 5, 2**64 - 1], dtype=np.uint64)
    assert extend_all(77, parts).tolist() == [extend_key(77, int(part)) for part in parts]
    assert draw_all(parts, 3).tolist() == [draw(int(part), 3) for part in parts]


def test_simulator_can_be_imported_without_loading_numba():
    code = "import sys, meshtwin.sim.engine; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_kernel_is_compiled_where_there_is_no_place_for_a_cache(monkeypatch):
    from numba.core.caching import CompileResultCacheImpl

    from meshtwin.sim.compiled import jit

    monkeypatch.setenv("NUMBA_CACHE_DIR", "elsewhere")  # so the package's own folder is not asked
    monkeypatch.setattr(CompileResultCacheImpl, "_locator_classes", [])

    def double(x: int) -> int:
        return 2 * x

    assert jit.kernel(double)(21) == 42


def test_kernel_comes_from_the_cache_of_a_package_that_cannot_be_written_to(tmp_path):
    """As in a container with a read-only root: found by its content, not by path or date."""
    if os.environ.get("NUMBA_CACHE_DIR"):
        pytest.skip("the cache of this run is elsewhere")
    folder = Path(compile_ahead())
    package = tmp_path / "meshtwin"
    shutil.copytree(Path(meshtwin.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    cache = package / "sim" / "compiled" / "__pycache__"
    shutil.copytree(folder, cache)
    before = sorted(path.name for path in cache.iterdir())
    for path in (package, *package.rglob("*")):
        path.chmod(path.stat().st_mode & ~0o222 | 0o444)
    code = "from meshtwin.sim.compiled import compile_ahead; print(compile_ahead())"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "NUMBA_DEBUG_CACHE": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    # root may write anywhere, unless it is without the right to override permissions
    as_others = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    command = [*(as_others if shutil.which("setpriv") else []), sys.executable, "-c", code]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert f"data loaded from '{cache}" in told.stdout
    assert "saved" not in told.stdout
    assert sorted(path.name for path in cache.iterdir()) == before
