"""Each constant of each stack profile stands in a table with its source; one that is changed goes red here."""

from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from meshtwin.sim.profiles import PROFILES, SegmentationTiming, StackProfile

TABLE = yaml.safe_load((Path(__file__).parent / "profile_constants.yaml").read_text(encoding="utf-8"))
ABSENT = TABLE.pop("no_such_rule")
NOT_CONSTANTS = {"name", "source", "segmentation"}


def expected_of(name):
    """(constant -> value, constant -> source) as the table has them."""
    told = dict(TABLE[name])
    like = told.pop("like", None)
    values, sources = expected_of(like) if like else (dict(ABSENT), {})
    if "segmentation" in told:
        other, why = told.pop("segmentation")
        theirs, _ = expected_of(other)
        told.update({key: [value, why] for key, value in theirs.items() if key.startswith("segmentation.")})
    values.update({key: value for key, (value, _) in told.items()})
    sources.update({key: source for key, (_, source) in told.items()})
    return values, sources


def constants_of(profile):
    plain = {f.name: getattr(profile, f.name) for f in fields(StackProfile) if f.name not in NOT_CONSTANTS}
    timing = {f"segmentation.{f.name}": getattr(profile.segmentation, f.name) for f in fields(SegmentationTiming)}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in (plain | timing).items()}


def test_every_profile_has_its_table():
    assert set(TABLE) == set(PROFILES)


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_constants_of_a_profile_are_those_of_its_sources(name):
    values, sources = expected_of(name)
    assert constants_of(PROFILES[name]) == values
    assert all(source.strip() for source in sources.values())
    assert {key for key, value in values.items() if value != ABSENT.get(key, object())} <= set(sources)
