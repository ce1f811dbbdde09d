"""What to expect of the links of a node that stands somewhere else, or does not stand there yet.

The link model is fitted to the links that the snapshot has between placed nodes; a link of the new place is
expected by its length alone, with the width that shadowing gives it. Whoever asks about a move learns what is
likely, not what is.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from meshtwin.errors import InvalidInput
from meshtwin.mesh.addresses import UnicastAddress, format_address
from meshtwin.mesh.nodes import Position
from meshtwin.mesh.snapshots import LinkEstimate, Snapshot
from meshtwin.radio.fitting import FittedLinkModel, ObservedLink, expect_delivery, fit_link_model
from meshtwin.radio.path_loss import compute_distance_m

__all__ = ["LINK_LEAST", "expect_links"]

LINK_LEAST: Final = 0.02  # expected delivery below which a link is left out: it neither helps nor disturbs
TELLING_LENGTHS: Final = 1.5  # of the longest link; a pair beyond it says no more by its silence


def expect_links(
    snapshot: Snapshot, address: UnicastAddress, position: Position, place: str
) -> tuple[LinkEstimate, ...]:
    """Links from and to a node ``address`` at ``position``, as far as they deliver at least 2 % on average.

    Received power is left open. ``address`` need not be in the snapshot; its links there play no part.
    Raises `InvalidInput` (reason ``NoPlacement``) if fewer than two other nodes have a position.
    """
    placed = {n.address: n.position for n in snapshot.nodes if n.position is not None and n.address != address}
    if len(placed) < 2:
        raise InvalidInput(
            f"the links of node {format_address(address)} can't be expected: only {len(placed)} other nodes have "
            "a position; give a placement",
            reason="NoPlacement",
            place=place,
        )
    model = _fit(snapshot.links, placed)
    links: list[LinkEstimate] = []
    for other, there in placed.items():
        prior = expect_delivery(compute_distance_m(position, there), model)
        if prior.mean >= LINK_LEAST:
            for source, target in ((address, other), (other, address)):
                links.append(_link(source, target, prior.alpha, prior.beta))
    return tuple(links)


def _fit(links: Sequence[LinkEstimate], placed: dict[UnicastAddress, Position]) -> FittedLinkModel:
    """Pairs without a link in the snapshot count as never heard: leaving them out would lengthen every range.

    Those much longer than any link tell nothing and cost time.
    """
    heard = {(k.source, k.target): k for k in links if k.source in placed and k.target in placed}
    lengths = [compute_distance_m(placed[u], placed[v]) for u, v in heard]
    limit_m = TELLING_LENGTHS * max(lengths, default=0.0)
    observed: list[ObservedLink] = []
    for source, here in placed.items():
        for target, there in placed.items():
            distance_m = compute_distance_m(here, there)
            link = heard.get((source, target))
            if source != target and (link is not None or distance_m <= limit_m):
                delivery = 0.0 if link is None else link.delivery_mean
                observed.append(ObservedLink(distance_m=distance_m, delivery=delivery))
    return fit_link_model(observed)


def _link(source: UnicastAddress, target: UnicastAddress, alpha: float, beta: float) -> LinkEstimate:
    never: datetime | None = None  # nothing was heard over it
    return LinkEstimate(source=source, target=target, delivery_alpha=alpha, delivery_beta=beta, last_heard=never)
