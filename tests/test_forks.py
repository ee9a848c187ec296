"""Hosts that fork, and processes that share a journal or a trace."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ralph_otel.events import Line
from support.hosts import QUIET, check_went_well, run, start
from support.tape import fold, lines_of


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """The hosts' working directory, without any configuration."""
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


FORKING = {**QUIET, "PYTHONWARNINGS": "ignore::DeprecationWarning"}  # Python 3.12 warns of forks where threads run


def by_name(home: Path) -> dict[str, list[Line]]:
    found = [lines_of(path) for path in (home / "runs").glob("*.jsonl")]
    names = [lines[0]["name"] for lines in found]
    assert len(set(names)) == len(names), names
    return dict(zip(names, found, strict=True))


def test_a_forked_child_writes_on_in_its_parents_loop_and_has_loops_of_its_own(work: Path, home: Path) -> None:
    ended = run(
        """
        import os, sys, ralph_otel
        collector = ralph_otel.register()
        with collector.loop("shared") as shared:
            with shared.iteration():
                pass
            pid = os.fork()
            if not pid:
                with shared.iteration() as it:
                    it.tests(2, 0)
                collector.record_tests(3, 0)
                with collector.loop("childs") as own, own.iteration():
                    pass
                print("child", collector.get_metrics().total_iterations, flush=True)
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
        with collector.loop("parents") as own, own.iteration():
            pass
        print("parent", collector.get_metrics().total_iterations)
        """,
        work,
        env=FORKING,
        patient=True,
    )
    check_went_well(ended)
    assert ended.stdout == "child 1\nparent 3\n"
    runs = by_name(home)
    assert set(runs) == {"shared", "childs", "parents"}
    assert [line["passed"] for line in runs["shared"] if line["type"] == "tests.finished"] == [2, 3]
    assert runs["shared"][-1]["type"] == "loop.stopped"
    assert len({lines[0]["loop"] for lines in runs.values()}) == 3


def test_a_forked_child_that_ends_like_a_program_of_its_own_ends_its_own_loops_only(work: Path, home: Path) -> None:
    ended = run(
        """
        import os, sys, ralph_otel
        collector = ralph_otel.register()
        loop = collector.loop("parents").start()
        pid = os.fork()
        if not pid:
            collector.loop("childs").start().iteration().start()
            sys.exit(0)
        print(os.waitpid(pid, 0)[1], loop.open)
        loop.iteration().start().finish()
        """,
        work,
        env=FORKING,
    )
    check_went_well(ended)
    assert ended.stdout == "0 True\n"
    runs = by_name(home)
    assert [line["type"] for line in runs["childs"]][-2:] == ["iteration.finished", "loop.stopped"]
    assert [line["type"] for line in runs["parents"]].count("loop.stopped") == 1
    assert runs["parents"][-1]["type"] == "loop.stopped"


def test_without_a_journal_a_forked_child_says_that_its_events_are_lost(work: Path) -> None:
    ended = run(
        """
        import os, ralph_otel
        collector = ralph_otel.register()
        with collector.loop("shared") as shared:
            if not (pid := os.fork()):
                shared.progress(0.5)
                shared.progress(0.6)
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
            with shared.iteration():
                pass
        print(collector.get_metrics().total_iterations)
        """,
        work,
        env={**FORKING, "RALPH_OTEL_JOURNAL": "false"},
        patient=True,
    )
    assert (ended.code, ended.stdout) == (0, "1\n")
    [line] = ended.stderr.splitlines()
    assert line.startswith("ralph-otel: without a journal the events of a forked process are lost; set RALPH_OTEL_JOUR")


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_of_multiprocessing_have_loops_of_their_own(method: str, work: Path, home: Path) -> None:
    (work / "host.py").write_text(
        "import multiprocessing, sys, ralph_otel\n"
        "def work(number):\n"
        "    collector = ralph_otel.register()\n"
        "    with collector.loop(f'worker-{number}') as loop:\n"
        "        for _ in range(5):\n"
        "            with loop.iteration():\n"
        "                pass\n"
        "    return collector.get_metrics().total_iterations\n"
        "if __name__ == '__main__':\n"
        "    collector = ralph_otel.register()\n"
        "    with collector.loop('main') as loop, loop.iteration():\n"
        f"        with multiprocessing.get_context({method!r}).Pool(2) as pool:\n"
        "            counts = pool.map(work, range(4), chunksize=1)\n"
        "            pool.close()\n"
        "            pool.join()\n"
        "    print(sorted(counts), collector.get_metrics().total_iterations)\n"
    )
    ended = run("import runpy; runpy.run_path('host.py', run_name='__main__')", work, env=QUIET)
    assert ended.code == 0, ended.stderr
    counts, own = json.loads(ended.stdout[: ended.stdout.index("]") + 1]), ended.stdout.split()[-1]
    assert (len(counts), own) == (4, "1")
    runs = by_name(home)
    assert set(runs) == {"main", *(f"worker-{number}" for number in range(4))}
    for name, lines in runs.items():
        assert fold(lines).metrics().total_iterations == (1 if name == "main" else 5)


def test_many_processes_append_to_one_journal_without_mixing_lines(work: Path, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    writer = """
        import sys
        from pathlib import Path
        from ralph_otel.journal import Journal
        from ralph_otel.probe import Loop
        journal = Journal(Path(sys.argv[1]))
        with Loop("l", journal.append, run_id="run-1") as loop:
            for _ in range(200):
                with loop.iteration() as it:
                    it.tests(1, 0, results={"x" * 200 + str(n): True for n in range(20)})
    """
    hosts = [start(writer, work, str(path)) for _ in range(4)]
    for host in hosts:
        with host:
            assert host.communicate(timeout=60)[1] == ""
    lines = lines_of(path)
    assert len(lines) == 4 * (2 + 3 * 200)
    by_trace: dict[str, list[str]] = {}
    for line in lines:
        by_trace.setdefault(line["trace_id"], []).append(line["type"])
    assert len(by_trace) == 4
    for types in by_trace.values():
        turns = ["iteration.started", "tests.finished", "iteration.finished"] * 200
        assert types == ["loop.started", *turns, "loop.stopped"]


def test_an_agents_process_finds_the_trace_it_belongs_to(work: Path, home: Path) -> None:
    ended = run(
        """
        import subprocess, sys, ralph_otel
        with ralph_otel.register().loop("outer") as loop, loop.iteration() as it, it.agent("claude") as agent:
            inner = "import ralph_otel; ralph_otel.register().loop('inner').start()"
            subprocess.run([sys.executable, "-c", inner], env=agent.environment(), check=True)
        """,
        work,
        env=QUIET,
    )
    check_went_well(ended)
    runs = by_name(home)
    [agent] = [line for line in runs["outer"] if line["type"] == "agent.started"]
    inner = runs["inner"][0]
    assert (inner["trace_id"], inner["parent_span_id"]) == (agent["trace_id"], agent["span_id"])
