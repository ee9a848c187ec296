from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("scripts")

from scripts import Workplace  # noqa: E402 — rewritten


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Workplace]:
    """A folder with agents, to run scripts in under `ralph-otel run`."""
    workplace = Workplace(tmp_path / "with")
    yield workplace
    workplace.close()


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Workplace]:
    """The same for what happens without it."""
    workplace = Workplace(tmp_path / "without")
    yield workplace
    workplace.close()
