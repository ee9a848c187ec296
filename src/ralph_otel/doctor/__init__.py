"""What hinders telemetry here: every check is a small function, and looks at one thing.

To add a check, add a row to `CHECKS`.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ralph_otel.config import MetricsConfig
from ralph_otel.doctor import configuration, delivery, endpoints, environment, journals, otlp
from ralph_otel.doctor.findings import Check, Finding, Level, Subject, problem
from ralph_otel.exporters.otlp import protocol
from ralph_otel.notices import logger, shown

__all__ = ["CHECKS", "Finding", "Level", "Result", "examine"]

CHECKS: tuple[tuple[str, Check], ...] = (
    ("python", environment.python),
    ("packages", environment.packages),
    ("runners", environment.runners),
    ("enabled", environment.enabled),
    ("agents", environment.agents),
    ("hooks", environment.hooks),
    ("configuration", configuration.fields),
    ("variables", configuration.variables),
    ("prometheus", endpoints.prometheus),
    ("otlp", otlp.otlp),
    ("delivery", delivery.delivery),
    ("statsd", endpoints.statsd),
    ("files", endpoints.files),
    ("home", journals.folder),
    ("space", journals.space),
    ("journals", journals.contents),
)
"""Every check, in the order of the output."""

TIMEOUT = 12.0
"""Seconds for all checks together."""


@dataclass
class Result:
    """What a check has found."""

    check: str
    findings: list[Finding] = field(default_factory=list)


def examine(timeout: float = TIMEOUT) -> list[Result]:
    """Run every check, side by side, and wait for them no longer than `timeout` seconds.

    Returns:
        The findings by check, in the order of `CHECKS`. Nothing is raised.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # else its C library writes to stderr
    subject = _subject()
    results = [Result(name) for name, _ in CHECKS]
    threads = [
        threading.Thread(target=_run, args=(check, subject, result), daemon=True)
        for (_, check), result in zip(CHECKS, results, strict=True)
    ]
    deadline = time.monotonic() + timeout
    with _quiet():
        for thread in threads:
            thread.start()
        for thread, result in zip(threads, results, strict=True):
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                late = problem(f"not done within {timeout:g}s", "look at the addresses and disks that are named here")
                result.findings = [*result.findings, late]
    return results


@contextmanager
def _quiet() -> Iterator[None]:
    """What OpenTelemetry's packages log stays unsaid: it is said better here, and they show headers as they are."""
    log = logging.getLogger("opentelemetry")
    nowhere, before = logging.NullHandler(), log.propagate
    log.addHandler(nowhere)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(nowhere)
        log.propagate = before


def _run(check: Check, subject: Subject, result: Result) -> None:
    try:
        for finding in check(subject):
            result.findings.append(finding)
    except Exception as error:  # noqa: BLE001 — the other checks have their say
        text = f"the check failed: {type(error).__name__}: {shown(str(error), 160)}"
        result.findings.append(problem(text, "a fault of ralph-otel; please report it"))


def _subject() -> Subject:
    """The configuration, and what is said about it meanwhile, which then need not be said again."""
    notices: list[str] = []

    def hear(record: logging.LogRecord) -> bool:
        notices.append(record.getMessage().removeprefix("ralph-otel: "))
        return False

    logger.addFilter(hear)
    try:
        config = MetricsConfig()
        for signal in otlp.SIGNALS:
            protocol(signal, None)
    finally:
        logger.removeFilter(hear)
    return Subject(config, tuple(notices))
