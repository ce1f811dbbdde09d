"""Models by name: ours, those that installed packages bring, and those at an address."""

import re
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from meshtwin.errors import InvalidInput
from meshtwin.foreign.http_model import HttpJudge
from meshtwin.ports import Judge
from meshtwin.whatif.judging import InProcessJudge

__all__ = ["ENTRY_POINT_GROUP", "OWN_NAME", "find_judge"]

# Packages name a function without arguments that gives a `Judge`; the entry point's name is the model's here.
ENTRY_POINT_GROUP: Final = "meshtwin.models"
OWN_NAME: Final = "packet-simulator"
NAME: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f]{1,80}")  # it reaches terminals, and 80 fit into a prediction


def find_judge(name: str, *, token: str | None = None, points: Iterable[EntryPoint] | None = None) -> Judge:
    """The model called ``name``: ours, that of a package, or what answers at an address of http or https.

    ``points``: entry points in place of the installed ones. Raises `InvalidInput` (``UnknownModel``) with the known
    names, (``BrokenPlugin``) for one that can't be loaded or is no `Judge`; at an address as `HttpJudge.connect`.
    """
    if not isinstance(name, str):
        told = "a judge itself: ask it without this" if callable(getattr(name, "judge", None)) else "no name"
        raise InvalidInput(
            f"{name!r} is {told}; models are named by a word or an address of http or https",
            reason="UnknownModel",
            place="model",
        )
    if name.startswith(("http://", "https://")):
        return HttpJudge.connect(name, token=token)
    if name == OWN_NAME:
        return InProcessJudge()
    found = {point.name: point for point in (entry_points(group=ENTRY_POINT_GROUP) if points is None else points)}
    if name not in found:
        known = ", ".join(sorted({OWN_NAME, *found}))
        raise InvalidInput(
            f"model {name!r} is not known; known are: {known}, and addresses of http or https",
            reason="UnknownModel",
            place="model",
        )
    return _load(found[name])


def _load(point: EntryPoint) -> Judge:
    try:
        judge = point.load()()
    except Exception as error:  # a plug-in may fail in any way
        raise InvalidInput(f"model plug-in {point.value!r} can't be loaded: {error}", reason="BrokenPlugin") from error
    if not (isinstance(getattr(judge, "model", None), str) and callable(getattr(judge, "judge", None))):
        raise InvalidInput(f"model plug-in {point.value!r} gives no judge", reason="BrokenPlugin")
    if NAME.fullmatch(judge.model) is None:
        raise InvalidInput(
            f"model plug-in {point.value!r} calls itself {judge.model!r}; a name has 1 to 80 characters, none of them "
            "a control character",
            reason="BrokenPlugin",
        )
    return judge  # type: ignore[no-any-return]  # as checked
