"""Ctrl-C and SIGTERM at a real process: what is finished is kept and told."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

PAIR = """
format: meshtwin.dev/scenario/v1
name: pair
defaults: {relay: false, ttl: 3}
nodes: [{address: "0001", positionM: [0, 0]}, {address: "0002", positionM: [5, 0]}]
radio: {model: logDistance}
flows: [{name: press, source: "0001", destination: "0002", count: 20, periodSeconds: 1}]
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_simulate_tells_the_finished_replications(tmp_path, number, code):
    pair = tmp_path / "pair.yaml"
    pair.write_text(PAIR)
    command = [
        sys.executable,
        "-m",
        "meshtwin_operator.cli.main",
        "simulate",
        str(pair),
        "-o",
        "json",
        "--engine",
        "reference",
    ]
    process = subprocess.Popen(
        [*command, "--replications", "10000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"}, start_new_session=True,
    )  # fmt: skip
    # it says nothing before it ends: by the processor time that it has had, it is past its imports (1 s)
    while cpu_seconds(process.pid) < 3.0 and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    document = json.loads(output)
    assert process.returncode == code
    assert 0 < document["replications"] < document["replicationsAsked"] == 10_000
    gap = f"replications {document['replications'] + 1} to 10000: interrupted"
    assert document["gaps"] == [gap]
    assert f"missing of pair: {gap}" in errors


def cpu_seconds(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
    except FileNotFoundError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
