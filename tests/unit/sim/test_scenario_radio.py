"""Radio models of scenario files: shadowing, floors, and keys that a model has no use for."""

import math
from statistics import fmean, stdev

import pytest

from meshtwin.errors import InvalidInput
from meshtwin.sim.scenario_file import parse_scenario

FLOW = 'flows: [{name: f, source: "0001", destination: "0002", count: 1, periodSeconds: 1}]'


def powers_dbm(radio, places):
    """Received power by (source, target) of nodes 1, 2, ... at ``places``."""
    nodes = ", ".join(f'{{address: "{i + 1:04x}", positionM: {list(at)}}}' for i, at in enumerate(places))
    scenario = parse_scenario(f"nodes: [{nodes}]\nradio: {{{radio}}}\n{FLOW}\n")
    return {(link.source, link.target): link.rx_power_dbm for link in scenario.links}


def many_pairs(radio):
    """Powers of 150 nodes on a circle of 10 m around the first one, from it and to it."""
    turns = [i / 150 * 2 * math.pi for i in range(150)]
    found = powers_dbm(radio, [(0.0, 0.0), *((10 * math.cos(turn), 10 * math.sin(turn)) for turn in turns)])
    return [found[1, n] for n in range(2, 152)], [found[n, 1] for n in range(2, 152)]


FREE_SPACE_AT_10_M_DB = 60.1  # Friis at 2.426 GHz: 20 log10(4 pi 10 m / 0.12358 m)


def test_free_space_takes_shadowing_of_direction_and_pair():
    there, back = many_pairs("model: freeSpace, shadowingDb: 3, pairShadowingDb: 4")
    assert fmean(there + back) == pytest.approx(-FREE_SPACE_AT_10_M_DB, abs=1.2)
    assert stdev(there + back) == pytest.approx(5.0, rel=0.15)  # 3 and 4 at right angles
    assert stdev([a - b for a, b in zip(there, back, strict=True)]) == pytest.approx(3.0 * 2**0.5, rel=0.15)


def test_free_space_without_shadowing_is_friis():
    there, back = many_pairs("model: freeSpace")
    assert there == pytest.approx([-FREE_SPACE_AT_10_M_DB] * 150, abs=0.05)
    assert back == pytest.approx(there)


def test_shadowing_in_free_space_brings_nodes_beyond_its_range_within_reach():
    """108 dB of free space end at 2.5 km; without shadowing nobody at 3 km is heard."""
    places = [(0.0, 0.0), *((3000.0, 10.0 * i) for i in range(30))]
    assert (1, 2) not in powers_dbm("model: freeSpace", places)
    shadowed = powers_dbm("model: freeSpace, shadowingDb: 10", places)
    assert any((1, n) in shadowed for n in range(2, 32))


@pytest.mark.parametrize(
    ("radio", "key", "owner"),
    [
        ("model: ituIndoor, exponent: 3", "radio.exponent", "logDistance"),
        ("model: ituIndoor, referenceDb: 40", "radio.referenceDb", "logDistance"),
        ("model: freeSpace, exponent: 3", "radio.exponent", "logDistance"),
        ("model: logDistance, environment: officeOpen", "radio.environment", "ituIndoor"),
        ("model: logDistance, floorHeightM: 3", "radio.floorHeightM", "ituIndoor"),
        ("environment: officeOpen", "radio.environment", "ituIndoor"),
        ("model: unitDisc, rangeM: 9, shadowingDb: 4", "radio.shadowingDb", "freeSpace"),
        ("model: hardRange, rangeM: 9, pairShadowingDb: 4", "radio.pairShadowingDb", "freeSpace"),
        ("model: unitDisc, rangeM: 9, shadowingSeed: 4", "radio.shadowingSeed", "freeSpace"),
    ],
)
def test_key_of_another_radio_model_is_refused_with_its_place_and_owner(radio, key, owner):
    with pytest.raises(InvalidInput, match=owner) as refused:
        powers_dbm(radio, [(0.0, 0.0), (5.0, 0.0)])
    assert key in f"{refused.value.place} {refused.value}"


OFFICE = "model: ituIndoor, environment: officeObstructed, shadowingDb: 0"


def office_loss_db(distance_m):
    """ITU-R P.1238-11, table 2, at 2.426 GHz."""
    return 24.6 * math.log10(distance_m) + 29.53 + 23.8 * math.log10(2.426)


@pytest.mark.parametrize(("height_m", "floors_db"), [(2.9, 0.0), (3.5, 15.0), (6.0, 19.0), (9.4, 23.0)])
def test_floors_of_a_file_cost_what_the_recommendation_says(height_m, floors_db):
    """ITU-R P.1238-8, table 3: 15 + 4 (n - 1) dB."""
    found = powers_dbm(f"{OFFICE}, floorHeightM: 3", [(0.0, 0.0, 0.0), (0.0, 0.0, height_m)])
    assert found[1, 2] == pytest.approx(-office_loss_db(height_m) - floors_db)
    assert found[2, 1] == pytest.approx(found[1, 2])


def test_without_floor_height_nothing_but_distance_counts():
    found = powers_dbm(OFFICE, [(0.0, 0.0, 0.0), (0.0, 0.0, 3.5)])
    assert found[1, 2] == pytest.approx(-office_loss_db(3.5))


def test_nodes_on_one_floor_have_none_between_them_wherever_it_is():
    low, high = (powers_dbm(f"{OFFICE}, floorHeightM: 0.7e1", [(0, 0, z), (8, 0, z + 2)]) for z in (0.0, 21.0))
    assert low[1, 2] == pytest.approx(high[1, 2])
    below = powers_dbm(f"{OFFICE}, floorHeightM: 3", [(0, 0, -1), (8, 0, 1)])
    assert below[1, 2] == pytest.approx(-office_loss_db(math.hypot(8, 2)) - 15.0)


def test_indoor_shadowing_is_that_of_the_environment_unless_a_file_says_otherwise():
    """Sigma of an obstructed industrial hall: 9.05 dB, of pairs, since both directions see the same walls."""
    there, back = many_pairs("model: ituIndoor, environment: industrialObstructed, txPowerDbm: 40")
    assert there == pytest.approx(back)
    assert stdev(there) == pytest.approx(9.05, rel=0.2)
    for said in ("shadowingDb: 0", "pairShadowingDb: 0"):
        plain, _ = many_pairs(f"model: ituIndoor, environment: industrialObstructed, txPowerDbm: 40, {said}")
        assert stdev(plain) == pytest.approx(0.0, abs=1e-9)
