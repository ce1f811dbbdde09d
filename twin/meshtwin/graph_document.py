"""The shape of answers about links. Format version ``meshtwin.dev/graph/v1``."""

from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from meshtwin.wording import counted

__all__ = ["BackboneDocument", "GraphDocument", "GraphFlowDocument", "GraphLinkDocument", "GraphNodeDocument"]

Address = str  # four hexadecimal digits


class Document(BaseModel):
    """Common ground: camelCase, nothing unknown."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, allow_inf_nan=False
    )


class GraphNodeDocument(Document):
    """One node, seen from the node that is asked about."""

    address: Address = Field(description="of the node")
    is_relay: bool = Field(description="whether it relays, with the relays in force")
    hops_from: int | None = Field(description="smallest number of hops of that node's floods; null: at no TTL")
    is_reached: bool = Field(description="within the TTL")
    is_heard_directly: bool = Field(description="by that node, over a link that delivers enough")
    paths_to: int = Field(description="relay paths to that node that share no relay, 8 at most; 8 if heard directly")


class GraphLinkDocument(Document):
    """One directed link."""

    source: Address = Field(description="the transmitter")
    target: Address = Field(description="the receiver")


class GraphFlowDocument(Document):
    """One flow under the relays in force."""

    name: str = Field(description="as the scenario calls it")
    source: Address = Field(description="the node that sends")
    ttl: int = Field(description="initial TTL of its messages")
    members: int = Field(description="nodes that each message is for")
    reached: int = Field(description="members within the TTL")
    minimal_ttl: int | None = Field(description="that reaches all members; null: none does")
    paths: int = Field(description="relay paths without a common relay to the worst member not heard directly; 8: most")


class BackboneDocument(Document):
    """Relays that would do, and what the links did not allow."""

    connected: int = Field(description="k: the relays were to hang together when any k - 1 of them fail")
    dominating: int = Field(description="m: relays that every other node was to hear")
    relays: list[Address] = Field(description="that would do, ascending")
    connected_reached: int = Field(description="the k that these relays come to")
    short_of: dict[Address, int] = Field(description="nodes that hear fewer, with the number")
    is_complete: bool = Field(description="whether k and m were reached everywhere")
    minimal_ttl: int | None = Field(description="with which these relays reach all nodes; null: none does")


class GraphDocument(Document):
    """What links allow that deliver at least ``threshold`` within the sends of their senders."""

    format: Literal["meshtwin.dev/graph/v1"] = Field(
        default="meshtwin.dev/graph/v1", description="version of this format"
    )
    name: str = Field(description="of the scenario or network")
    node: Address = Field(description="whose floods are followed, and to which paths lead")
    ttl: int = Field(description="initial TTL of that node's floods")
    threshold: float = Field(description="ratio that a link has to deliver within the sends of its sender")
    relays: list[Address] = Field(description="in force")
    usable_links: int = Field(description="directed links that deliver enough")
    nodes: list[GraphNodeDocument] = Field(description="all but the node that is asked about")
    minimal_ttl: int | None = Field(description="that reaches all nodes; null: none does")
    articulation_relays: list[Address] = Field(description="relays without which some node is reached no more")
    cut_links: list[GraphLinkDocument] = Field(description="links without which some node is reached no more")
    flows: list[GraphFlowDocument] = Field(description="of the scenario")
    backbone: BackboneDocument | None = Field(default=None, description="null: none was asked for")
    gaps: list[str] = Field(default=[], description="what was asked for and is not in it, and why")

    def __str__(self) -> str:
        return "\n".join(self._lines())

    __repr__ = __str__

    def _lines(self) -> Iterator[str]:
        reached = sum(node.is_reached for node in self.nodes)
        yield (
            f"{self.name}: {counted(len(self.nodes) + 1, 'node')}, {counted(len(self.relays), 'relay')}, "
            f"{counted(self.usable_links, 'link that delivers', 'links that deliver')} "
            f"{100 * self.threshold:.12g}% or more"
        )
        least = "no TTL reaches all" if self.minimal_ttl is None else f"TTL {self.minimal_ttl} reaches all"
        yield f"  from {self.node} with TTL {self.ttl}: {reached} of {len(self.nodes)} nodes; {least}"
        yield f"  relays that nobody can stand in for: {', '.join(self.articulation_relays) or 'none'}"
        links = ", ".join(f"{link.source}-{link.target}" for link in self.cut_links)
        yield f"  links that nothing can stand in for: {links or 'none'}"
        if (told := self.backbone) is not None:
            yield from _backbone_lines(told)
        yield from (f"  missing: {gap}" for gap in self.gaps)


def _backbone_lines(told: BackboneDocument) -> Iterator[str]:
    yield (
        f"  backbone, {told.connected}-connected, every other node hears {told.dominating}: "
        f"{counted(len(told.relays), 'relay')}: {', '.join(told.relays)}"
    )
    if told.connected_reached < told.connected:
        yield f"  missing: the links allow no more than {told.connected_reached}-connected relays"
    if told.short_of:
        heard = ", ".join(f"{node} hears {count}" for node, count in told.short_of.items())
        yield f"  missing: {heard}"
