"""`RalphInstrumentor`: Ralph loops in a host that has an OpenTelemetry pipeline of its own.

Metrics, spans and log records go to the host's providers; nothing is exported by us and no second SDK is set up. The
entry point `ralph_otel` of the group `opentelemetry_instrumentor` makes `opentelemetry-instrument` use it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from opentelemetry import _logs, metrics, trace
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]  # untyped

from ralph_otel import runners
from ralph_otel.collector import MetricsCollector
from ralph_otel.notices import notice
from ralph_otel.recorder.pipeline import Host
from ralph_otel.registration import register


class RalphInstrumentor(BaseInstrumentor):  # type: ignore[misc]  # the base class is untyped
    """Instruments the runners that `ralph_otel.runners` knows, and gives `register()` the host's pipeline.

    `instrument()` takes `tracer_provider`, `meter_provider` and `logger_provider`; the global ones by default, also
    where they are set up later. Under `opentelemetry-instrument` without a distribution (`opentelemetry-distro`, say)
    nobody sets any up; then our own pipeline is used, as by `register()`.
    """

    collector: MetricsCollector | None = None
    """The collector, while instrumented."""

    def instrumentation_dependencies(self) -> Collection[str]:
        """None: which runner is there is found out when it is imported."""
        return ()

    def _instrument(self, **kwargs: Any) -> None:
        """One exception here would end all instrumentation of the process."""
        try:
            host = Host(
                kwargs.get("meter_provider") or metrics.get_meter_provider(),
                partial(_given_or, trace.get_tracer_provider, kwargs.get("tracer_provider")),
                partial(_given_or, _logs.get_logger_provider, kwargs.get("logger_provider")),
            )
            self.collector = register(host=None if _nobody_sets_up_an_sdk(host) else host)
            runners.attach_all(self.collector.loop)
        except Exception as error:  # noqa: BLE001 — see above
            notice(f"not instrumented: {type(error).__name__}: {error}")

    def _uninstrument(self, **kwargs: Any) -> None:
        runners.detach_all()
        collector, self.collector = self.collector, None
        if collector is not None:
            collector.shutdown()


def _nobody_sets_up_an_sdk(host: Host) -> bool:
    """Whether `opentelemetry-instrument` runs without a distribution that configures an SDK; then ours is used."""
    provider = type(host.meter_provider).__module__
    return provider.startswith("opentelemetry.metrics") and _LOADER in sys.modules


_LOADER = "opentelemetry.instrumentation.auto_instrumentation._load"


def _given_or(get: Callable[[], Any], given: Any) -> Any:
    return given or get()
