"""Models of other people behind the interface of ours (`meshtwin.ports.Judge`): in process, or over HTTP with JSON.

In process: a package names a function without arguments that gives a `Judge` under the entry point group
``meshtwin.models``. Over HTTP: any program that answers ``GET /model`` and ``POST /judge`` as the schemas say
(``meshtwin schema judge-model``, ``judge-request``, ``judge-answer``); `serve_judge` makes one of a `Judge`.
"""

from meshtwin.foreign.destinations import Destinations
from meshtwin.foreign.http_model import HttpJudge
from meshtwin.foreign.messages import JudgeAnswer, JudgeRequest, ModelMessage
from meshtwin.foreign.registry import find_judge
from meshtwin.foreign.serving import serve_judge
from meshtwin.foreign.snapshot_files import read_snapshot

__all__ = [
    "Destinations",
    "HttpJudge",
    "JudgeAnswer",
    "JudgeRequest",
    "ModelMessage",
    "find_judge",
    "read_snapshot",
    "serve_judge",
]
