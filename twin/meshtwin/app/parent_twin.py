"""The process of a parent twin: ``python -m meshtwin.app.parent_twin CONFIG.json``.

Follows the summaries of its children (segments or parents), overlays their snapshots when asked, rolls up
counts, freshness and health for its own parent. A child that is missing is named; the rest is answered.
"""

import asyncio
import secrets
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Final

import structlog
from prometheus_client import CollectorRegistry

from meshtwin.app.children import ChildSnapshots, parse_summary
from meshtwin.app.fork_server import FORK_SERVER
from meshtwin.app.plugin_recipes import check_names, find_plugin_recipes, has_plugin_recipes
from meshtwin.app.running import run_twin
from meshtwin.app.runs import RunRegistry
from meshtwin.app.serving import serve_until_signal, utc_now
from meshtwin.app.settings import ChildConfig, ParentTwinSettings, read_settings
from meshtwin.app.summaries import SummaryPublisher, make_will
from meshtwin.app.warming import Warming
from meshtwin.connectors.mqtt import MqttLink
from meshtwin.contract.summaries import PluginRecipes, TwinSummary
from meshtwin.contract.topics import twin_topic
from meshtwin.metrics.parent import ParentMetrics
from meshtwin.northbound.rest import create_app
from meshtwin.northbound.tokens import Keys
from meshtwin.northbound.views import Health
from meshtwin.recipes.messages import PipelineRequest
from meshtwin.twins.partial import PartialSnapshot
from meshtwin.twins.rollup import roll_up_children

__all__ = ["ParentTwin", "run_parent_twin"]

log = structlog.get_logger(__name__)

STUCK_S: Final = 60.0
LOG_AGAIN_S: Final = 60.0


class ParentTwin:
    """A parent twin's parts put together; a `meshtwin.northbound.views.TwinView`."""

    def __init__(self, settings: ParentTwinSettings, key: bytes) -> None:
        self.settings = settings
        self.session = secrets.token_hex(8)
        self.summaries: dict[str, TwinSummary] = {}
        self.dropped: Counter[str] = Counter()
        self.turned_s = time.monotonic()
        self.warming = Warming()
        self._logged_s: dict[str, float] = {}
        self._recipes = None if has_plugin_recipes() else PluginRecipes()  # None: not known yet
        self._topics = {_topic_of(settings, child): child.name for child in settings.children}
        self._snapshots = ChildSnapshots(settings.name, settings.children, key, utc_now)
        self.link = MqttLink(
            settings.broker.read(),
            client_id=f"twin-{settings.namespace}.{settings.name}",
            will=make_will(settings.namespace, settings.name, self.summary()),
        )
        for topic in self._topics:
            self.link.subscribe(topic, qos=1)
        self._metrics = ParentMetrics(
            f"{settings.namespace}.{settings.name}", CollectorRegistry(), self.summary, self.dropped
        )

    async def snapshot(self) -> PartialSnapshot:
        """All children overlaid."""
        return await self._snapshots.overlaid()

    def summary(self) -> TwinSummary:
        """Roll-up of the children's summaries now; it is not ready before it knows its recipes."""
        rolled_up = roll_up_children(
            self.settings.name,
            [(child.name, self.summaries.get(child.name)) for child in self.settings.children],
            session=self.session,
            config_hash=self.settings.config_hash,
            now=utc_now(),
        )
        recipes = self._recipes
        told = None if recipes == PluginRecipes() else recipes
        is_ready = rolled_up.ready and recipes is not None
        return rolled_up.model_copy(update={"plugin_recipes": told, "ready": is_ready})

    def liveness(self) -> Health:
        """Whether reading and the MQTT thread turn."""
        if not self.link.is_turning:
            return Health(False, "the MQTT thread ended")
        stuck_s = time.monotonic() - self.turned_s
        if stuck_s > STUCK_S:
            return Health(False, f"no turn of reading for {stuck_s:.0f} s, more than {STUCK_S:.0f} s")
        return Health(True)

    def readiness(self) -> Health:
        """Good as soon as the models are loaded: a parent has no state to load."""
        missing = self.summary().children_missing
        return self.warming.add_to(Health(True, f"children missing: {', '.join(missing)}" if missing else ""))

    def metrics(self) -> bytes:
        """Prometheus text."""
        return self._metrics.to_text()

    async def read(self) -> None:
        """Keep the newest summary of each child, for ever."""
        while True:
            self.turned_s = time.monotonic()
            if (message := await self.link.next_message()) is None:
                continue
            self._keep(message.topic, message.payload)
            self.link.acknowledge(message)

    def check_names(self, request: PipelineRequest) -> None:
        """Refuses recipes that nobody brings, as `check_names`."""
        check_names(request, self._recipes)

    async def find_recipes(self) -> None:
        """Ask the packages for their recipes, if there are any."""
        if self._recipes is None:
            self._recipes = await find_plugin_recipes()

    async def close(self) -> None:
        """Let go of connections."""
        await self._snapshots.close()

    def _keep(self, topic: str, payload: bytes) -> None:
        child = self._topics.get(topic)
        parsed = parse_summary(payload) if child is not None else "UnknownTopic"
        if isinstance(parsed, str):
            self._drop(parsed, topic)
            return
        assert child is not None  # noqa: S101  # otherwise refused above
        known = self.summaries.get(child)
        is_older = known is not None and parsed.session == known.session and parsed.sequence < known.sequence
        if is_older and parsed.online:  # a last will carries the sequence of the start
            self._drop("Repeated", topic)
            return
        self.summaries[child] = parsed

    def _drop(self, reason: str, topic: str) -> None:
        self.dropped[reason] += 1
        now_s = time.monotonic()
        if now_s - self._logged_s.get(reason, -LOG_AGAIN_S) >= LOG_AGAIN_S:
            self._logged_s[reason] = now_s
            log.warning("Summary not used", reason=reason, topic=topic)


def _topic_of(settings: ParentTwinSettings, child: ChildConfig) -> str:
    return twin_topic(child.namespace or settings.namespace, child.name, "summary")


async def run_parent_twin(settings: ParentTwinSettings) -> None:
    """Run until a signal; raises `MeshTwinError` if it cannot start."""
    keys = Keys(tree=settings.read_rest_key(), own=settings.read_own_key())
    settings.data_folder.mkdir(parents=True, exist_ok=True)
    twin = ParentTwin(settings, keys.tree)
    runs = RunRegistry(
        settings.data_folder / "runs",
        twin.snapshot,
        workers=settings.workers,
        keep_models_s=settings.keep_models_seconds,
        on_answer=twin.warming.answered,
        model=settings.model,
        check_names=twin.check_names,
    )
    app = create_app(title=settings.name, twin=twin, runs=runs, keys=keys, now=utc_now)
    topic = twin_topic(settings.namespace, settings.name, "summary")
    publisher = SummaryPublisher(twin.link, topic, twin.summary)
    twin.link.start()
    if settings.keep_models_seconds:
        FORK_SERVER.keep()
        twin.warming.start(runs.load_models())
    finding = asyncio.create_task(twin.find_recipes(), name="recipes")
    log.info("Started", twin=settings.name, children=len(settings.children))
    try:
        await serve_until_signal(
            app,
            settings.listen.host,
            settings.listen.port,
            {"read": twin.read(), "summary": publisher.run()},
        )
    finally:
        finding.cancel()
        runs.close()
        await publisher.say_goodbye()
        await twin.link.stop()
        await twin.close()


async def _start(config: Path) -> None:
    await run_parent_twin(read_settings(ParentTwinSettings, config))


if __name__ == "__main__":
    sys.exit(run_twin("meshtwin.app.parent_twin", _start))
