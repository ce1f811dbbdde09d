"""Before and after, predicted beside measured: for people as a table, for programs as JSON."""

from collections.abc import Mapping
from typing import Any, Final

from meshtwin_operator.cli.demo_story import Story
from meshtwin_operator.cli.differences import kpi_rows

__all__ = ["print_effects", "result_document"]

WHEN: Final = ("before", "after")


def result_document(story: Story, *, seed: int | None, seconds: float) -> dict[str, Any]:
    """The outcome of the first round as plain JSON; figures as they stand in the resources."""
    pushed = story.pushed()
    segments = []
    for name in sorted(story.segments):
        run = story.runs.get(name, {})
        entry: dict[str, Any] = {"segment": name, "pipelineResult": run.get("result"), "message": run.get("message")}
        configuration = pushed.get(name)
        if configuration is not None:
            status = configuration.get("status") or {}
            prediction = story.prediction(configuration) or {}
            entry |= {
                "configuration": configuration["metadata"]["name"],
                "revision": configuration["spec"]["revision"],
                "step": (status.get("push") or {}).get("step"),
                "outcomes": status.get("outcomes"),
                "noHarm": status.get("noHarm"),
                "predicted": {"before": prediction.get("before"), "after": prediction.get("after")},
                "measured": {"before": status.get("measuredBefore"), "after": status.get("measuredAfter")},
            }
        segments.append(entry)
    return {"ok": story.is_confirmed(), "seed": seed, "seconds": round(seconds, 1), "segments": segments}


def print_effects(document: Mapping[str, Any]) -> None:
    """One table for all segments."""
    from rich.table import Table

    from meshtwin_operator.cli.console import make_console

    console = make_console()
    table = Table("Segment", "Flow", "Figure", "Predicted before", "after", "Measured before", "after", box=None)
    for segment in document["segments"]:
        sides = [(segment.get(known) or {}).get(when) for known in ("predicted", "measured") for when in WHEN]
        is_whole = any(flow.get("reachedAll") for side in sides[len(WHEN) :] for flow in (side or {}).get("flows", ()))
        columns = [{(flow, title): text for flow, title, text in kpi_rows(side, is_whole=is_whole)} for side in sides]
        keys = list(dict.fromkeys(key for column in columns for key in column))
        for flow, title in keys:
            table.add_row(segment["segment"], flow, title, *(column.get((flow, title), "–") for column in columns))
    console.print(table)
    for segment in document["segments"]:
        for flow in _round_trips(segment):
            console.print(
                f"{segment['segment']} {flow}: measured until the answer came back, predicted one way: not comparable"
            )
        step = segment.get("step") or segment.get("pipelineResult") or "not reached"
        why = f" ({segment['message']})" if not segment.get("step") and segment.get("message") else ""
        console.print(f"{segment['segment']}: {segment.get('configuration', 'nothing pushed')}, {step}{why}")
    segments = document["segments"]
    pushed = sum(1 for segment in segments if "configuration" in segment)
    word = "every pushed configuration was confirmed" if document["ok"] else "not confirmed"
    console.print(f"{pushed} of {len(segments)} segments were changed; {word}; {document['seconds']} s")


def _round_trips(segment: Mapping[str, Any]) -> list[str]:
    """Flows that were measured by questions and answers."""
    sides = [(segment.get("measured") or {}).get(when) or {} for when in WHEN]
    return sorted({f["flow"] for side in sides for f in side.get("flows", ()) if f["howKnown"] == "roundTrip"})
