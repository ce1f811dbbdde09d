"""Nodes of scenario files: settings, lists and queues, low-power nodes."""

from typing import Annotated, Literal

from pydantic import Field, StrictBool

from meshtwin.mesh.configuration import Transmit
from meshtwin.sim.scenario_values import Address, Document, Number, PositionM, Seconds, Ttl, Whole

__all__ = ["LowPowerDocument", "NodeDocument", "SettingsDocument", "TransmitDocument"]


class TransmitDocument(Document):
    """How often a network PDU is sent, and how fast. Source: Mesh Protocol 1.1, 4.2.20 and 4.2.21."""

    count: Whole = Field(2, ge=0, le=7, description="repeats after the first: 2 are three transmissions")
    interval_steps: Whole = Field(
        1, ge=0, le=31, description="(steps + 1) * 10 ms from one transmission to the next; the stack may add to it"
    )

    def to_value(self) -> Transmit:
        return Transmit(count=self.count, interval_steps=self.interval_steps)


class SettingsDocument(Document):
    """Settings that hold for all nodes, or what one node has instead; null: as for all."""

    relay: StrictBool | None = Field(
        None, description="whether it relays; said nowhere: true, false of a low-power node"
    )
    ttl: Ttl | None = Field(
        None,
        description="initial TTL of what it sends itself: 0 to the neighbours alone, 2 over one relay, and so on; 1 is "
        "refused where the stack never sends it; said nowhere: 7 (Zephyr's BT_MESH_DEFAULT_TTL)",
    )
    network_transmit: TransmitDocument | None = Field(
        None, description="transmissions of what it sends itself; said nowhere: three, 20 ms apart"
    )
    relay_retransmit: TransmitDocument | None = Field(
        None, description="transmissions of what it relays; said nowhere: three, 20 ms apart"
    )
    replay_list_entries: Annotated[Whole, Field(ge=1, le=65535)] | Literal["profile"] | None = Field(
        None,
        description='entries of its replay protection list, one per source; "profile": as many as the stack has; said '
        "nowhere: the list is not modelled, and has room for all",
    )


class LowPowerDocument(Document):
    """A low-power node: deaf but for a window after each of its polls. Source: Mesh Protocol 1.1, 3.6.6."""

    friend: Address = Field(description="the node that stores its messages; links lead both ways between the two")
    poll_seconds: Seconds = Field(
        description="from one poll to the next, at most 345600 (four days); all retries must fit in"
    )
    receive_delay_milliseconds: Whole = Field(
        100, ge=10, le=255, description="from a poll to the window (Zephyr's BT_MESH_LPN_RECV_DELAY)"
    )
    receive_window_milliseconds: Whole = Field(
        255, ge=1, le=255, description="how long it listens for the friend's answer (Zephyr's BT_MESH_FRIEND_RECV_WIN)"
    )
    poll_retries: Whole = Field(
        3, ge=0, le=10, description="further polls when one is not answered, before the friendship is given up"
    )


class NodeDocument(SettingsDocument):
    """One node; what it does not say of its settings is as in defaults."""

    address: Address = Field(description="unicast address, 0001 to 7fff, used by no other node")
    position_m: PositionM | None = Field(
        None, description="[x, y] or [x, y, height] in metres; every node needs one where there is a radio model"
    )
    groups: list[Address] = Field(
        default_factory=list,
        max_length=256,
        description="groups that it listens to, c000 to fffb (virtual ones 8000 to bfff)",
    )
    external_pdus_per_second: Number = Field(
        0.0, ge=0.0, le=1e5, description="PDUs of others' traffic per second that it hears on each channel"
    )
    powered_on: StrictBool = Field(  # not "on", which YAML 1.1 reads as a truth value
        True, description="whether it has power at the beginning; without, it neither hears nor sends"
    )
    replay_list_used: Whole = Field(
        0, ge=0, le=65535, description="entries of its replay protection list that are taken before the run"
    )
    low_power: LowPowerDocument | None = Field(None, description="makes it a low-power node, which relays nothing")
    friend_queue_entries: Whole = Field(
        16,
        ge=1,
        le=65536,
        description="messages that it stores as a friend, per low-power node (Zephyr's BT_MESH_FRIEND_QUEUE_SIZE)",
    )
