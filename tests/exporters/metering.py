"""What the exporters' tests have in common: a real SDK pipeline, and what ralph-otel says to a person."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from opentelemetry.metrics import Meter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricsData
from opentelemetry.sdk.metrics.view import View
from opentelemetry.sdk.resources import Resource
from opentelemetry.util.types import AttributeValue

from ralph_otel import notices
from ralph_otel.exporters.snapshot import SnapshotReader


class Pipeline:
    """A provider with a reader, and a meter to make instruments with."""

    def __init__(self, resource: Mapping[str, AttributeValue] | None = None, views: tuple[View, ...] = ()) -> None:
        self.reader = SnapshotReader()
        self.provider = MeterProvider([self.reader], resource=Resource(resource or {}), views=views)
        self.meter: Meter = self.provider.get_meter("test")

    def read(self) -> MetricsData:
        """What the instruments say now."""
        data = self.reader.read()
        assert data is not None
        return data


def hear_notices(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The list that every notice from now on is put into; none counts as said already."""
    heard: list[str] = []
    monkeypatch.setattr(notices, "_said", set())
    monkeypatch.setattr(notices.logger, "warning", lambda text, *arguments: heard.append(text % arguments))
    return heard
