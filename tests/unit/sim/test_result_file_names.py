"""Result files of awkward names and kinds, and Parquet files whose parts do not belong together."""

import os
from pathlib import Path

import duckdb
import pytest

from meshtwin.errors import InvalidInput
from meshtwin.library import simulate
from meshtwin.sim.files import read_bounded
from meshtwin.sim.result_file import PARQUET_KEY, read_result

PAIR = """
format: meshtwin.dev/scenario/v1
name: pair
durationSeconds: 60 # no message of the second flow leaves
nodes: [{address: "0001"}, {address: "0002"}]
links: [{source: "0001", target: "0002", delivery: 0.5}]
flows:
  - {name: press, source: "0001", destination: "0002", count: 20, periodSeconds: 1}
  - {name: rare, source: "0001", destination: "0002", count: 1, periodSeconds: 1, startSeconds: 100}
"""


@pytest.fixture(scope="module")
def result():
    return simulate(PAIR, replications=2, engine="reference")


@pytest.mark.parametrize("name", ["r[1].parquet", "a*b.parquet", "who?.parquet", "it's {x,y}.parquet", "R.PARQUET"])
def test_name_of_a_parquet_file_is_no_pattern(name, result, tmp_path):
    other = simulate(PAIR.replace("name: pair", "name: other"), replications=2, engine="reference")
    other.save(tmp_path / "r1.parquet")  # which r[1].parquet would fit as a pattern
    result.save(tmp_path / name)
    assert read_result(tmp_path / name) == result.document
    (tmp_path / name).unlink()
    with pytest.raises(InvalidInput, match="not a result"):
        read_result(tmp_path / name)


def test_suffix_may_be_in_capitals(result, tmp_path):
    result.save(tmp_path / "r.JSON")
    assert read_result(tmp_path / "r.JSON") == result.document


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ("replace (case when flow = 'press' then 'other' else flow end as flow)", "know no flow 'other'"),
        ("replace (true as arrived)", "rows of 40 messages and 40 arrivals, and its metadata tell 40 and"),
        ("exclude (arrived)", "arrived"),
    ],
)
def test_parquet_whose_rows_are_of_another_result_is_refused(changed, told, result, tmp_path):
    result.save(tmp_path / "r.parquet")
    said = result.document.model_dump_json(by_alias=True).replace("'", "''")
    duckdb.sql(
        f"copy (select * {changed} from '{tmp_path / 'r.parquet'}') to '{tmp_path / 'mixed.parquet'}' "
        f"(format parquet, kv_metadata {{'{PARQUET_KEY}': '{said}'}})"
    )
    with pytest.raises(InvalidInput, match="not a result") as caught:
        read_result(tmp_path / "mixed.parquet")
    assert told in str(caught.value)


@pytest.mark.parametrize("name", ["pipe.json", "pipe.parquet"])
def test_named_pipe_is_refused_and_not_waited_for(name, tmp_path):
    os.mkfifo(tmp_path / name)
    with pytest.raises(InvalidInput, match="it is a named pipe; give a file, or /dev/stdin"):
        read_result(tmp_path / name)


def test_pipe_that_a_shell_opened_is_read():
    reading, writing = os.pipe()
    os.write(writing, b"told")
    os.close(writing)
    try:
        assert read_bounded(Path(f"/dev/fd/{reading}"), 100) == b"told"
    finally:
        os.close(reading)
