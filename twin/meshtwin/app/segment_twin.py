"""The process of a segment twin: ``python -m meshtwin.app.segment_twin CONFIG.json``.

Follows one gateway over MQTT, keeps the state and its journal, answers over REST, tells its parent.
"""

import secrets
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog

from meshtwin.app.fork_server import FORK_SERVER
from meshtwin.app.ingest import LEAVES, Ingest
from meshtwin.app.keeping import Keeper
from meshtwin.app.kept_snapshot import KeptSnapshot
from meshtwin.app.running import run_twin
from meshtwin.app.runs import RunRegistry
from meshtwin.app.scoring import CARD_NAME, ScoreKeeper
from meshtwin.app.serving import serve_until_signal, utc_now
from meshtwin.app.settings import SegmentTwinSettings, read_settings
from meshtwin.app.summaries import SummaryPublisher, make_will
from meshtwin.app.warming import Warming
from meshtwin.connectors.mqtt import MqttLink
from meshtwin.contract.summaries import SegmentSummary, TwinSummary
from meshtwin.contract.topics import gateway_topic, twin_topic
from meshtwin.errors import InvalidInput
from meshtwin.mesh.addresses import format_address
from meshtwin.mesh.inventory import parse_inventory
from meshtwin.metrics.segment import SegmentFigures, SegmentMetrics
from meshtwin.northbound.rest import create_app
from meshtwin.northbound.tokens import Keys
from meshtwin.northbound.views import Health
from meshtwin.twins.freshness import Rollup, roll_up
from meshtwin.twins.partial import PartialSnapshot
from meshtwin.twins.snapshot import SegmentFacts, take_snapshot
from meshtwin.twins.state import TwinState
from meshtwin.twins.told import intervals_told, summarise_flows

__all__ = ["SegmentTwin", "run_segment_twin"]

log = structlog.get_logger(__name__)

IN_FLIGHT: Final = 2000  # unacknowledged messages; the broker's own limit may be lower
STUCK_S: Final = 60.0  # reading turns every 10 s at least


class SegmentTwin:
    """A segment twin's parts put together; a `meshtwin.northbound.views.TwinView`."""

    def __init__(self, settings: SegmentTwinSettings) -> None:
        self.settings = settings
        self.facts = read_facts(settings)
        self.session = secrets.token_hex(8)
        self.keeper = Keeper(
            settings.data_folder, self.facts.inventory.addresses, retention_days=settings.retention_days
        )
        self.scores = ScoreKeeper(settings.data_folder / CARD_NAME, self.facts.name)
        self.metrics_registry = SegmentMetrics(f"{settings.namespace}.{settings.name}", self._figures)
        self.link = MqttLink(
            settings.broker.read(),
            client_id=f"twin-{settings.namespace}.{settings.name}",
            will=make_will(settings.namespace, settings.name, self._summary_of(self.keeper.state, False)),
            clean_session=False,  # the broker keeps what comes while we restart
            in_flight=IN_FLIGHT,
        )
        self.ingest = Ingest(
            link=self.link,
            journal=self.keeper.journal,
            state=self.keeper.state,
            addresses=self.facts.inventory.addresses,
            metrics=self.metrics_registry,
            now=utc_now,
        )
        self.warming = Warming()
        self._kept = KeptSnapshot(lambda state: take_snapshot(self.facts, state, utc_now().timestamp()))

    @property
    def state(self) -> TwinState:
        """The newest state."""
        return self.ingest.state

    async def snapshot(self) -> PartialSnapshot:
        """The segment as it is believed to be now, or was some seconds ago (see `KeptSnapshot`)."""
        taken = await self._kept.get(self.state)
        return replace(taken, standings={self.facts.name: self.scores.standings})

    def summary(self) -> TwinSummary:
        """Roll-up figures now."""
        return self._summary_of(self.state, True)

    def liveness(self) -> Health:
        """Whether reading and the MQTT thread turn; a broker that is away is no reason to be restarted."""
        if not self.link.is_turning:
            return Health(False, "the MQTT thread ended")
        stuck_s = time.monotonic() - self.ingest.turned_s
        if stuck_s > STUCK_S:
            return Health(False, f"no turn of reading for {stuck_s:.0f} s, more than {STUCK_S:.0f} s")
        return Health(True)

    def readiness(self) -> Health:
        """Good as soon as the models are loaded: the state was before. A journal that fails is not ready."""
        if self.ingest.journal_fault:
            return Health(False, self.ingest.journal_fault)
        return self.warming.add_to(Health(True, self._rollup(self.state).waiting_for))

    def metrics(self) -> bytes:
        """Prometheus text."""
        return self.metrics_registry.to_text()

    def _rollup(self, state: TwinState) -> Rollup:
        facts = self.facts
        _, report_s = intervals_told(state, facts.notification_interval_s, facts.report_interval_s)
        return roll_up(state, facts.inventory.addresses, now_s=utc_now().timestamp(), report_interval_s=report_s)

    def _figures(self) -> SegmentFigures:
        return SegmentFigures(
            state=self.state,
            rollup=self._rollup(self.state),
            is_connected=self.link.connected.is_set(),
            connections=self.link.reconnects_total,
        )

    def _summary_of(self, state: TwinState, online: bool) -> TwinSummary:
        rollup = self._rollup(state)
        newest_s = rollup.newest_report_s
        segment = SegmentSummary(
            name=self.settings.segment or self.settings.name,
            nodes=rollup.nodes,
            nodes_heard=rollup.nodes_heard,
            links=rollup.links,
            links_fresh=rollup.links_fresh,
            border_nodes=[format_address(address) for address in rollup.border_nodes[:512]],
            newest_report_at=None if newest_s is None else datetime.fromtimestamp(newest_s, UTC),
            dropped=dict(state.dropped),
            flows=summarise_flows(state),
            scorecard=self.scores.summary(),
        )
        return TwinSummary(
            twin=self.settings.name,
            kind="Segment",
            online=online,
            session=self.session,
            sequence=0,  # the publisher numbers them
            sent_at=utc_now(),
            config_hash=self.settings.config_hash,
            ready=online and rollup.is_ready,
            age_seconds=rollup.age_s,
            segments=[segment],
        )


def read_facts(settings: SegmentTwinSettings) -> SegmentFacts:
    """What the twin is told; raises `InvalidInput` with the file's place."""
    placement = None
    try:
        inventory_bytes = settings.inventory_path.read_bytes()
        if settings.placement_path is not None:
            placement = settings.placement_path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"not readable: {error}", place="inventoryPath") from error
    inventory = parse_inventory(
        inventory_bytes,
        placement,
        settings.frozen_nodes,
        str(settings.inventory_path),
        tx_powers=[entry.to_value() for entry in settings.tx_powers],
    )
    return SegmentFacts(
        name=settings.segment or settings.name,
        inventory=inventory,
        flows=tuple(flow.to_value() for flow in settings.flows),
        profile=settings.stack_profile,
        notification_interval_s=settings.monitoring.notification_interval_seconds,
        report_interval_s=settings.monitoring.report_interval_seconds,
        airtime_budget_ratio=settings.monitoring.airtime_budget_percent / 100,
    )


async def run_segment_twin(settings: SegmentTwinSettings) -> None:
    """Run until a signal; raises `MeshTwinError` if it cannot start."""
    twin = SegmentTwin(settings)
    runs = RunRegistry(
        settings.data_folder / "runs",
        twin.snapshot,
        workers=settings.workers,
        keep_models_s=settings.keep_models_seconds,
        on_answer=twin.warming.answered,
    )
    keys = Keys(tree=settings.read_rest_key(), own=settings.read_own_key())
    app = create_app(title=settings.name, twin=twin, runs=runs, keys=keys, now=utc_now, scores=twin.scores)
    topic = twin_topic(settings.namespace, settings.name, "summary")
    publisher = SummaryPublisher(twin.link, topic, twin.summary)
    if settings.gateway_id is not None:
        for leaf in LEAVES:
            twin.link.subscribe(gateway_topic(settings.gateway_id, leaf), qos=1)
    twin.link.start()
    if settings.keep_models_seconds:
        FORK_SERVER.keep()
        twin.warming.start(runs.rehearse())
    log.info(
        "Started",
        twin=settings.name,
        nodes=len(twin.facts.inventory.nodes),
        listen=f"{settings.listen.host}:{settings.listen.port}",
    )
    try:
        await serve_until_signal(
            app,
            settings.listen.host,
            settings.listen.port,
            {
                "ingest": twin.ingest.run(),
                "summary": publisher.run(),
                "keeper": twin.keeper.run(lambda: twin.state),
            },
        )
    finally:
        runs.close()
        await publisher.say_goodbye()
        await twin.link.stop()
        await twin.keeper.checkpoint(lambda: twin.state)
        twin.keeper.journal.close()


async def _start(config: Path) -> None:
    await run_segment_twin(read_settings(SegmentTwinSettings, config))


if __name__ == "__main__":
    sys.exit(run_twin("meshtwin.app.segment_twin", _start))
