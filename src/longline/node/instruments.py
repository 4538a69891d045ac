"""What looks at a process and tells of it: counters, its loop and its tasks, samples, profiles, traces."""

import time
from collections.abc import Callable
from contextlib import AsyncExitStack

import structlog

from longline.center.service import Metrics
from longline.node.depths import depths
from longline.node.engines import Engines
from longline.node.figures import HELP, RISING
from longline.node.haste import Haste
from longline.node.profiles import Profiles
from longline.node.tasks import Tasks
from longline.node.telling import Teller, WhoTells
from longline.profiling.captures import Captures
from longline.settings import Settings
from longline.telemetry import logs
from longline.telemetry.build import hot_path_compiled
from longline.telemetry.collector import CONTENT_TYPE, NodeCollector
from longline.telemetry.faults import Faults
from longline.telemetry.logs import OncePerPeer
from longline.telemetry.loop import GcPauses, LoopProbe, quiet_gc, task_count
from longline.telemetry.tasks import LABELS as TASK_LABELS
from longline.telemetry.tasks import TaskWatch
from longline.telemetry.traces import Tracer, headers_of
from longline.telemetry.traffic import Traffic

log = structlog.get_logger("longline.node")


class Instruments:
    """Those of one process. A part hands its counters to `collector`, and what apps do to `traffic`; `tracer`
    is there where traces are told to somebody. `watch` looks at tasks, `refusals` knows what was logged of
    peers.
    """

    def __init__(self, settings: Settings, faults: Faults) -> None:
        telemetry = settings.telemetry
        self.collector = NodeCollector(compiled=hot_path_compiled(), about=HELP, rising=RISING)
        self.traffic = Traffic()
        self.tracer = _tracer(settings)
        self.watch = TaskWatch(time.monotonic)
        self.refusals = OncePerPeer(telemetry.log_peers, telemetry.log_repeat)
        self._settings = settings
        self._faults = faults
        self._pauses = GcPauses()
        self._loop = LoopProbe(telemetry.loop_lag_interval)

    @property
    def lag(self) -> float:
        """How late the loop was of late, in seconds."""
        return self._loop.recent

    def metrics(self) -> Metrics:
        """All figures, as Prometheus reads them."""
        return Metrics(self.collector.exposition(), CONTENT_TYPE)

    def report(self, code: str, peer: str, message: str) -> None:
        """Logs what a peer did wrong, once in a while."""
        if self.refusals.first(code, peer, time.monotonic()):
            log.warning("refused", code=code, peer=peer, reason=message)

    def watch_loop(self, tasks: Tasks) -> None:
        """Measures from now on how late the loop is."""
        tasks.own("telemetry.loop-lag", self._loop.run, within=self._settings.telemetry.loop_lag_interval)

    def open_profiles(
        self,
        engines: Engines,
        node: Callable[[], str],
        since: int,
        every: Callable[[], float],
        tasks: Tasks,
        opened: AsyncExitStack,
    ) -> None:
        """Has the process take profiles of itself from now on; `every` so many seconds also unasked."""
        captures = Captures(
            self._pauses,
            lambda: {**depths(engines.figures), **self.collector.gauges_ending("_waiting")},
            self.watch,
        )
        captures.start()
        opened.callback(captures.close)
        profiles = Profiles(
            captures,
            engines.saver.profiles,
            engines.keeper,
            node,
            host=self._settings.node.name,
            since=since,
            every=every,
            faults=self._faults,
        )
        self.collector.figures("profiling", captures.statistics)
        tasks.own("node.profiles", profiles.run)
        tasks.own("node.profiles-by-itself", profiles.run_by_itself)

    def open(self, tasks: Tasks, opened: AsyncExitStack) -> None:
        """Counts what the process itself does, now that its parts are there."""
        if self._settings.node.gc_freeze:
            quiet_gc()
        self._pauses.install()
        opened.callback(self._pauses.remove)
        collector = self.collector
        collector.add("gc", self._pauses)
        collector.add("loop", self._loop, gauges=("recent",))
        collector.add("log", self.refusals)
        if self.tracer is not None:
            collector.add("traces", self.tracer.counters, gauges=("waiting",))
            tasks.own("telemetry.traces", self.tracer.run)
        collector.tally("log_lost", "Log lines that could not be written, by why.", "reason", logs.lost)
        collector.gauge("tasks", "Tasks alive on the event loop.", task_count)
        collector.tally(
            "faults",
            "What one item of many raised and nobody foresaw, by where; the others went on.",
            "place",
            self._faults.counts,
        )
        collector.add("tasks", self.watch, gauges=("growing", "stuck"), labels=TASK_LABELS)

    def open_telling(
        self,
        engines: Engines,
        who: Callable[[], WhoTells],
        tasks: Tasks,
        haste: Haste,
        opened: AsyncExitStack,
    ) -> Teller:
        """Has the store told from now on how the process fares."""
        teller = Teller(engines.saver.figures, who, self.collector.numbers, self.watch, self.traffic)
        opened.push_async_callback(haste.end, "figures", teller.leave)
        tasks.own("node.figures", teller.run)
        return teller


def _tracer(settings: Settings) -> Tracer | None:
    """What traces messages, where there is a collector to tell."""
    telemetry = settings.telemetry
    if telemetry.otlp_endpoint is None:
        return None
    headers = {} if telemetry.otlp_headers is None else headers_of(telemetry.otlp_headers.reveal())
    return Tracer(telemetry.otlp_endpoint, headers, telemetry.trace_one_in, settings.node.name)
