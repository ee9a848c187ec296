"""Claude Code in a project."""

from __future__ import annotations

from pathlib import Path

import pytest
from hooked import Claude


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder."""
    (tmp_path / "proj").mkdir()
    return tmp_path / "proj"


@pytest.fixture
def claude(home: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> Claude:
    """Claude Code in that folder."""
    return Claude(home, project, monkeypatch)
