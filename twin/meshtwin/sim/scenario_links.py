"""The links of a scenario file: from its matrix, its radio model, or as they are listed."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from meshtwin.errors import InvalidInput
from meshtwin.mesh.addresses import UnicastAddress, parse_unicast
from meshtwin.mesh.nodes import Position
from meshtwin.radio.path_loss import (
    ITU_INDOOR,
    LogDistance,
    compute_distance_m,
    compute_floors_loss_db,
    compute_free_space_loss_db,
    compute_log_distance_loss_db,
)
from meshtwin.sim.draws import draw_normal, make_key
from meshtwin.sim.scenario import ACCESS_PDU_BYTES, ScenarioLink
from meshtwin.sim.scenario_document import RadioDocument, ScenarioDocument

__all__ = ["Neighbourhood", "RadioPlan", "build_links", "check_length", "check_memory", "estimate_bytes"]

WEAKEST_DBM: Final = -108.0  # below this a link neither delivers nor disturbs; leaving it out saves time
ON_FLOOR: Final = 1e-9  # of a floor's height: rounding must not put a node below the floor that it stands on
DRAWN_MOST: Final = 7.1  # deviations; `draw_normal` gives no more
SHADOWING_MARGIN: Final = 4.0  # deviations of shadowing that are reckoned with when links are counted beforehand
LINK_BYTES: Final = 550  # of a link in scenario and engine together; measured with tracemalloc, CPython 3.11
NODE_BYTES: Final = 24_000  # of a node likewise, its message cache full
END_MAX_S: Final = 1e9  # 31 years; engines count nanoseconds in 64 bits
RELINKED_MAX: Final = 100_000_000  # links looked at after moves; some 2 us each in the reference engine
POLLS_MAX: Final = 2_000_000  # a minute or two of the reference engine
# Of a message, and of each member that it reaches. tracemalloc shows 1.1 kB and 220 bytes at the peak for both engines
# (100 nodes, 1 to 99 members, 400 messages, CPython 3.11); more than twice that, since a refusal has to come in time.
MESSAGE_BYTES: Final = 3_000
ARRIVAL_BYTES: Final = 500


class RadioPlan:
    """Received power between positions; shadowing is drawn per pair and direction, and anew for a new place."""

    def __init__(self, radio: RadioDocument) -> None:
        self._radio = radio
        self._params = _to_log_distance(radio)
        self._shadowing_db, self._pair_shadowing_db = _shadowing_db(radio)

    def compute_power_dbm(
        self,
        source: UnicastAddress,
        at: Position,
        target: UnicastAddress,
        to: Position,
        moves: tuple[int, int] = (0, 0),
    ) -> float | None:
        """Power received at ``to``; None: out of a hard range. ``moves``: how often source and target were."""
        radio = self._radio
        distance_m = compute_distance_m(at, to)
        if radio.range_m is not None and distance_m > radio.range_m:
            return None
        if radio.model == "unitDisc":
            return radio.tx_power_dbm
        if radio.model == "hardRange":
            return radio.tx_power_dbm - compute_free_space_loss_db(distance_m)
        extra_db = self._draw_shadowing_db(source, target, moves) + compute_floors_loss_db(self._count_floors(at, to))
        if radio.model == "freeSpace":
            return radio.tx_power_dbm - max(0.0, compute_free_space_loss_db(distance_m) + extra_db)
        return radio.tx_power_dbm - compute_log_distance_loss_db(distance_m, self._params, extra_db)

    def _draw_shadowing_db(self, source: UnicastAddress, target: UnicastAddress, moves: tuple[int, int]) -> float:
        """Of one direction, and of the pair; where neither was moved as before the first move."""
        seed, moved = self._radio.shadowing_seed, moves if any(moves) else ()
        shadowing_db = 0.0
        if self._shadowing_db:
            key = make_key(seed, "shadowing", f"{source:04x}", *moved)
            shadowing_db += self._shadowing_db * draw_normal(key, target)
        if self._pair_shadowing_db:
            low, high = min(source, target), max(source, target)
            pair = make_key(seed, "pairShadowing", f"{low:04x}", *(moved if source == low else moved[::-1]))
            shadowing_db += self._pair_shadowing_db * draw_normal(pair, high)
        return shadowing_db

    def _count_floors(self, at: Position, to: Position) -> int:
        """Floors between two heights, with the ground floor's at 0 m; a node that stands on one is above it."""
        height_m = self._radio.floor_height_m
        if height_m is None:
            return 0
        return abs(math.floor(at.z_m / height_m + ON_FLOOR) - math.floor(to.z_m / height_m + ON_FLOOR))

    def links_of(
        self, address: UnicastAddress, positions: Mapping[UnicastAddress, Position], moves: Mapping[UnicastAddress, int]
    ) -> Iterator[ScenarioLink]:
        """All links from and to one node that are strong enough to matter; ``moves``: how often each was moved."""
        for other, at in positions.items():
            if other == address:
                continue
            for source, target in ((address, other), (other, address)):
                here, there = (positions[address], at) if source == address else (at, positions[address])
                power_dbm = self.compute_power_dbm(
                    source, here, target, there, (moves.get(source, 0), moves.get(target, 0))
                )
                if power_dbm is not None and power_dbm >= WEAKEST_DBM:
                    yield ScenarioLink(source=source, target=target, rx_power_dbm=power_dbm)


def build_links(document: ScenarioDocument, positions: Mapping[UnicastAddress, Position]) -> tuple[ScenarioLink, ...]:
    """The links at the beginning; where there are matrix and radio model, numbers of the matrix go first."""
    if document.links is not None:
        return tuple(
            ScenarioLink(
                source=parse_unicast(link.source),
                target=parse_unicast(link.target),
                rx_power_dbm=link.rx_power_dbm,
                delivery=link.delivery,
                delivery_pdu_bytes=link.delivery_pdu_bytes or ACCESS_PDU_BYTES,
            )
            for link in document.links
        )
    addresses = [parse_unicast(node.address) for node in document.nodes]
    plan = None if document.radio is None else RadioPlan(document.radio)
    tx_power_dbm = 0.0 if document.radio is None else document.radio.tx_power_dbm
    links: list[ScenarioLink] = []
    around = None if document.radio is None else Neighbourhood(document)
    everyone = list(enumerate(addresses))
    for i, source in everyone:
        row = None if document.attenuation_db is None else document.attenuation_db[i]
        for j, target in everyone if row is not None or around is None else around.numbered(i):
            loss_db = None if row is None else row[j]
            power_dbm = None if loss_db is None else tx_power_dbm - loss_db
            if power_dbm is None and plan is not None and i != j:
                power_dbm = plan.compute_power_dbm(source, positions[source], target, positions[target])
            if i != j and power_dbm is not None and power_dbm >= WEAKEST_DBM:
                links.append(ScenarioLink(source=source, target=target, rx_power_dbm=power_dbm))
    return tuple(links)


class Neighbourhood:
    """Which nodes are near enough to hear each other at all: only they are worth reckoning one by one."""

    def __init__(self, document: ScenarioDocument) -> None:
        """``document`` must have a radio model, and so a place for every node."""
        assert document.radio is not None  # noqa: S101  # see above
        self._addresses = [parse_unicast(node.address) for node in document.nodes]
        self._index = {address: index for index, address in enumerate(self._addresses)}
        self._places = _places(document)
        shadowing_db = sum(_shadowing_db(document.radio))
        self._reach_m = _reach_m(document.radio, DRAWN_MOST * shadowing_db) * 1.000_001  # rounding must not decide

    def numbered(self, index: int) -> list[tuple[int, UnicastAddress]]:
        """Index and address of all near the node with ``index``, itself among them, in the order of the file."""
        near = _is_near(self._places, self._places[index], self._reach_m)
        return [(int(i), self._addresses[i]) for i in np.flatnonzero(near)]

    def of(self, address: UnicastAddress) -> list[UnicastAddress]:
        """All near ``address``, itself among them, in the order of the file."""
        return [found for _, found in self.numbered(self._index[address])]

    def move(self, address: UnicastAddress, to: Position) -> None:
        """The node stands elsewhere from now on."""
        self._places[self._index[address]] = (to.x_m, to.y_m, to.z_m)


def _is_near(places: npt.NDArray[np.float64], at: npt.NDArray[np.float64], reach_m: float) -> npt.NDArray[np.bool_]:
    gaps = places - at
    return np.asarray(np.einsum("ij,ij->i", gaps, gaps) <= reach_m**2)


def _places(document: ScenarioDocument) -> npt.NDArray[np.float64]:
    """(nodes, 3), metres."""
    return np.array([(*node.position_m, 0.0)[:3] for node in document.nodes if node.position_m is not None])


def estimate_bytes(document: ScenarioDocument, members: Sequence[int]) -> int:
    """About how much memory one replication takes; ``members`` by flow. Links are counted, not built."""
    messages = sum(
        flow.count * (MESSAGE_BYTES + ARRIVAL_BYTES * n) for flow, n in zip(document.flows, members, strict=True)
    )
    end_s = max(flow.start_seconds + flow.count * flow.period_seconds for flow in document.flows)
    if document.duration_seconds is not None:
        end_s = min(end_s, document.duration_seconds)
    messages += sum(int(background.rate_per_second * end_s) for background in document.background) * MESSAGE_BYTES
    return len(document.nodes) * NODE_BYTES + _count_links(document) * LINK_BYTES + messages


def _count_links(document: ScenarioDocument) -> int:
    if document.links is not None:
        return len(document.links)
    given = sum(loss is not None for row in document.attenuation_db or () for loss in row)
    if document.radio is None:
        return given
    radio = document.radio
    reach_m = _reach_m(radio, SHADOWING_MARGIN * math.hypot(*_shadowing_db(radio)))
    places = _places(document)
    moves = np.array([(*change.move_to_m, 0.0)[:3] for change in document.changes if change.move_to_m is not None])
    near = sum(np.count_nonzero(_is_near(places, at, reach_m)) - 1 for at in places)
    return int(given + near + sum(2 * np.count_nonzero(_is_near(places, at, reach_m)) for at in moves))


def _reach_m(radio: RadioDocument, shadowing_db: float) -> float:
    """Distance beyond which links are too weak to be kept, if shadowing helps by so much."""
    if radio.range_m is not None:
        return radio.range_m
    budget_db = radio.tx_power_dbm - WEAKEST_DBM
    if radio.model == "freeSpace":
        budget_db += shadowing_db
        budget_db -= compute_free_space_loss_db(1.0)
        return float(10.0 ** (min(budget_db, 200.0) / 20.0))
    params = _to_log_distance(radio)
    budget_db += shadowing_db - params.reference_db
    return float(10.0 ** (min(budget_db / (10.0 * params.exponent), 10.0)))


def _shadowing_db(radio: RadioDocument) -> tuple[float, float]:
    """Deviations of shadowing, of each direction and of pairs.

    The sigma of the ITU's environments is of places, and both directions see the same walls: it is that of pairs.
    """
    if radio.model == "ituIndoor" and not radio.model_fields_set & {"shadowing_db", "pair_shadowing_db"}:
        return 0.0, ITU_INDOOR[radio.environment].sigma_db
    return radio.shadowing_db, radio.pair_shadowing_db


def _to_log_distance(radio: RadioDocument) -> LogDistance:
    if radio.model == "ituIndoor":
        return ITU_INDOOR[radio.environment].to_log_distance()
    return LogDistance(exponent=radio.exponent, reference_db=radio.reference_db, shadowing_db=radio.shadowing_db)


def check_length(document: ScenarioDocument) -> None:
    """Raises `InvalidInput` for a run that simulates more time, or more polls, than can be waited for."""
    end_s = max(flow.start_seconds + flow.count * flow.period_seconds for flow in document.flows)
    if document.duration_seconds is not None:
        end_s = min(end_s, document.duration_seconds)
    if end_s > END_MAX_S:
        raise InvalidInput(
            f"the last message leaves after {end_s:.3g} s, more than {END_MAX_S:.0g} s; give durationSeconds, or a "
            "shorter period",
            reason="TooLarge",
            place="flows",
        )
    moves = sum(change.move_to_m is not None for change in document.changes)
    if moves and (links := _count_links(document)) * moves > RELINKED_MAX:
        raise InvalidInput(
            f"{moves} moves among {links} links are more than {RELINKED_MAX} looks at a link; cut a region out, or "
            "move fewer nodes",
            reason="TooLarge",
            place="changes",
        )
    polls = sum(end_s / max(node.low_power.poll_seconds, 0.1) for node in document.nodes if node.low_power is not None)
    if polls > POLLS_MAX:
        raise InvalidInput(
            f"low-power nodes poll {polls:.3g} times in {end_s:.3g} s, more than {POLLS_MAX}; give durationSeconds",
            reason="TooLarge",
            place="nodes",
        )


def check_memory(document: ScenarioDocument, members: Sequence[int], limit_bytes: int, place: str) -> None:
    """Raises `InvalidInput` for a scenario that would not fit."""
    needed = estimate_bytes(document, members)
    if needed > limit_bytes:
        raise InvalidInput(
            f"{len(document.nodes)} nodes with their links and messages need about {needed // 2**20} MiB, more than "
            f"{limit_bytes // 2**20} MiB; cut a region out, or send fewer messages",
            reason="TooLarge",
            place=place,
        )
