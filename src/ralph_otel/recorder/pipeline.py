"""The OpenTelemetry side of a collector: providers, readers, exporters, and their end.

One `Pipeline` a process. It belongs to the recorder's thread; the SDK and the exporters are imported with it, never
with `ralph_otel` itself. What cannot be set up is said in one line and left out; the rest works.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from opentelemetry._logs import LoggerProvider as APILoggerProvider
from opentelemetry.metrics import Meter
from opentelemetry.metrics import MeterProvider as APIMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, MetricReader, MetricsData, PeriodicExportingMetricReader
from opentelemetry.trace import TracerProvider as APITracerProvider

from ralph_otel.config import MetricsConfig, MetricsExportFormat
from ralph_otel.events import Line
from ralph_otel.exporters.formats import PUSHED, REWRITTEN, Figures
from ralph_otel.exporters.snapshot import SnapshotReader
from ralph_otel.guard import guarded, together
from ralph_otel.model import LoopMetrics
from ralph_otel.notices import shown
from ralph_otel.recorder.sdk_logging import tame_sdk_logging
from ralph_otel.signals.context import SCHEMA_URL, resource_of
from ralph_otel.signals.metrics import MetricSignals, common_attributes
from ralph_otel.signals.observed import Figure, observe_age, observe_health
from ralph_otel.state import RunState
from ralph_otel.version import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    from ralph_otel.exporters.delivery.deliveries import Deliveries
    from ralph_otel.exporters.prometheus.endpoint import Endpoint
    from ralph_otel.signals.logs import LogSignals
    from ralph_otel.signals.resources import ResourceSampler
    from ralph_otel.signals.traces import TraceSignals

Format = MetricsExportFormat
_SHARE = 0.8
"""Of the time for the end, what a receiver that does not answer is waited for; the process needs some to end, too."""


@dataclass(frozen=True)
class Host:
    """A host's own pipeline.

    Args:
        meter_provider: where instruments are made.
        tracer_provider: gives the provider of tracers, once there is one.
        logger_provider: gives the provider of loggers, once there is one.
    """

    meter_provider: APIMeterProvider
    tracer_provider: Callable[[], APITracerProvider]
    logger_provider: Callable[[], APILoggerProvider]


class Pipeline:
    """Where signals are made and where they go.

    Args:
        config: what is wanted.
        instance_id: the resource's `service.instance.id`: the run id, or the collector's first one's.
        runs: gives the states of the runs going on, for what is observed.
        counts: gives our own health's counts, by name.
        runner_pid: the runner's process, whose resources are sampled; None: nothing is sampled.
        export: whether exporters are started; without, the figures are there to be read only.
        host: the host's providers, where it has a pipeline of its own: then everything goes there and none is made.
    """

    def __init__(
        self,
        config: MetricsConfig,
        instance_id: str,
        runs: Callable[[], Iterable[RunState]],
        counts: Callable[[], Mapping[str, int]],
        runner_pid: int | None = None,
        export: bool = True,
        host: Host | None = None,
    ) -> None:
        self._config = config
        self._host = host
        self._runs = runs
        self._counts = counts
        self._export = export and host is None
        if self._export:
            tame_sdk_logging()
        self._instance_id = instance_id
        self.resource = resource_of(config, instance_id)
        self._sampler = _sampler(config, runner_pid) if export else None
        self._provider: MeterProvider | None = None
        self._reader: SnapshotReader | None = None
        self.deliveries = self._make_deliveries()
        self._make_metrics()
        self._endpoint = self._serve() if self._export and self._wants(Format.PROMETHEUS) else None
        self._span_processor: BatchSpanProcessor | None = None
        self._logger_provider: LoggerProvider | None = None
        self._traces = self._make_traces()
        self._logs = self._make_logs()
        self._captured = self._capture_logging()

    # -- signals -------------------------------------------------------------------------------------------------------

    def record(self, line: Line, state: RunState, live: bool = True) -> None:
        """Make the signals of a completed line; of one that an earlier process has recorded, what that has not sent."""
        self._metrics.record(line, state)
        self.record_trace(line, state, live)

    def record_trace(self, line: Line, state: RunState, live: bool, dead: bool = False) -> None:
        """Make the span and the log record of a line, of a run whose metrics are not ours, say.

        Spans go out that have not been delivered; a host's pipeline gets those of live lines only.

        Args:
            line: a completed line.
            state: its run's state after it.
            live: whether it was written just now. Of others a log record goes out only if the process that recorded
                them was killed before it had handed it over.
            dead: whether the run was killed: then none was handed over of which nothing is known.
        """
        logged = self.deliveries.logged if self.deliveries is not None else None
        if logged is not None and (live or dead) and line["type"] == "loop.started":
            logged.begin(line["loop"])
        if self._traces is not None and (live or self._host is None):
            self._traces.record(line, state)
        if self._logs is not None:
            run_id = line["loop"]
            known = None if live else partial(logged.known, run_id) if logged is not None else _all_known
            self._logs.record(line, state, known)

    def drain(self) -> None:
        """Hand the spans and log records that have gathered to the exporters, before they are too many."""
        for provider in (self._span_processor, self._logger_provider):
            if provider is not None:
                provider.force_flush()

    def send_metrics(self, data: MetricsData) -> None:
        """Send metrics that are another recorder's, if ours are sent."""
        if self.deliveries is not None and self._pushes_metrics():
            self.deliveries.metrics().export(data)

    def end_batch(self) -> None:
        """A batch of lines has been recorded: let the instruments know."""
        self._metrics.flush()

    def snapshot(self) -> MetricsData | None:
        """The figures of all instruments, as they stand; None where they are the host's."""
        return self._reader.read() if self._reader is not None else None

    @property
    def refused(self) -> int:
        """Generic measurements that were refused."""
        return self._metrics.refused

    @property
    def prometheus_address(self) -> tuple[str, int] | None:
        """Host and port of the Prometheus endpoint, if there is one."""
        return self._endpoint.server.address if self._endpoint is not None else None

    @property
    def prometheus_url(self) -> str | None:
        """Where the metrics can be scraped, if they can."""
        return self._endpoint.server.url if self._endpoint is not None else None

    # -- its life ------------------------------------------------------------------------------------------------------

    def tick(self, metrics: LoopMetrics) -> None:
        """A collection interval has passed: write the files that are rewritten each time."""
        figures = Figures(metrics, self.snapshot, self.resource.attributes)
        for format_, write in REWRITTEN.items():
            if self._wants(format_):
                target = self._config.target(format_)
                guarded(f"{format_} target {shown(target)}", partial(write, target, figures))

    def reset(self) -> None:
        """Begin with fresh instruments. A host's cannot be reset: they go on."""
        old = self._provider
        if old is not None:
            self._make_metrics()
            self._metrics.go_on(self._runs())
            together([old.shutdown], 1.0)

    def flush(self, timeout: float) -> None:
        """Send what waits, for at most `timeout` seconds."""
        deadline = time.monotonic() + timeout
        together([provider.force_flush for provider in self._providers()], timeout)
        if self.deliveries is not None:
            self.deliveries.flush(deadline - time.monotonic())

    def _providers(self) -> list[MeterProvider | BatchSpanProcessor | LoggerProvider]:
        providers = (self._provider, self._span_processor, self._logger_provider)
        return [provider for provider in providers if provider is not None]

    def shutdown(self, timeout: float) -> bool:
        """Send what waits and end everything, in at most `timeout` seconds whatever the network does.

        Returns:
            Whether the exporters have been handed all there was, the last metrics included: on a machine that is busy
            enough, the SDK has no time to collect them.
        """
        if self._captured is not None:
            logging.getLogger().removeHandler(self._captured)
        if self._sampler is not None:
            self._sampler.stop()
        deadline = time.monotonic() + timeout
        calls: list[Callable[[], Any]] = [provider.shutdown for provider in self._providers()]
        if self._endpoint is not None:
            calls.append(self._close_endpoint)
        exports = self.deliveries.metric_exports if self.deliveries is not None else 0
        handed = together(calls, timeout)
        if self.deliveries is not None:  # what the providers had is on disk now, so nothing depends on the time left
            handed = handed and (self.deliveries.metric_exports > exports or not self._pushes_metrics())
            self.deliveries.stop(_SHARE * (deadline - time.monotonic()))
        return handed

    def _close_endpoint(self) -> None:
        if self._endpoint is not None:
            self._endpoint.close(crashed=any(state.stop_reason == "crashed" for state in self._runs()))

    # -- parts ---------------------------------------------------------------------------------------------------------

    def _wants(self, format_: Format) -> bool:
        return format_ in self._config.export_format

    def _make_metrics(self) -> None:
        config, meter = self._config, self._make_meter()
        self._metrics = MetricSignals(meter, config.prefix, config.duration_buckets, config.enable_histograms)
        if self._export or self._host is not None:
            observe_age(meter, config.prefix, self._runs)
            observe_health(meter, self._health)
        if self._sampler is not None:
            from ralph_otel.signals import resources

            resources.observe(meter, self._sampler, self._common_attributes)

    def _health(self, name: str) -> Figure:
        counts = self._counts()
        if name in counts:
            return counts[name]
        return self.deliveries.figure(name) if self.deliveries is not None else {}

    def _make_meter(self) -> Meter:
        if self._host is not None:
            return self._host.meter_provider.get_meter("ralph_otel", __version__, SCHEMA_URL)
        self._reader = SnapshotReader()
        readers: list[MetricReader] = [self._reader, *(self._periodic_readers() if self._export else ())]
        self._provider = MeterProvider(readers, self.resource, shutdown_on_exit=False)
        return self._provider.get_meter("ralph_otel", __version__, SCHEMA_URL)

    def _common_attributes(self) -> dict[str, str] | None:
        """Those of the loop that runs, else of the last one that ran; None before there is any."""
        states = sorted(self._runs(), key=lambda state: state.active)
        return common_attributes(states[-1]) if states else None

    def _periodic_readers(self) -> list[MetricReader]:
        readers: list[MetricReader] = []
        for format_, make in self._pushing():
            guarded(f"exporter {format_}", partial(self._add_reader, readers, make))
        return readers

    def _pushing(self) -> Iterator[tuple[Format, Callable[[], MetricExporter]]]:
        """The formats that get the metrics in every interval, and what makes the exporter of each."""
        if self.deliveries is not None and self._pushes_metrics():
            yield Format.OTLP, self.deliveries.metrics
        for format_, make in PUSHED.items():
            if self._wants(format_):
                yield format_, partial(make, self._config.target(format_))

    def _add_reader(self, readers: list[MetricReader], make: Callable[[], MetricExporter]) -> None:
        millis = self._config.collection_interval * 1000
        readers.append(PeriodicExportingMetricReader(make(), export_interval_millis=millis))

    def _make_deliveries(self) -> Deliveries | None:
        if not self._export or not self._wants(Format.OTLP):
            return None
        from ralph_otel.exporters.delivery.deliveries import Deliveries

        return Deliveries(self._config)

    def _pushes_metrics(self) -> bool:
        from ralph_otel.exporters import otlp

        return self._wants(Format.OTLP) and otlp.wanted("metrics", self._config.target(Format.OTLP))

    def _serve(self) -> Endpoint | None:
        from ralph_otel.exporters.prometheus.endpoint import serve

        endpoint = serve(self._config, self._instance_id, self.snapshot)
        if endpoint is not None:
            endpoint.announce(self.resource.attributes, self._pushes_metrics())
        return endpoint

    def _make_traces(self) -> TraceSignals | None:
        from ralph_otel.exporters import otlp
        from ralph_otel.signals.spans import HostSpans, OwnSpans
        from ralph_otel.signals.traces import TraceSignals

        if self._host is not None:
            return TraceSignals(HostSpans(self._host.tracer_provider))
        target = self._config.target(Format.OTLP)
        if self.deliveries is None or not otlp.wanted("traces", target):
            return None
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        self._span_processor = BatchSpanProcessor(self.deliveries.spans())
        return TraceSignals(OwnSpans(self._span_processor.on_end, self.resource))

    def _make_logs(self) -> LogSignals | None:
        from ralph_otel.exporters import otlp
        from ralph_otel.signals.logs import LogSignals

        if self._host is not None:
            return LogSignals(self._host.logger_provider)
        target = self._config.target(Format.OTLP)
        if self.deliveries is None or not otlp.wanted("logs", target):
            return None
        from opentelemetry.sdk._logs import LoggerProvider
        from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

        provider = self._logger_provider = LoggerProvider(resource=self.resource, shutdown_on_exit=False)
        provider.add_log_record_processor(BatchLogRecordProcessor(self.deliveries.logs()))
        return LogSignals(lambda: provider)

    def _capture_logging(self) -> logging.Handler | None:
        """Take in what the process logs itself, where the user asks for that and log records go anywhere."""
        provider = self._logger_provider or (self._host.logger_provider() if self._host is not None else None)
        if not self._config.capture_logging or provider is None:
            return None
        from ralph_otel.signals.python_logging import CapturedLogging

        handler = CapturedLogging(provider.get_logger("ralph_otel.logging", __version__))
        logging.getLogger().addHandler(handler)
        return handler


def _all_known(record_id: str) -> bool:
    return True


def _sampler(config: MetricsConfig, runner_pid: int | None) -> ResourceSampler | None:
    if runner_pid is None or not config.resources:
        return None
    from ralph_otel.signals.resources import ResourceSampler

    sampler = ResourceSampler(runner_pid, config.collection_interval)
    sampler.start()
    return sampler
