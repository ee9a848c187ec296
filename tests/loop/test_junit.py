"""Reading JUnit XML reports, which other programs write and anybody may leave behind."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ralph_otel.loop import junit
from ralph_otel.loop.tally import Tally

GOOD = '<testsuite><testcase classname="m" name="t"/></testsuite>'


def parse(text: str | bytes) -> Tally:
    return junit.parse(io.BytesIO(text.encode() if isinstance(text, str) else text))


def test_cases_are_counted_however_suites_are_nested() -> None:
    tally = parse(
        """<?xml version="1.0" encoding="utf-8"?>
        <testsuites tests="99"><testsuite><properties><property name="a" value="b"/></properties>
          <testcase classname="m.C" name="good"><system-out>error</system-out></testcase>
          <testsuite name="inner">
            <testcase classname="m.C" name="bad"><failure message="no">assert 0</failure></testcase>
            <testcase name="broken"><error/><failure/></testcase>
            <testcase classname="m.C" name="skipped"><skipped/></testcase>
          </testsuite></testsuite>
          <testsuite><testcase classname="n" name="good"/></testsuite>
        </testsuites>"""
    )
    assert (tally.passed, tally.failed, tally.skipped) == (2, 2, 1)
    assert tally.results == {"m.C.good": True, "m.C.bad": False, "broken": False, "n.good": True}


def test_a_test_that_passed_when_it_ran_again_has_passed() -> None:
    tally = parse('<testsuite><testcase name="t"><flakyFailure/><rerunFailure/></testcase></testsuite>')
    assert (tally.passed, tally.failed) == (1, 0)


def test_a_test_that_is_there_twice_has_passed_only_if_it_never_failed() -> None:
    tally = parse('<testsuite><testcase name="t"><failure/></testcase><testcase name="t"/></testsuite>')
    assert (tally.passed, tally.failed, tally.results) == (1, 1, {"t": False})


def test_a_failure_outweighs_a_skip() -> None:
    assert parse('<testsuite><testcase name="t"><failure/><skipped/></testcase></testsuite>').failed == 1


def test_an_expected_failure_passes_as_in_the_output() -> None:
    tally = parse('<testsuite><testcase name="t"><skipped type="pytest.xfail"/></testcase></testsuite>')
    assert (tally.passed, tally.skipped, tally.results) == (1, 0, {"t": True})


def test_names_with_a_namespace_are_read() -> None:
    tally = parse('<j:testsuite xmlns:j="urn:x"><j:testcase name="t"><j:failure/></j:testcase></j:testsuite>')
    assert tally.results == {"t": False}


def test_an_empty_suite_is_a_report_without_tests() -> None:
    assert parse("<testsuites/>") == Tally()


BOMB = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 10))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (f'<!DOCTYPE t [<!ENTITY a0 "ha">{BOMB}]><testsuite name="&a9;"/>', "document type"),
        ('<!DOCTYPE t SYSTEM "http://localhost/x.dtd"><testsuite/>', "document type"),
        ('<!DOCTYPE t [<!ENTITY x SYSTEM "file:///etc/hostname">]><testsuite>&x;</testsuite>', "document type"),
        ("<coverage/>", "no testsuite"),
        ("<testsuite>", "not well-formed"),
        ("", "not well-formed"),
        ("PASSED", "not well-formed"),
        ('<?xml version="1.0" encoding="klingon"?><testsuite/>', "not well-formed"),
    ],
)
def test_what_is_no_safe_report_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse(text)


def test_a_report_that_is_too_big_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(junit, "MAX_BYTES", 2 * 1024 * 1024)
    with pytest.raises(ValueError, match="larger than 2097152 bytes"):
        parse("<testsuite>" + " " * 3_000_000 + "</testsuite>")


XML = st.recursive(
    st.sampled_from(["<failure/>", "<error/>", "<skipped/>", "text", '<testcase name="&#7;"/>', "<testcase/>"]),
    lambda inner: st.builds(
        lambda tag, children: f'<{tag} name="n" classname="c">{"".join(children)}</{tag}>',
        st.sampled_from(["testsuites", "testsuite", "testcase", "failure", "x:testcase"]),
        st.lists(inner, max_size=4),
    ),
)


@given(st.one_of(st.binary(max_size=200), XML.map(str.encode), st.text(max_size=80).map(str.encode)))
def test_any_file_gives_counts_or_one_clear_error(data: bytes) -> None:
    try:
        tally = parse(data)
    except ValueError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either way is right
    else:
        assert min(tally.passed, tally.failed, tally.skipped) >= 0


def test_a_folder_gives_the_sum_of_the_fresh_reports_in_it(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.xml").write_text(GOOD)
    (tmp_path / "deep" / "b.xml").write_text(GOOD.replace('"t"', '"u"'))
    (tmp_path / "coverage.xml").write_text("<coverage/>")
    (tmp_path / "torn.xml").write_text("<testsuite><testcase")
    (tmp_path / "note.txt").write_text(GOOD)
    (tmp_path / "old.xml").write_text(GOOD)
    os.utime(tmp_path / "old.xml", (1_000_000, 1_000_000))
    tally = junit.read(tmp_path, since=time.time() - 60)
    assert (tally.passed, tally.results) == (2, {"m.t": True, "m.u": True})


def test_a_report_written_just_after_the_start_is_fresh(tmp_path: Path) -> None:
    """Kernels stamp files with the time of their last tick, which may lie before the start."""
    report = tmp_path / "a.xml"
    report.write_text(GOOD)
    os.utime(report, (999.99, 999.99))
    assert junit.read(report, since=1000.0).passed == 1
    os.utime(report, (999.0, 999.0))
    with pytest.raises(ValueError, match="not written by this test run"):
        junit.read(report, since=1000.0)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("missing.xml", "No such file or directory"),
        ("torn.xml", "not well-formed"),
        ("empty", "not written by this test run"),
        ("pipe", "not written by this test run"),
        ("nul\0", "null"),
    ],
)
def test_a_report_that_cannot_be_used_is_one_clear_line(tmp_path: Path, name: str, problem: str) -> None:
    (tmp_path / "torn.xml").write_text("<testsuite><testcase")
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match=problem) as caught:
        junit.read(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_the_report_of_a_real_pytest(tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text(
        "import pytest\n"
        "def test_good(): pass\n"
        "def test_bad(): assert 0\n"
        "@pytest.mark.skip\ndef test_skip(): pass\n"
        "@pytest.mark.xfail\ndef test_expected(): assert 0\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--junitxml=out/report.xml"]
    started = time.time()
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
    subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False, timeout=100)
    tally = junit.read(tmp_path / "out" / "report.xml", started)
    assert (tally.passed, tally.failed, tally.skipped) == (2, 1, 1)
    assert tally.results == {"test_x.test_good": True, "test_x.test_bad": False, "test_x.test_expected": True}
