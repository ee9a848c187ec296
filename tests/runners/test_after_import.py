"""The finder that waits for a module."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ralph_otel.inject.ralph_otel_hook import AfterImport


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("awaited")]:
        del sys.modules[name]


def wait_for(*modules: str) -> list[str]:
    """Wait for modules; the list grows as they have been imported."""
    imported: list[str] = []
    sys.meta_path.insert(0, AfterImport(modules, imported.append))
    return imported


def test_the_call_comes_when_the_module_is_complete_and_before_others_see_it(folder: Path) -> None:
    (folder / "awaited.py").write_text("value = 1\n")
    (folder / "awaited_user.py").write_text("from awaited import value\n")

    def change(name: str) -> None:
        sys.modules[name].value += 1  # type: ignore[attr-defined]

    sys.meta_path.insert(0, AfterImport(["awaited"], change))
    assert importlib.import_module("awaited_user").value == 2


def test_the_loader_is_as_it_was(folder: Path) -> None:
    (folder / "awaited.py").write_text("")
    assert wait_for("awaited") == []
    module = importlib.import_module("awaited")
    assert module.__spec__ is not None
    assert "exec_module" not in vars(module.__spec__.loader)
    assert type(module.__spec__.loader).__name__ == "SourceFileLoader"


def test_every_finder_that_waits_is_called(folder: Path) -> None:
    (folder / "awaited.py").write_text("")
    first, second = wait_for("awaited", "other"), wait_for("awaited")
    importlib.import_module("awaited")
    assert (first, second) == (["awaited"], ["awaited"])


def test_a_module_that_failed_is_waited_for_again(folder: Path) -> None:
    (folder / "awaited.py").write_text("raise LookupError")
    imported = wait_for("awaited")
    with pytest.raises(LookupError):
        importlib.import_module("awaited")
    assert imported == []
    (folder / "awaited.py").write_text("pass")
    importlib.invalidate_caches()
    importlib.import_module("awaited")
    assert imported == ["awaited"]


def test_a_module_that_is_not_there_is_not_there(folder: Path) -> None:
    wait_for("awaited_gone")
    with pytest.raises(ModuleNotFoundError, match="No module named 'awaited_gone'"):
        importlib.import_module("awaited_gone")


def test_an_error_in_the_call_stays_there(folder: Path) -> None:
    (folder / "awaited.py").write_text("value = 1\n")

    def broken(name: str) -> None:
        raise RuntimeError

    sys.meta_path.insert(0, AfterImport(["awaited"], broken))
    assert importlib.import_module("awaited").value == 1


def test_modules_of_other_kinds_are_imported_as_without(folder: Path) -> None:
    imported = wait_for("awaited_space", "_struct", "xml.dom")
    (folder / "awaited_space").mkdir()
    assert importlib.import_module("awaited_space").__path__
    for name in ("_struct", "xml.dom"):
        before = sys.modules.pop(name, None)
        try:
            assert importlib.import_module(name).__name__ == name
        finally:
            if before is not None:
                sys.modules[name] = before
    assert "xml.dom" in imported
