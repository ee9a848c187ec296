"""`ralph-otel export`: which run is meant, in which format, and what is said of lines that cannot be used."""

from __future__ import annotations

import json
import os
import re
import tracemalloc
from pathlib import Path

import pytest
from command_line import call
from prometheus_client.parser import text_string_to_metric_families

from ralph_otel.runs import fold
from support.tape import Tape


def tape(run: str = "r", name: str = "fix-bugs") -> Tape:
    """Three iterations, one of them failed, with tests and money."""
    made = Tape(name, run, runner="ralphify")
    made.iteration(1, 1).iteration(3, 2, "failure").iteration(5, 3)
    made.add(6.5, "tests.finished", passed=3, failed=1)
    made.add(6.6, "usage.measured", model="m", input_tokens=10, output_tokens=5, cost_usd=0.25)
    return made.add(7, "loop.stopped", reason="max_iterations")


@pytest.fixture
def journal(home: Path) -> Path:
    """The journal of the run `r`."""
    return tape().write(home / "runs" / "r.jsonl")


# -- which run ---------------------------------------------------------------------------------------------------------


def exported(*run: str) -> str:
    """The name of the loop that was meant by RUN."""
    result = call("export", *run, "--format", "prometheus")
    assert (result.code, result.err) == (0, "")
    found = re.search(r'ralph_loop_name="([^"]*)"', result.out)
    assert found is not None
    return found[1]


@pytest.fixture
def runs(home: Path) -> Path:
    """A folder with three runs; the second and third begin alike."""
    for run, name in (
        ("20261101T000000Z-aaaaaa", "a"),
        ("20261102T000000Z-bbbbbb", "b"),
        ("20261102T000001Z-cccccc", "c"),
    ):
        tape(run, name).write(home / "runs" / f"{run}.jsonl")
    return home / "runs"


def test_a_run_is_found_by_its_id(runs: Path) -> None:
    assert exported("20261101T000000Z-aaaaaa") == "a"


def test_a_run_is_found_by_an_unambiguous_beginning(runs: Path) -> None:
    assert exported("20261101") == "a"
    assert exported("20261102T000001") == "c"


def test_a_run_is_found_by_its_unambiguous_end(runs: Path) -> None:
    assert exported("bbbbbb") == "b"


def test_an_id_that_is_the_beginning_of_another_is_meant_itself(home: Path) -> None:
    for run in ("r", "r-2", "r-3"):
        tape(run, run).write(home / "runs" / f"{run}.jsonl")
    assert exported("r") == "r"


def test_without_a_run_and_for_latest_the_newest_is_meant(runs: Path) -> None:
    assert exported() == exported("latest") == "c"


def test_of_two_runs_that_began_in_one_second_the_one_written_last_is_the_latest(home: Path) -> None:
    older = tape("20261101T000000Z-ffffff", "older").write(home / "runs" / "20261101T000000Z-ffffff.jsonl")
    newer = tape("20261101T000000Z-000000", "newer").write(home / "runs" / "20261101T000000Z-000000.jsonl")
    os.utime(older, (1, 1))
    os.utime(newer, (2, 2))
    assert exported("latest") == "newer"


def test_a_path_is_a_run_wherever_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tape("x", "elsewhere").write(tmp_path / "elsewhere" / "copy")
    assert exported(str(tmp_path / "elsewhere" / "copy")) == "elsewhere"
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert exported("./copy") == "elsewhere"
    (tmp_path / "elsewhere" / "copy").rename("copy.jsonl")
    assert exported("copy.jsonl") == "elsewhere"


def test_an_ambiguous_beginning_is_answered_with_the_runs_it_may_be(runs: Path) -> None:
    result = call("export", "20261102")
    assert (result.code, result.out) == (1, "")
    assert "'20261102' may be any of 2 runs" in result.err
    assert "20261102T000000Z-bbbbbb" in result.err
    assert "20261102T000001Z-cccccc" in result.err
    assert result.err.count("\n") == 1


@pytest.mark.parametrize("run", ["nonesuch", "", "./nonesuch", "nonesuch.jsonl", "latest"])
def test_a_run_that_is_not_there_is_one_line(home: Path, run: str) -> None:
    result = call("export", run)
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("ralph-otel: no ")
    assert result.err.count("\n") == 1


def test_a_folder_is_no_journal(tmp_path: Path) -> None:
    result = call("export", str(tmp_path))
    assert result.code == 1
    assert f"no journal {tmp_path}" in result.err


# -- in which format ---------------------------------------------------------------------------------------------------


def test_prometheus_is_the_default_and_can_be_parsed(journal: Path) -> None:
    result = call("export")
    samples = {
        (sample.name, sample.labels.get("ralph_outcome")): sample.value
        for family in text_string_to_metric_families(result.out)
        for sample in family.samples
    }
    assert samples["ralph_loop_iterations_total", "success"] == 2
    assert samples["ralph_loop_iterations_total", "failure"] == 1
    assert samples["ralph_loop_cost_USD_total", None] == 0.25
    assert result == call("export", "r", "--format", "prometheus")


def test_json_is_the_aggregate(journal: Path) -> None:
    metrics = json.loads(call("export", "--format", "json").out)
    assert metrics == tape().metrics().to_dict()
    assert metrics["total_iterations"] == 3
    assert metrics["tests"]["pass_rate"] == 0.75


def test_statsd_is_a_line_a_value(journal: Path) -> None:
    lines = call("export", "--format", "statsd").out.splitlines()
    assert "ralph_loop.iterations:1|c|#ralph.loop.name:fix-bugs,ralph.outcome:failure,ralph.runner:ralphify" in lines
    assert all(re.fullmatch(r"[\w.]+:[-\d.e+]+\|(c|g|ms|h)(\|@[\d.]+)?\|#\S+", line) for line in lines)


def test_otlp_is_its_json_form(journal: Path) -> None:
    data = json.loads(call("export", "--format", "otlp").out)
    metrics = data["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]
    assert "ralph_loop.iterations" in {metric["name"] for metric in metrics}


def test_console_is_for_people(journal: Path) -> None:
    out = call("export", "--format", "console").out
    assert "fix-bugs" in out
    assert re.search(r"ralph_loop\.cost\s+\$0\.25", out)


def test_an_unknown_format_is_answered_with_the_known_ones(journal: Path) -> None:
    result = call("export", "--format", "xml")
    assert result.code == 2
    assert all(name in result.err for name in ("prometheus", "json", "statsd", "otlp", "console"))


@pytest.mark.parametrize(("configured", "begin"), [("json", "{"), ("none", "# HELP"), ("none,json", "{")])
def test_the_configured_format_is_the_default(
    journal: Path, monkeypatch: pytest.MonkeyPatch, configured: str, begin: str
) -> None:
    monkeypatch.setenv("RALPH_OTEL_EXPORT_FORMAT", configured)
    assert call("export").out.startswith(begin)


def test_the_prefix_is_the_configured_one(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RALPH_OTEL_PREFIX", "mine")
    assert "\nmine_iterations_total{" in call("export").out


def test_a_run_without_an_end_stands_at_its_last_event(home: Path) -> None:
    Tape(run="r").iteration(10, 1).add(20, "iteration.started", iteration=2).write(home / "runs" / "r.jsonl")
    metrics = json.loads(call("export", "--format", "json").out)
    assert metrics["total_execution_time"] == 20.0
    assert "ralph_loop_active_iterations" in call("export").out


def test_nothing_is_sent_and_nothing_is_changed_by_looking(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    before = journal.read_bytes()
    for format_ in ("prometheus", "otlp", "statsd", "json", "console"):
        assert call("export", "--format", format_).err == ""
    assert journal.read_bytes() == before
    assert [path.name for path in journal.parent.parent.rglob("*")] == ["runs", "r.jsonl"]


# -- to a file ---------------------------------------------------------------------------------------------------------


def test_a_file_gets_the_same_text_for_its_owner_only(journal: Path, tmp_path: Path) -> None:
    target = tmp_path / "metrics.json"
    result = call("export", "--format", "json", "--output", str(target))
    assert (result.code, result.out, result.err) == (0, "", "")
    assert target.read_text() == call("export", "--format", "json").out
    assert target.stat().st_mode & 0o777 == 0o600


def test_a_file_that_cannot_be_written_is_one_line(journal: Path, tmp_path: Path) -> None:
    target = tmp_path / "nonesuch" / "metrics.json"
    result = call("export", "--output", str(target))
    assert result.code == 1
    assert result.err == f"ralph-otel: --output: cannot write {target}: No such file or directory\n"


# -- lines that cannot be used -----------------------------------------------------------------------------------------


def test_bad_lines_are_said_and_the_others_count(journal: Path) -> None:
    with journal.open("ab") as file:
        file.write(b'{"v":1\n[1]\n{"v":1,"type":"tests.finished","ts":1,"loop":"r","passed":-1,"failed":0}\n')
    result = call("export", "--format", "json")
    assert result.code == 0
    assert json.loads(result.out)["total_iterations"] == 3
    said = result.err.splitlines()
    assert len(said) == 3
    assert all(line.startswith("ralph-otel: r.jsonl: a line is skipped: ") for line in said)
    assert "passed must be a whole number of 0 or more, got -1" in said[2]


def test_of_many_bad_lines_the_first_and_their_number_are_said(journal: Path) -> None:
    with journal.open("ab") as file:
        file.write(b"?\n" * 1000)
    said = call("export", "--format", "json").err.splitlines()
    assert len(said) == 6
    assert said[-1] == "ralph-otel: r.jsonl: 1000 lines are skipped in all"


def test_a_torn_last_line_is_left_out(journal: Path) -> None:
    with journal.open("ab") as file:
        file.write(b'{"v":1,"type":"iteration.finished","ts":1')
    result = call("export", "--format", "json")
    assert json.loads(result.out)["total_iterations"] == 3
    assert result.err == "ralph-otel: r.jsonl: the last line has no end and is left out\n"


def test_an_empty_journal_has_figures_too(home: Path) -> None:
    Tape(name="", run="r").write(home / "runs" / "r.jsonl")
    assert json.loads(call("export", "--format", "json").out)["total_iterations"] == 0
    assert call("export").code == 0


def test_what_a_terminal_would_obey_is_not_printed(home: Path) -> None:
    tape("r", "\x1b]0;title\x07\x1b[2J").write(home / "runs" / "r.jsonl")
    for arguments in (("export", "--format", "console"), ("runs",)):
        assert "\x1b" not in call(*arguments).out


def test_memory_stays_small_whatever_the_journal_holds(home: Path) -> None:
    path = tape().write(home / "runs" / "r.jsonl")
    padded = json.dumps({"v": 1, "type": "note.made", "ts": 1, "loop": "r", "text": "x" * 5_000_000}).encode()
    with path.open("ab") as file:
        file.write(padded + b"\n" + b" \n" * 100_000 + padded + b"\n")
        file.truncate(file.tell() + 400_000_000)  # a line of NUL bytes that takes no room on the disk
        file.write(b"\n" + json.dumps({"v": 1, "type": "loop.paused", "ts": 2**62, "loop": "r"}).encode() + b"\n")
    tracemalloc.start()
    try:
        folded = fold(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (folded.lines, folded.bad_lines) == (len(tape().lines) + 3, 1)
    assert peak < 80_000_000
