"""A repository of one's own, and a git that knows no user's settings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from repositories import make_repository, own_git


@pytest.fixture
def temporary(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder for temporary files, in which nothing may be left."""
    with own_git(tmp_path_factory.mktemp("git"), monkeypatch) as folder:
        yield folder


@pytest.fixture
def repository(temporary: Path, tmp_path: Path) -> Path:
    """A repository of three files, see `make_repository`."""
    return make_repository(tmp_path / "project")
