"""All keys of scenario files as a page for people, made of the same models as their JSON schema.

``python -m meshtwin.sim.scenario_keys`` writes the page beside the samples, ``--check`` says whether it is up to date.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from meshtwin.contract.generated import run
from meshtwin.sim.scenario_document import ScenarioDocument

__all__ = ["FILE", "FOLDER", "main", "tell_keys"]

FOLDER: Final = Path("manifests/samples/scenarios")  # from the root of a checkout
FILE: Final = "README.md"
# In the order in which they are read; where each stands in a file.
PARTS: Final[Mapping[str, str]] = {
    "NodeDocument": "`nodes[]`",
    "SettingsDocument": "`defaults`, and the same keys in `nodes[]`",
    "TransmitDocument": "`networkTransmit`, `relayRetransmit`",
    "LowPowerDocument": "`nodes[].lowPower`",
    "RadioDocument": "`radio`",
    "LinkDocument": "`links[]`",
    "FlowDocument": "`flows[]`",
    "PublishRetransmitDocument": "`flows[].publishRetransmit`",
    "BackgroundDocument": "`background[]`",
    "InterferenceDocument": "`interference[]`",
    "ChangeDocument": "`changes[]`",
    "RegionDocument": "`region`",
}
HEAD: Final = (
    "# Scenario files: samples and keys\n\n"
    "Every file here is a scenario that `meshtwin simulate FILE` runs; its first lines say what it shows.\n"
    "How the parts work is in [MODELS.md](../../../twin/MODELS.md#scenario-files); `meshtwin schema scenario` prints "
    "the JSON schema for editors and programs.\n\n"
    "The tables are written by `python -m meshtwin.sim.scenario_keys` from the models that read the files.\n"
    "Units are in the keys.\n"
    '"needed": a file without the key is refused. "–": not given is null, and the last column says what that means.\n'
    'Addresses are four hexadecimal digits in quotes; in lists of nodes `"0002-0005"` stands for four of them, all of '
    "which must exist.\n"
)
WORDS: Final = {
    "^[0-9a-fA-F]{4}$": "address",
    "^[0-9a-fA-F]{4}(-[0-9a-fA-F]{4})?$": "address or range",
    "boolean": "true or false",
    "integer": "whole number",
    "number": "number",
    "string": "text",
}


def tell_keys() -> str:
    """The page, in Markdown."""
    schema = ScenarioDocument.model_json_schema(by_alias=True)
    parts = schema["$defs"]
    inherited = parts["SettingsDocument"]["properties"]
    lines = [HEAD, "## The file", "", *_table(schema, parts, ())]
    for name, title in PARTS.items():
        without = inherited if name == "NodeDocument" else ()
        lines += ["", f"## {title}", "", parts[name]["description"], "", *_table(parts[name], parts, without)]
    return "\n".join(lines) + "\n"


def _table(part: Mapping[str, Any], parts: Mapping[str, Any], without: Sequence[str] | Mapping[str, Any]) -> list[str]:
    rows = ["| key | value | not given | says |", "|---|---|---|---|"]
    for key, told in part["properties"].items():
        if key not in without:
            default = "needed" if key in part.get("required", ()) else _default(told.get("default"))
            cells = (f"`{key}`", " or ".join(_values(told, parts)), default, told["description"])
            rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return rows


def _default(value: object) -> str:
    if value is None or value == [] or isinstance(value, dict):
        return "–"
    if isinstance(value, bool) or not isinstance(value, float):
        return f"`{json.dumps(value)}`"
    return f"`{value:g}`"


def _values(told: Mapping[str, Any], parts: Mapping[str, Any]) -> Iterator[str]:
    """What may stand there: kinds, values and bounds; null is told by "not given"."""
    if "anyOf" in told:
        for one in told["anyOf"]:
            yield from _values(one, parts)
    elif "$ref" in told:
        name = told["$ref"].rsplit("/", 1)[-1]
        yield f"see {PARTS[name].split(',', 1)[0]}"
    elif "enum" in told or "const" in told:
        yield ", ".join(f"`{value}`" for value in told.get("enum", [told.get("const")]))
    elif told["type"] == "array":
        yield _list(told, parts)
    elif told["type"] != "null":
        yield WORDS.get(told.get("pattern", ""), _plain(told)) + _bounds(told)


def _plain(told: Mapping[str, Any]) -> str:
    return 'time like `"08:30"`' if "24:00" in told.get("pattern", "") else WORDS[told["type"]]


def _list(told: Mapping[str, Any], parts: Mapping[str, Any]) -> str:
    least, most = told.get("minItems", 0), told.get("maxItems")
    counts = "" if most is None else f" of {least} to {most:,}"
    inner = " or ".join(_values(told["items"], parts))
    return f"list{counts}: {inner}"


def _bounds(told: Mapping[str, Any]) -> str:
    if "maxLength" in told:
        return f" of {told.get('minLength', 0)} to {told['maxLength']} characters"
    low, above = told.get("minimum"), told.get("exclusiveMinimum")
    high, below = told.get("maximum"), told.get("exclusiveMaximum")
    if low is not None and low <= -(2**63):
        return ""  # as many bits as a word has
    lower = f" {low:,.12g}" if low is not None else f" above {above:,.12g}" if above is not None else ""
    upper = f" to {high:,.12g}" if high is not None else f" to below {below:,.12g}" if below is not None else ""
    return f"{lower}{upper}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 1 if ``--check`` finds a difference."""
    return run("meshtwin.sim.scenario_keys", FOLDER, {FILE: tell_keys()}, arguments)


if __name__ == "__main__":
    sys.exit(main())
