"""Programs of the stack are found, or built once; what is missing is said in a line. Go is a script here."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from stack.errors import CannotBuild, StackError
from stack.modules import built, cache
from stack.programs import PROGRAMS, find

_GO = """#!{python}
import json, os, pathlib, sys, time
here = pathlib.Path({here!r})
if sys.argv[1] == "env":
    print(json.dumps({{"GOVERSION": "{version}", "GOOS": "linux", "GOARCH": "amd64"}}))
    sys.exit()
with (here / "builds").open("a") as builds:
    builds.write("build\\n")
folder = pathlib.Path(sys.argv[sys.argv.index("-o") + 1])
for name in ("otelcol", "prometheus", "promtool", "all-in-one", "node_exporter"):
    (folder / name).write_text("built")
{then}
"""
PROMETHEUS = PROGRAMS["prometheus"]


class Go:
    """A stand-in for Go, first on PATH, that counts its builds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def does(self, then: str = "", version: str = "go1.30.1") -> None:
        path = self.folder / "go"
        path.write_text(_GO.format(python=sys.executable, here=str(self.folder), version=version, then=then))
        path.chmod(0o755)

    @property
    def builds(self) -> int:
        path = self.folder / "builds"
        return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Go:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for program in PROGRAMS.values():
        monkeypatch.delenv(program.variable, raising=False)
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    made = Go(tmp_path / "bin")
    made.does()
    return made


def program(path: Path, says: str) -> Path:
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


def test_a_program_is_built_once_and_its_module_with_it(go: Go) -> None:
    path = find("prometheus")
    assert path.read_text() == "built"
    assert path.is_relative_to(cache())
    assert find("prometheus") == path
    assert find("promtool").parent == path.parent
    assert go.builds == 1
    find("jaeger")
    assert go.builds == 2


def test_another_go_builds_anew(go: Go) -> None:
    first = find("prometheus")
    go.does(version="go1.31.0")
    assert find("prometheus") != first
    assert first.exists()


def test_of_several_who_ask_at_once_one_builds(go: Go) -> None:
    go.does("time.sleep(0.3)")
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(find("promtool"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(set(found)) == 1
    assert len(found) == 4
    assert go.builds == 1


def test_a_failed_build_shows_what_go_says_and_leaves_nothing(go: Go) -> None:
    go.does("sys.exit('no such module')")
    with pytest.raises(StackError, match="prometheus cannot be built:\nno such module"):
        find("prometheus")
    assert [path.name for path in cache().iterdir()] == ["prometheus.lock"]
    go.does()
    assert find("prometheus").exists()


def test_a_build_that_was_killed_leaves_nothing_half_and_the_next_one_builds(go: Go) -> None:
    go.does("os.kill(os.getppid(), 9)")
    code = "from stack.programs import find; find('prometheus')"
    killed = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert killed.returncode == -9
    assert not [path for path in cache().iterdir() if path.is_dir() and path.suffix != ".part"]
    go.does()
    assert find("prometheus").exists()
    assert not list(cache().glob("*.part"))


def test_where_go_is_missing_a_line_says_what_would_do(go: Go) -> None:
    (go.folder / "go").unlink()
    with pytest.raises(CannotBuild, match=r"Go is not on PATH: install Go 1\.\d+ or newer .*RALPH_STACK_PROMETHEUS"):
        find("prometheus")


def test_where_go_is_too_old_a_line_says_what_would_do(go: Go) -> None:
    go.does(version="go1.19.8")
    with pytest.raises(CannotBuild, match=r"go1\.19\.8 is too old: install Go 1\.\d+ or newer"):
        find("prometheus")


def test_a_program_that_a_variable_names_is_taken(go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = program(tmp_path / "mine", "anything")
    monkeypatch.setenv(PROMETHEUS.variable, str(own))
    assert find("prometheus") == own
    monkeypatch.setenv(PROMETHEUS.variable, str(tmp_path / "gone"))
    with pytest.raises(StackError, match=r"RALPH_STACK_PROMETHEUS=.*gone: there is no such program"):
        find("prometheus")
    assert go.builds == 0


@pytest.mark.parametrize(
    ("says", "taken"),
    [("prometheus, version 3.10.2 (branch: HEAD)", True), ("prometheus, version 2.42.0+ds", False), ("", False)],
)
def test_an_installed_program_is_taken_if_its_version_is_right(go: Go, says: str, taken: bool) -> None:
    installed = program(go.folder / "prometheus", says)
    assert (find("prometheus") == installed) is taken
    assert go.builds == (0 if taken else 1)


def test_every_module_pins_its_versions() -> None:
    for each in {each.module for each in PROGRAMS.values()}:
        names = {path.name for path in each.folder.iterdir()}
        assert {"go.mod", "go.sum"} <= names


def test_a_module_is_built_where_its_files_are(go: Go) -> None:
    go.does("assert pathlib.Path('go.mod').exists()")
    built(PROMETHEUS.module, PROMETHEUS.variable)
