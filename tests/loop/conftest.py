"""A working directory for every loop that a test runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripted_loops import Workshop


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """A folder outside of git, which is the working directory."""
    workshop = Workshop(tmp_path / "workshop")
    monkeypatch.chdir(workshop.folder)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    return workshop
