"""Reading the output of real test programs, those that are there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ralph_otel.events import TestsFinished
from ralph_otel.loop.results import ResultsReader

GO = shutil.which("go", path=f"{os.environ.get('PATH', '')}{os.pathsep}/usr/local/go/bin")


def counts(event: TestsFinished) -> tuple[int, int, int | None]:
    return event.passed, event.failed, event.skipped


def run(folder: Path, *command: str, **environment: str) -> TestsFinished:
    result = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=100,
    )
    reader = ResultsReader()
    reader.feed(result.stdout)
    return reader.finish(result.returncode)


PYTEST_FILE = """
import pytest
@pytest.mark.parametrize("x", ["a b", "c - d"])
def test_p(x): pass
def test_fail():
    print("=== 5 passed in 0.10s ===")
    assert 0, "boom - x"
@pytest.mark.skip(reason="why (not)")
def test_s(): pass
@pytest.mark.xfail
def test_xf(): assert 0
@pytest.mark.xfail
def test_xp(): pass
@pytest.mark.xfail(strict=True)
def test_strict(): pass
@pytest.fixture
def broken(): raise RuntimeError("x")
def test_e(broken): pass
"""


@pytest.mark.parametrize(
    "options", ["", "-q", "-v", "-vv --color=yes", "-rA -q", "-qq", "-v --tb=no --no-summary", "-q --color=yes -rN"]
)
def test_real_pytest(tmp_path: Path, options: str) -> None:
    (tmp_path / "test_x.py").write_text(PYTEST_FILE)
    event = run(tmp_path, sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options.split())
    assert counts(event) == (4, 3, 1)
    results = event.results or {}
    if "-v" in options or "-rA" in options:
        assert results["test_x.py::test_p[c - d]"]
        assert len(results) == 7
    if options not in ("-q --color=yes -rN",):
        assert {test for test, passed in results.items() if not passed} == {
            "test_x.py::test_fail",
            "test_x.py::test_strict",
            "test_x.py::test_e",
        }


def test_real_pytest_that_cannot_import(tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text("import nothing_of_that_name")
    event = run(tmp_path, sys.executable, "-m", "pytest", "-p", "no:cacheprovider")
    assert counts(event) == (0, 1, 0)
    assert event.results == {"test_x.py": False}


def test_real_pytest_without_tests(tmp_path: Path) -> None:
    assert counts(run(tmp_path, sys.executable, "-m", "pytest", "-p", "no:cacheprovider")) == (0, 0, 0)


@pytest.mark.parametrize("options", ["", "-v"])
def test_real_unittest(tmp_path: Path, options: str) -> None:
    (tmp_path / "test_x.py").write_text(
        "import unittest\n"
        "class T(unittest.TestCase):\n"
        "    def test_a(self): pass\n"
        "    def test_b(self):\n        'What it is about'\n        self.fail()\n"
        "    def test_c(self): 1 / 0\n"
        "    @unittest.skip('no')\n    def test_d(self): pass\n"
        "    @unittest.expectedFailure\n    def test_e(self): self.fail()\n"
    )
    event = run(tmp_path, sys.executable, "-m", "unittest", *options.split())
    assert counts(event) == (2, 2, 1)
    results = event.results or {}
    failing = {test for test, passed in results.items() if not passed}
    assert failing == {"test_x.T.test_b", "test_x.T.test_c"}
    assert set(results) - failing == ({"test_x.T.test_a", "test_x.T.test_e"} if options else set())


GO_FILES = {
    "go.mod": "module example.com/m\n\ngo 1.20\n",
    "good/a_test.go": """package good
import "testing"
func TestA(t *testing.T) { t.Run("sub one", func(t *testing.T) {}); t.Run("s", func(t *testing.T) { t.Skip() }) }
""",
    "bad/a_test.go": """package bad
import "testing"
func TestA(t *testing.T) { t.Run("x", func(t *testing.T) { t.Error("no") }) }
func TestB(t *testing.T) {}
""",
    "broken/a_test.go": "package broken\nfunc TestA() { undefined() }\n",
    "exits/a_test.go": """package exits
import ("os"; "testing")
func TestMain(m *testing.M) { os.Exit(3) }
""",
    "empty/a.go": "package empty\n",
}


@pytest.mark.skipif(GO is None, reason="needs go")
def test_real_go_test(tmp_path: Path) -> None:
    assert GO is not None
    for name, text in GO_FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    expected = {
        "example.com/m/good.TestA": True,
        "example.com/m/good.TestA/sub_one": True,
        "example.com/m/bad.TestA": False,
        "example.com/m/bad.TestA/x": False,
        "example.com/m/bad.TestB": True,
        "example.com/m/broken": False,
        "example.com/m/exits": False,
    }
    for option in ("-json", "-v"):
        event = run(tmp_path, GO, "test", option, "./...", GOFLAGS="-mod=mod", GOTOOLCHAIN="local")
        assert (event.results, counts(event)) == (expected, (3, 4, 1))
    plain = run(tmp_path, GO, "test", "./...", GOFLAGS="-mod=mod", GOTOOLCHAIN="local")
    assert counts(plain) == (1, 4, 0)  # the package that passes; of the others, what failed
    assert plain.results is not None
    assert plain.results["example.com/m/good"]
