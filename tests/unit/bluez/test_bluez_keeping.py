"""Keys from a file, and what a gateway must never lose: sequence numbers, IV index, the token to its node."""

import json
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtwin.errors import Inconsistent, InvalidInput, Unavailable
from meshtwin.gateway.bluez.continuity import Continuity, ContinuityFile, check_continuity
from meshtwin.gateway.bluez.credentials import parse_credentials, read_credentials, to_document

SECRET = "00112233445566778899aabbccddeeff"
SEEN = Continuity(
    address=2, uuid="6f666669636550659368000000000002", token=17, is_commissioned=True, iv_index=3, sequence_number=900
)


def make_document(**changes: Any) -> dict[str, Any]:
    document: dict[str, Any] = {
        "meshUUID": "6f666669-6365-4d65-9368-00000000000c",
        "netKeys": [{"index": 0, "key": SECRET}],
        "appKeys": [{"index": 0, "boundNetKey": 0, "key": SECRET}],
        "nodes": [
            {"UUID": f"6f666669-6365-4065-9368-{a:012d}", "unicastAddress": f"{a:04x}", "deviceKey": SECRET}
            for a in (1, 2)
        ],
    }
    return document | changes


def parse(document: dict[str, Any]) -> Any:
    return parse_credentials(json.dumps(document).encode())


def test_keys_survive_being_written_and_read() -> None:
    credentials = parse(make_document(ivIndex=4))

    assert parse_credentials(to_document(credentials)) == credentials
    assert credentials.of(2).iv_index == 4


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"netKeys": []}, "KeysUnusable"),
        ({"netKeys": [{"index": 1, "key": SECRET}]}, "KeysMissing"),
        ({"appKeys": [{"index": 0, "key": "secret!"}]}, "KeysUnusable"),
        ({"nodes": [{"UUID": "x" * 32, "unicastAddress": "0001", "deviceKey": SECRET}]}, "KeysUnusable"),
        ({"nodes": make_document()["nodes"][:1] * 2}, "KeysUnusable"),
    ],
)
def test_unusable_keys_are_refused_and_never_shown(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse(make_document(**changes))

    assert refused.value.reason == reason
    assert SECRET not in str(refused.value)
    assert "secret!" not in str(refused.value)


def test_a_node_without_a_device_key_is_named() -> None:
    with pytest.raises(InvalidInput, match="0009") as refused:
        parse(make_document()).of(9)

    assert refused.value.reason == "KeysMissing"


def test_keys_are_not_in_the_text_of_credentials() -> None:
    assert SECRET not in repr(parse(make_document()))


def test_a_missing_keys_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="export the network") as missing:
        read_credentials(tmp_path / "keys.json")

    assert missing.value.reason == "KeysMissing"


@given(iv=st.integers(0, 5), sequence=st.integers(0, 0xFFFFFF))
def test_a_daemon_may_go_on_but_never_go_back(iv: int, sequence: int) -> None:
    if (iv, sequence) >= (SEEN.iv_index, SEEN.sequence_number):
        assert check_continuity(SEEN, iv, sequence) == replace(SEEN, iv_index=iv, sequence_number=sequence)
    else:
        with pytest.raises(Inconsistent, match="older backup") as refused:
            check_continuity(SEEN, iv, sequence)
        assert refused.value.reason == "OlderBackup"


def test_what_is_kept_is_read_back_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    file = ContinuityFile(tmp_path)
    assert file.read() is None

    file.write(SEEN)

    assert file.read() == SEEN
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600


def test_a_broken_file_is_refused_with_its_place(tmp_path: Path) -> None:
    file = ContinuityFile(tmp_path)
    file.path.write_text('{"token": "half')

    with pytest.raises(InvalidInput, match=r"bluez\.json") as refused:
        file.read()

    assert refused.value.reason == "MemoryBroken"


def test_a_folder_that_vanished_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as refused:
        ContinuityFile(tmp_path / "gone").write(SEEN)

    assert refused.value.reason == "StoreUnavailable"
