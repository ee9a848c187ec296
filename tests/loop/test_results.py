"""Reading the output of test commands: recorded ones, and anything else that a process may print."""

from __future__ import annotations

import os
import time
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ralph_otel.events import TestsFinished
from ralph_otel.loop.results import MAX_LINE, ResultsReader, junit_path
from ralph_otel.loop.tally import MAX_ID, MAX_RESULTS


def read(output: str | bytes, exit_code: int = 0) -> TestsFinished:
    reader = ResultsReader()
    reader.feed(output.encode() if isinstance(output, str) else output)
    return reader.finish(exit_code)


def counts(event: TestsFinished) -> tuple[int, int, int | None]:
    return event.passed, event.failed, event.skipped


# As the programs print it. Counts: passed, failed, skipped.
RECORDED = {
    "pytest": (1, "== 1 failed, 2 passed, 3 skipped, 2 warnings in 0.12s ==", (2, 1, 3)),
    "pytest -q": (1, "1 failed, 2 passed in 63.12s (0:01:03)", (2, 1, 0)),
    "pytest before version 5": (1, "=== 1 failed, 2 passed in 0.12 seconds ===", (2, 1, 0)),
    "pytest, errors are failures": (1, "==== 1 failed, 1 passed, 2 errors in 0.5s ====", (1, 3, 0)),
    "pytest, xfailed and xpassed pass": (0, "1 passed, 2 xfailed, 4 xpassed in 0.1s", (7, 0, 0)),
    "pytest, deselected and reruns are none": (0, "=== 2 passed, 9 deselected, 5 rerun in 0.1s ===", (2, 0, 0)),
    "pytest, subtests are none": (0, "2 passed, 7 subtests passed in 0.1s", (2, 0, 0)),
    "pytest, none": (5, "=== no tests ran in 0.01s ===", (0, 0, 0)),
    "pytest, all deselected": (5, "=== 3 deselected in 0.01s ===", (0, 0, 0)),
    "pytest, coloured": (
        0,
        "\x1b[32m= \x1b[32m\x1b[1m13 passed\x1b[0m\x1b[32m in 0.50s\x1b[0m\x1b[32m =\x1b[0m",
        (13, 0, 0),
    ),
    "pytest -qq": (1, "..sF.xX.E   [ 50%]\n...         [100%]", (9, 2, 1)),
    "pytest, killed": (-9, "a_test.py ..F.      [ 40%]", (3, 1, 0)),
    "pytest twice": (1, "== 2 passed in 0.1s ==\n== 1 failed, 1 passed in 0.2s ==", (3, 1, 0)),
    "unittest": (1, "Ran 9 tests in 0.001s\n\nFAILED (failures=1, errors=2, skipped=1)", (5, 3, 1)),
    "unittest, expected": (1, "Ran 4 tests in 1s\n\nFAILED (expected failures=1, unexpected successes=1)", (3, 1, 0)),
    "unittest, all good": (0, "Ran 1 test in 0.000s\n\nOK", (1, 0, 0)),
    "unittest, none": (5, "Ran 0 tests in 0.000s\n\nNO TESTS RAN", (0, 0, 0)),
    "cargo test": (
        101,
        "test a ... ok\ntest result: ok. 1 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.0s\n"
        "test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.12s",
        (3, 1, 2),
    ),
    "jest": (
        1,
        "Test Suites: 1 failed, 1 total\nTests:       1 failed, 1 skipped, 1 todo, 1 passed, 4 total",
        (1, 1, 2),
    ),
    "vitest": (
        1,
        "\x1b[2m Test Files \x1b[22m \x1b[31m1 failed\x1b[39m\x1b[90m (1)\x1b[39m\n"
        "\x1b[2m      Tests \x1b[22m \x1b[1m\x1b[31m1 failed\x1b[39m\x1b[22m\x1b[2m | \x1b[22m1 passed\x1b[2m | "
        "\x1b[22m\x1b[33m1 skipped\x1b[39m\x1b[2m | \x1b[22m1 todo\x1b[90m (4)\x1b[39m",
        (1, 1, 2),
    ),
    "mocha": (1, "  2 passing (3ms)\n  1 pending\n  1 failing", (2, 1, 1)),
    "node --test": (1, "ℹ tests 5\nℹ pass 1\nℹ fail 1\nℹ cancelled 1\nℹ skipped 1\nℹ todo 1", (1, 2, 2)),
    "node --test, TAP": (
        0,
        "# tests 4\n# suites 0\n# pass 4\n# fail 0\n# cancelled 0\n# skipped 0\n# todo 0",
        (4, 0, 0),
    ),
    "go test, packages": (0, "ok  \texample.com/m/a\t0.002s\nok  \texample.com/m/b\t(cached)", (2, 0, 0)),
    "go test, nothing to run": (
        0,
        "?   \texample.com/m/a\t[no test files]\nok  \texample.com/m/b\t0.0s [no tests to run]",
        (0, 0, 0),
    ),
    "go test, does not build": (1, "FAIL\texample.com/m/broken [build failed]\nFAIL", (0, 1, 0)),
    "go test -v, killed": (-9, "--- PASS: TestA (0.00s)\n--- FAIL: TestB (0.00s)", (1, 1, 0)),
    "several programs": (0, "=== 3 passed in 0.1s ===\nTests:       2 passed, 2 total", (5, 0, 0)),
    "Windows line ends": (0, "Ran 2 tests in 0.001s\r\n\r\nOK\r\n", (2, 0, 0)),
    "after a progress bar": (0, "working 10%\rworking 99%\r2 passed in 0.1s", (2, 0, 0)),
}


@pytest.mark.parametrize("name", RECORDED)
def test_counts_of_recorded_output(name: str) -> None:
    exit_code, output, expected = RECORDED[name]
    assert counts(read(output, exit_code)) == expected


@pytest.mark.parametrize(
    "output",
    [
        "",
        "all good\n",
        "Found 3 errors in 2 files",
        "3 files in 0.5s",
        "Foo::bar PASSED on to the next\n",
        "OK (3 widgets)",
        "--- FAIL: not a test",
        '{"Action":"fail","Test":3}\n{"Action":"pass"',
        "[ 50%] Building CXX object",
    ],
)
def test_of_an_unknown_command_the_exit_code_is_the_one_test(output: str) -> None:
    assert counts(read(output, 0)) == (1, 0, None)
    assert counts(read(output, 2)) == (0, 1, None)
    assert counts(read(output, -15)) == (0, 1, None)


def test_a_command_that_fails_after_good_tests_is_a_failure_too() -> None:
    assert counts(read("=== 7 passed in 0.1s ===\ncoverage 40% is under 80%", 2)) == (7, 1, 0)


def test_no_tests_but_another_error_is_a_failure() -> None:
    assert counts(read("no tests ran in 0.00s\nERROR: file or directory not found: x", 4)) == (0, 1, 0)


def test_failures_count_even_where_the_exit_code_hides_them() -> None:
    assert counts(read("1 failed, 1 passed in 0.1s", 0)) == (1, 1, 0)


def test_a_summary_that_a_failed_test_printed_does_not_count() -> None:
    nested = "============ 5 passed in 0.10s ============\n"
    reports = f"=========== FAILURES ===========\n--- Captured stdout call ---\n{nested}"
    short = "========= short test summary info =========\nFAILED a.py::b - boom\n"
    assert counts(read(f"{reports}1 failed, 2 passed in 0.5s", 1)) == (2, 1, 0)
    assert counts(read(f"{reports}{short}1 failed, 2 passed in 0.5s", 1)) == (2, 1, 0)
    assert counts(read(f".F    [100%]\n{reports}{short}", 1)) == (1, 1, 0)  # -qq: no summary of its own
    assert counts(read(f"1 failed in 1s\n{reports}{short}1 failed, 2 passed in 0.5s", 1)) == (2, 2, 0)


def test_names_of_pytest_tests() -> None:
    verbose = """
test_a.py::test_p[a b] PASSED                                            [  7%]
test_a.py::test_p[c - d] \x1b[32mPASSED\x1b[0m\x1b[32m                   [ 15%]\x1b[0m
test_a.py::test_s SKIPPED (why (not))                                    [ 46%]
test_a.py::test_xf XFAIL                                                 [ 53%]
test_a.py::test_td PASSED                                                [ 84%]
test_a.py::test_td ERROR                                                 [ 84%]
test_a.py::test_t PASSED                                               253.1us
[gw1] [ 61%] FAILED test_a.py::test_x
[gw0] PASSED test_a.py::TestC::test_in
"""
    assert read(verbose).results == {
        "test_a.py::test_p[a b]": True,
        "test_a.py::test_p[c - d]": True,
        "test_a.py::test_xf": True,
        "test_a.py::test_td": False,
        "test_a.py::test_t": True,
        "test_a.py::test_x": False,
        "test_a.py::TestC::test_in": True,
    }
    short = """=========================== short test summary info ============================
PASSED test_a.py::test_p[c - d]
PASSED test_a.py::test_p[[q]]
SKIPPED [1] test_a.py:7: why (not)
XFAIL test_a.py::test_xf
ERROR test_a.py::test_e - RuntimeError: x
ERROR broken.py
FAILED test_a.py::test_f[a - b] - AssertionError: [boom] - x
SUBFAILED[m] (i=1) test_a.py::test_sub - assert 1 != 1
3 failed, 2 passed in 0.1s
"""
    assert read(short, 1).results == {
        "test_a.py::test_p[c - d]": True,
        "test_a.py::test_p[[q]]": True,
        "test_a.py::test_xf": True,
        "test_a.py::test_e": False,
        "broken.py": False,
        "test_a.py::test_f[a - b]": False,
    }


def test_names_of_unittest_tests() -> None:
    output = """
test_a (m.T.test_a) ... ok
test_b (m.T)
What it is about ... FAIL
test_c (m.T.test_c) ... skipped 'no'
test_d (m.T.test_d) ... expected failure
  test_e (m.T.test_e) [x] (i=1) ... FAIL
setUpClass (m.U) ... ERROR
FAIL: test_f (m.T.test_f)
"""
    assert read(output).results == {
        "m.T.test_a": True,
        "m.T.test_b": False,
        "m.T.test_d": True,
        "m.U.setUpClass": False,
        "m.T.test_f": False,
    }


def test_names_of_cargo_tests() -> None:
    output = "test m::a ... ok\ntest m::b ... FAILED\ntest m::c ... ignored\ntest d - should panic ... ok\n"
    event = read(output)
    assert event.results == {"m::a": True, "m::b": False, "d - should panic": True}
    assert counts(event) == (2, 1, 1)


def test_names_are_bounded_in_number_and_length_and_hold_no_control_characters() -> None:
    lines = [f"a.py::t{i} PASSED [ 1%]" for i in range(MAX_RESULTS + 10)]
    event = read("\n".join([f"a.py::{'x' * 999} PASSED [ 1%]", "a.py::t[\x00\x07\u202e] FAILED", *lines]))
    assert event.results is not None
    assert len(event.results) == MAX_RESULTS
    assert max(map(len, event.results)) == MAX_ID
    assert event.results["a.py::t[]"] is False
    assert (event.passed, event.failed) == (MAX_RESULTS + 11, 1)


def test_a_line_without_an_end_takes_no_memory() -> None:
    reader = ResultsReader()
    for _ in range(1000):
        reader.feed(b"x" * 65536)
    assert len(reader._line) == MAX_LINE
    reader.feed(b"\n2 passed in 0.1s")
    assert counts(reader.finish(0)) == (2, 0, 0)


@pytest.mark.parametrize(
    "line",
    [
        "FAILED (" + "a b " * 5000,
        "test result: a. " + "a " * 9000,
        "a::b PASSED (" * 1500,
        "1, " * 6000 + " in 1",
        "a (b) " * 3000,
    ],
)
def test_a_long_line_takes_no_long_time(line: str) -> None:
    started = time.process_time()
    read(f"{line}\n{line})\n" * 3)
    assert time.process_time() - started < 5


PIECES = st.one_of(
    st.sampled_from([output for _, output, _ in RECORDED.values()]),
    st.sampled_from(
        [
            "=== FAILURES ===",
            "=== short test summary info ===",
            "a.py::b PASSED",
            "FAILED a.py::b - c",
            "test_a (m.T)",
            '{"Action":"fail","Package":"a","Test":"T"}',
            '{"Action":"fail","Package":"a"}',
            '{"Action":"pass","Package":[],"Test":{}}',
            '{"Action":"pass","Package":"\\ud800","Test":"\\u0000"}',
            '{"Action":"pass"' + "[" * 5000,
        ]
    ),
    st.text(max_size=30),
)
OUTPUTS = st.one_of(
    st.binary(max_size=300), st.lists(PIECES, max_size=8).map(lambda pieces: "\n".join(pieces).encode())
)


@given(OUTPUTS, st.integers(-64, 255))
def test_any_output_gives_a_valid_event(output: bytes, exit_code: int) -> None:
    event = read(output, exit_code)
    assert event.passed >= 0
    assert event.failed >= 0
    assert event.skipped is None or event.skipped >= 0
    assert all(0 < len(test) <= MAX_ID and test.isprintable() for test in event.results or {})
    assert event.failed or exit_code in (0, 5)


@given(OUTPUTS, st.lists(st.integers(0, 400), max_size=10))
def test_how_the_output_is_cut_does_not_matter(output: bytes, cuts: list[int]) -> None:
    reader = ResultsReader()
    edges = [0, *sorted(cuts), len(output)]
    for start, end in pairwise(edges):
        reader.feed(output[start:end])
    assert reader.finish(1) == read(output, 1)


def test_a_go_package_that_fails_with_a_failed_test_is_no_further_failure() -> None:
    events = [
        '{"Action":"start","Package":"a"}',
        '{"Action":"pass","Package":"a","Test":"T1","Elapsed":0}',
        '{"Action":"output","Package":"a","Test":"T2","Output":"--- FAIL: T2 (0.00s)\\n"}',
        '{"Action":"fail","Package":"a","Test":"T2","Elapsed":0}',
        '{"Action":"fail","Package":"a","Elapsed":0.1}',
        '{"Action":"fail","Package":"b","Elapsed":0,"FailedBuild":"b [b.test]"}',
    ]
    event = read("\n".join(events), 1)
    assert counts(event) == (1, 2, 0)
    assert event.results == {"a.T1": True, "a.T2": False, "b": False}


def test_a_fresh_report_is_better_than_the_output(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    reader = ResultsReader(report, started=time.time())
    reader.feed(b"3 passed in 0.1s")
    report.write_text('<testsuite><testcase classname="a" name="b"/></testsuite>')
    event = reader.finish(0, duration=1.5)
    assert event == TestsFinished(passed=1, failed=0, skipped=0, duration=1.5, results={"a.b": True})
    assert reader.problem is None


def test_a_report_of_an_earlier_run_is_not_used(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text('<testsuite><testcase classname="a" name="b"/></testsuite>')
    os.utime(report, (1_000_000, 1_000_000))
    reader = ResultsReader(report, started=time.time())
    reader.feed(b"3 passed in 0.1s")
    assert counts(reader.finish(0)) == (3, 0, 0)
    assert reader.problem == f"JUnit report {report}: not written by this test run"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("pytest --junitxml=out/r.xml -q", "out/r.xml"),
        ("cd x && pytest --junit-xml 'my report.xml'", "my report.xml"),
        ("gotestsum --junitfile r.xml ./...", "r.xml"),
        ("phpunit --log-junit r.xml", "r.xml"),
        ("ctest --output-junit r.xml", "r.xml"),
        ("pytest --junitxml=/abs/r.xml", "/abs/r.xml"),
        ("pytest -q", None),
        ("pytest --junitxml", None),
        ("pytest 'unclosed --junitxml=r.xml", None),
        ("pytest --junitxml-prefix=x --junit-prefix=y", None),
    ],
)
def test_the_report_that_a_command_writes_is_found_in_its_options(command: str, expected: str | None) -> None:
    assert junit_path(command, Path("/project")) == (Path("/project") / expected if expected else None)
