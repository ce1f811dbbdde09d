"""A name that is given twice in JSON is refused, wherever it stands."""

import pytest

from meshtwin.contract.json_names import check_names_unique
from meshtwin.errors import InvalidInput


@pytest.mark.parametrize("text", ['{"a": 1, "a": 1}', '[{"b": {"a": 1, "c": 2, "a": 3}}]', '{"a": 1, "\\u0061": 2}'])
def test_a_name_given_twice_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"'a' is given twice; keep one of them") as caught:
        check_names_unique(text, "gateway.json")

    assert caught.value.place == "gateway.json"


@pytest.mark.parametrize("text", ['{"a": {"a": 1}, "b": {"a": 2}}', "[1]", "", "{", '{"a": 1, "a"'])
def test_other_texts_pass_and_what_is_no_json_is_told_by_who_reads_it(text: str) -> None:
    check_names_unique(text, "gateway.json")
