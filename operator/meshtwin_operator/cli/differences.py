"""What a proposal changes, node by node and setting by setting, and what was predicted of it. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from meshtwin.mesh.addresses import UnicastAddress, compress_addresses
from meshtwin_operator.resources.settings import SettingsSpec

__all__ = ["KPI_ROWS", "SettingChange", "experience_text", "kpi_rows", "setting_changes"]

SETTINGS: Final = ("relay", "relayRetransmit", "networkTransmit", "defaultTtl")


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingChange:
    """One setting that changes from one value to another on these nodes (ranges)."""

    nodes: tuple[str, ...]
    count: int
    setting: str
    before: str
    after: str


def setting_changes(
    base: Sequence[Mapping[str, Any]],
    proposed: Sequence[Mapping[str, Any]],
    inventory: Iterable[UnicastAddress] | None = None,
) -> tuple[SettingChange, ...]:
    """Changes of ``proposed`` against ``base`` (settings lists of resources), grouped; in order of first node.

    ``inventory``: the nodes that exist; None: every address inside the ranges is taken for one.
    """
    known = None if inventory is None else frozenset(inventory)
    before, after = _expanded(base, known), _expanded(proposed, known)
    groups: dict[tuple[str, str, str], list[UnicastAddress]] = {}
    for address in sorted(after):
        for setting, value in after[address].items():
            old = before.get(address, {}).get(setting, "?")
            if old != value:
                groups.setdefault((setting, old, value), []).append(address)
    every = sorted(known if known is not None else set(before) | set(after))
    return tuple(
        SettingChange(
            nodes=compress_addresses(addresses, every),
            count=len(addresses),
            setting=setting,
            before=old,
            after=new,
        )
        for (setting, old, new), addresses in sorted(groups.items(), key=lambda item: (item[0][0], item[1]))
    )


def _expanded(
    settings: Sequence[Mapping[str, Any]], known: frozenset[UnicastAddress] | None
) -> dict[UnicastAddress, dict[str, str]]:
    out: dict[UnicastAddress, dict[str, str]] = {}
    for entry in settings:
        spec = SettingsSpec.model_validate(entry)
        said = spec.model_dump(by_alias=True, exclude_none=True)
        values: dict[str, str] = {name: _text(said[name]) for name in SETTINGS if name in said}
        for text in spec.nodes:
            first, _, last = text.partition("-")
            for number in range(int(first, 16), int(last or first, 16) + 1):
                address = UnicastAddress(number)
                if known is None or address in known:
                    out.setdefault(address, {}).update(values)
    return out


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return f"{value['count']} repeats, every {(value['intervalSteps'] + 1) * 10} ms"
    return str(value)


KPI_ROWS: Final = ("on time", "delivery", "spread p95", "latency p95", "airtime")


def kpi_rows(figures: Mapping[str, Any] | None) -> list[tuple[str, str, str]]:
    """Rows (flow, figure, text) of ``KpiFigures`` as they stand in a resource; airtime's flow is empty."""
    rows: list[tuple[str, str, str]] = []
    for flow in (figures or {}).get("flows") or []:
        name = flow["flow"]
        for title, field in (("on time", "onTime"), ("delivery", "delivery")):
            if flow.get(field):
                rows.append((name, title, _interval(flow[field])))
        for title, field in (("spread p95", "spreadP95Milliseconds"), ("latency p95", "latencyP95Milliseconds")):
            if flow.get(field) is not None:
                rows.append((name, title, f"{flow[field]} ms"))
    airtime = (figures or {}).get("airtimePerMille")
    if airtime is not None:
        rows.append(("", "airtime", f"{airtime / 10:.1f} %"))
    return rows


def experience_text(prediction: Mapping[str, Any]) -> str | None:
    """What the intervals of a prediction are of, and on what experience they rest; None: the model's own."""
    used = prediction.get("scorecard")
    if used is None:
        return None
    text = f"intervals: 90 % of what {used['messages']} messages per flow will show; "
    if not used["predictions"]:
        return text + f"scorecard of {used['segment']}: empty, so errors of the model on other networks count"
    since = used.get("since", "?")[:10]
    return text + f"scorecard of {used['segment']}: {used['predictions']} predictions measured since {since}"


def _interval(figures: Mapping[str, int]) -> str:
    low, high = figures["lowPerMille"] / 10, figures["highPerMille"] / 10
    return f"{figures['estimatePerMille'] / 10:.1f} % ({low:.1f}–{high:.1f})"
