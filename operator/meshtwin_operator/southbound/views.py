"""What one gateway said, within bounds: parsing at the door, and which attempts are remembered. Pure."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final, TypeVar

from pydantic import ValidationError

from meshtwin.contract.configuration import CommandResult, Reported, Verb
from meshtwin.contract.summaries import TwinSummary
from meshtwin.contract.telemetry import FlowReport, FlowTelemetry, GatewayState
from meshtwin.contract.wire import CONTRACT_VERSION, Envelope, WireModel, is_from_future
from meshtwin.errors import InvalidInput
from meshtwin_operator.reconcile.world import GatewayView

__all__ = ["ATTEMPTS_KEPT", "GatewayRecord", "parse_summary"]

PAYLOAD_LIMIT: Final = 4_194_304  # bytes: 2,000 nodes with values read back take about 0.5 MB
FUTURE_TOLERANCE_S: Final = 300.0  # clocks of gateways are set by themselves
SESSIONS_KEPT: Final = 4  # of processes that another one followed; two that take turns need two
ATTEMPTS_KEPT: Final = 16  # newest attempts of which results and flows are remembered
REASON_OF_PLACE: Final = {"contract": "Contract"}
KEPT_ANYWAY: Final = (Verb.MONITOR, Verb.ADOPT)  # the newest of these is remembered besides: they are rare

ModelT = TypeVar("ModelT", bound=WireModel)


def _parse(model: type[ModelT], payload: bytes, now: datetime) -> ModelT:
    """The message; raises `InvalidInput` with reason Oversized, NotJson, Contract, Schema or FromFuture."""
    if len(payload) > PAYLOAD_LIMIT:
        raise InvalidInput(f"{len(payload)} bytes are above the limit of {PAYLOAD_LIMIT}", reason="Oversized")
    try:
        message = model.model_validate_json(payload)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        reason = "NotJson" if first["type"] == "json_invalid" else REASON_OF_PLACE.get(place, "Schema")
        raise InvalidInput(str(first["msg"]), reason=reason, place=place or "payload") from error
    sent_at = getattr(message, "sent_at", None)
    if isinstance(sent_at, datetime) and is_from_future(sent_at, now, FUTURE_TOLERANCE_S):
        raise InvalidInput(f"sent at {sent_at.isoformat()}, now is {now.isoformat()}", reason="FromFuture")
    return message


def parse_summary(payload: bytes, now: datetime) -> TwinSummary:
    """A twin's summary; raises `InvalidInput` like any message."""
    summary = _parse(TwinSummary, payload, now)
    if summary.contract != CONTRACT_VERSION:
        raise InvalidInput(f"contract {summary.contract} is not {CONTRACT_VERSION}", reason="Contract")
    return summary


class GatewayRecord:
    """A `GatewayView` that is kept current by `take`; views are values and never change."""

    def __init__(self) -> None:
        self.view = GatewayView()
        self._left_sessions: list[str] = []  # newest first

    def take(self, leaf: str, payload: bytes, now: datetime) -> bool:
        """Fold one message in; whether anything decisive changed. Raises `InvalidInput` for a bad one."""
        if not payload:
            return self._clear(leaf)
        if leaf == "state":
            return self._take_state(_parse(GatewayState, payload, now), now)
        if leaf == "configuration/reported":
            return self._take_reported(_parse(Reported, payload, now))
        if leaf == "configuration/result":
            return self._take_result(_parse(CommandResult, payload, now))
        if leaf == "telemetry/flows":
            return self._take_flows(_parse(FlowTelemetry, payload, now))
        return False

    def _clear(self, leaf: str) -> bool:
        """An empty retained message: what it held is gone."""
        if leaf == "state":
            self.view = replace(self.view, state=None)
        elif leaf == "configuration/reported":
            self.view = replace(self.view, reported=None)
        else:
            return False
        return True

    def _take_state(self, state: GatewayState, now: datetime) -> bool:
        known = self.view.state
        if known is not None and known.session != state.session and state.sent_at < known.sent_at:
            raise InvalidInput(f"session {state.session} is older than {known.session}", reason="OtherSession")
        was_contested = self.view.contested_at is not None
        if known is not None and known.session != state.session:
            self._left_sessions = [known.session, *self._left_sessions][:SESSIONS_KEPT]
            if state.online and state.session in self._left_sessions:  # a session ends for good with its process
                self.view = replace(self.view, contested_at=now)
        self.view = replace(self.view, state=state)
        is_new = known is None or _decisive(known) != _decisive(state)
        return is_new or was_contested != (self.view.contested_at is not None)

    def _check_session(self, message: Envelope) -> None:
        """A late message of an earlier session must not overwrite what the present one said."""
        state = self.view.state
        if state is not None and message.session != state.session and message.sent_at < state.sent_at:
            raise InvalidInput(
                f"session {message.session} is not {state.session}, the gateway's present one",
                reason="OtherSession",
            )

    def _take_reported(self, reported: Reported) -> bool:
        known = self.view.reported
        if known is not None:
            same_session = known.session == reported.session
            older = reported.sequence < known.sequence if same_session else reported.sent_at < known.sent_at
            if older:
                raise InvalidInput("a newer report is known", reason="OutOfOrder")
        self.view = replace(self.view, reported=reported)
        return known is None or _content(known) != _content(reported)

    def _take_result(self, result: CommandResult) -> bool:
        self._check_session(result)
        results = dict(self.view.results)
        others = [r for r in results.pop(result.attempt_id, ()) if r.verb is not result.verb]
        results[result.attempt_id] = (*others, result)
        self.view = replace(self.view, results=_bounded(results))
        return True

    def _take_flows(self, telemetry: FlowTelemetry) -> bool:
        self._check_session(telemetry)
        flows, airtime = dict(self.view.flows), dict(self.view.airtime)
        attempts = dict.fromkeys(r.attempt_id for r in telemetry.flows if r.attempt_id is not None)
        for attempt in attempts:
            new = {r.flow: r for r in telemetry.flows if r.attempt_id == attempt}
            kept = [r for r in flows.pop(attempt, ()) if r.flow not in new]
            flows[attempt] = (*kept, *new.values())
            if telemetry.airtime_ratio is not None:
                airtime[attempt] = telemetry.airtime_ratio
        newest = _newest(flows)
        self.view = replace(
            self.view,
            flows=newest,
            airtime={attempt: ratio for attempt, ratio in airtime.items() if attempt in newest},
        )
        return bool(attempts)


def _decisive(state: GatewayState) -> tuple[object, ...]:
    """What decisions read of a state; counts in it change with every report."""
    observing = state.observing
    held_back = observing.warnings[:1] if observing is not None and not observing.active else []
    return state.session, state.online, state.fault, state.gateway_address, held_back


def _content(reported: Reported) -> dict[str, object]:
    return reported.model_dump(exclude={"session", "sequence", "sent_at"})


def _newest(flows: dict[str, Sequence[FlowReport]]) -> dict[str, Sequence[FlowReport]]:
    return {attempt: flows[attempt] for attempt in list(flows)[-ATTEMPTS_KEPT:]}


def _bounded(results: dict[str, Sequence[CommandResult]]) -> dict[str, Sequence[CommandResult]]:
    """The newest attempts, and the newest one of each rare verb."""
    keep = set(list(results)[-ATTEMPTS_KEPT:])
    for verb in KEPT_ANYWAY:
        of_verb = [attempt for attempt, answers in results.items() if any(a.verb is verb for a in answers)]
        keep.update(of_verb[-1:])
    return {attempt: answers for attempt, answers in results.items() if attempt in keep}
