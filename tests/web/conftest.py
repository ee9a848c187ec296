"""The application without a server, for what needs none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from ralph_otel.serving import Admission
from ralph_otel.web.feed import Feed
from ralph_otel.web.library import Library
from ralph_otel.web.routes import application


@pytest.fixture
def client(home: Path) -> Iterator[TestClient]:
    """Somebody who asks the application."""
    library = Library(home, most=50)
    with TestClient(application(library, Feed(library, 0.1), Admission()), "http://127.0.0.1:9475") as client:
        yield client
