"""What the exporters' tests have in common: a real SDK pipeline, and the notices it leads to."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import pytest
from opentelemetry.metrics import Meter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricsData
from opentelemetry.sdk.metrics.view import View
from opentelemetry.sdk.resources import Resource

from ralph_otel import notices
from ralph_otel.exporters.snapshot import SnapshotReader


class Pipeline:
    """A provider with a reader, and a meter to make instruments with."""

    def __init__(self, resource: Mapping[str, str] | None = None, views: tuple[View, ...] = ()) -> None:
        self.reader = SnapshotReader()
        self.provider = MeterProvider([self.reader], resource=Resource(resource or {}), views=views)
        self.meter: Meter = self.provider.get_meter("test")

    def read(self) -> MetricsData:
        """What the instruments say now."""
        data = self.reader.read()
        assert data is not None
        return data


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The notices so far."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def forget_notices() -> None:
    """Let every notice be said again, as in a new process."""
    notices._said.clear()
