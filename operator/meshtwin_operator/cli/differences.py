"""What a proposal changes, node by node and setting by setting, and what was predicted of it. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from meshtwin.mesh.addresses import UnicastAddress, compress_addresses
from meshtwin.wording import counted
from meshtwin_operator.resources.settings import SettingsSpec

__all__ = [
    "SettingChange",
    "difference_rows",
    "experience_text",
    "kpi_rows",
    "left_out_text",
    "origin_text",
    "setting_changes",
]

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
        count = value["count"]
        return f"{count} repeat{'' if count == 1 else 's'}, every {(value['intervalSteps'] + 1) * 10} ms"
    return str(value)


# Shares and times of a flow: title and field. What was measured by round trips is no figure of the way there, and
# has titles of its own, so that it never stands beside one.
ONE_WAY: Final = (
    (("on time", "onTime"), ("reached all", "reachedAll"), ("delivery", "delivery"), ("answered", "answered")),
    (("spread p95", "spreadP95"), ("latency p95", "latencyP95")),
)
ROUND_TRIP: Final = (
    (("all answered", "reachedAll"), ("answered", "delivery")),
    (("round trip p95", "latencyP95"),),
)


def kpi_rows(figures: Mapping[str, Any] | None, *, is_whole: bool = False) -> list[tuple[str, str, str]]:
    """Rows (flow, figure, text) of ``KpiFigures`` as they stand in a resource; airtime's flow is empty.

    Of a flow that has "on time", "reached all" is told only if ``is_whole``.
    """
    rows: list[tuple[str, str, str]] = []
    for flow in (figures or {}).get("flows") or []:
        name = flow["flow"]
        shares, times = ROUND_TRIP if flow.get("howKnown") == "roundTrip" else ONE_WAY
        for title, field in shares:
            if flow.get(field) and (is_whole or field != "reachedAll" or not flow.get("onTime")):
                rows.append((name, title, _interval(flow[field])))
        for title, field in times:
            if flow.get(f"{field}Milliseconds") is not None:
                bounds = flow.get(f"{field}Bounds") or {}
                told = _bounds(bounds.get("lowMilliseconds"), bounds.get("highMilliseconds"), "d")
                rows.append((name, title, f"{flow[f'{field}Milliseconds']} ms{told}"))
    airtime = (figures or {}).get("airtimePerMille")
    if airtime is not None:
        bounds = (figures or {}).get("airtimeBounds") or {}
        rows.append(("", "airtime, mean", _airtime(airtime, bounds)))
    for here in (figures or {}).get("airtimeAt") or []:
        rows.append(("", f"airtime at {here['node']}", _airtime(here["perMille"], here.get("bounds") or {})))
    for title, field, unit in STANDING:
        if (value := (figures or {}).get(field)) is not None:
            rows.append(("", title, f"{value}{unit}"))
    return rows


# What follows from a configuration without any message being sent.
STANDING: Final = (
    ("disjoint paths", "redundancy", ""),
    ("battery, sending", "batteryMillijoulesPerHour", " mJ/h"),
)


def origin_text(prediction: Mapping[str, Any]) -> str:
    """What a prediction was computed from: model, profile, seed, replications, fingerprint of the snapshot."""
    count = prediction.get("replications", 1)
    return (
        f"by {prediction.get('model')}, profile {prediction.get('profile')}, seed {prediction.get('seed')}, "
        f"{count} replication{'' if count == 1 else 's'}, snapshot {prediction.get('snapshotFingerprint')}"
    )


DIFFERENCES: Final = (
    ("on time", "onTime"), ("delivery", "delivery"), ("answered", "answered"), ("latency p50", "latencyP50"),
    ("latency p95", "latencyP95"), ("latency p99", "latencyP99"),
)  # fmt: skip


def difference_rows(prediction: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """After less before by (flow, figure), of a prediction that has differences; shares in points."""
    return {
        (told["flow"], title): _difference(told[field])
        for told in prediction.get("differences") or []
        for title, field in DIFFERENCES
        if field in told  # not all ask for answers
    }


def left_out_text(prediction: Mapping[str, Any]) -> str | None:
    """How many flows and nodes a prediction has no room for, and which; None: it tells all."""
    flows, nodes = prediction.get("flowsLeftOut", 0), prediction.get("nodesLeftOut", 0)
    parts = [counted(n, what) for n, what in ((flows, "flow"), (nodes, "gateway node")) if n]
    if not parts:
        return None
    return f"left out: {' and '.join(parts)}, which change less or are better off than those told"


def _difference(told: Mapping[str, int]) -> str:
    """Of shares in per mille, or of times in milliseconds; "not known" without an estimate."""
    if "estimatePerMille" in told:
        low, high = (None if (b := told.get(f"{end}PerMille")) is None else b / 10 for end in ("low", "high"))
        return f"{told['estimatePerMille'] / 10:+.1f} points{_bounds(low, high, '+.1f')}"
    if "estimateMilliseconds" in told:
        bounds = _bounds(told.get("lowMilliseconds"), told.get("highMilliseconds"), "+d")
        return f"{told['estimateMilliseconds']:+d} ms{bounds}"
    return "not known"


def _airtime(per_mille: int, bounds: Mapping[str, int]) -> str:
    low, high = (None if (b := bounds.get(f)) is None else b / 10 for f in ("lowPerMille", "highPerMille"))
    return f"{per_mille / 10:.1f} %{_bounds(low, high, '.1f')}"


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
    if figures.get("estimatePerMille") is None:
        return "not known"
    low, high = figures["lowPerMille"] / 10, figures["highPerMille"] / 10
    return f"{figures['estimatePerMille'] / 10:.1f} % ({low:.1f}–{high:.1f})"


def _bounds(low: float | None, high: float | None, form: str) -> str:
    """`` (low–high)``, a question mark for one that is not known; nothing if neither is."""
    if low is None and high is None:
        return ""
    told = ("?" if bound is None else format(bound, form) for bound in (low, high))
    return f" ({(' to ' if form.startswith('+') else '–').join(told)})"
