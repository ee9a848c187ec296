"""Hosts in processes of their own: how they start, what they leave behind however they end, and that they end."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from ralph_otel.journal import BadLine, decode
from support.hosts import LOOP, QUIET, check_went_well, journal, run, start
from support.ports import free_port, mute_server
from support.tape import fold


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """The hosts' working directory, without any configuration."""
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


# -- how they start ---------------------------------------------------------------------------------------------------


def test_importing_and_registering_import_nothing_of_opentelemetry_on_the_hosts_thread(work: Path) -> None:
    ended = run(
        """
        import sys
        import ralph_otel
        from ralph_otel import events, journal, probe
        print([name for name in sys.modules if name.split(".")[0] in ("opentelemetry", "grpc", "psutil", "ddsketch")])
        """,
        work,
    )
    check_went_well(ended)
    assert ended.stdout == "[]\n"


def test_registering_takes_the_caller_no_time(work: Path) -> None:
    ended = run(
        """
        import time
        import ralph_otel, ralph_otel.collector
        began = time.thread_time()
        collector = ralph_otel.register()
        print(time.thread_time() - began)
        assert ralph_otel.register() is collector
        """,
        work,
        env=QUIET,
    )
    check_went_well(ended)
    assert float(ended.stdout) < 0.05


def test_garbage_in_every_setting_is_one_line_each_and_the_loop_runs(work: Path, home: Path) -> None:
    (work / "ralph-otel.toml").write_text("prefix = '#'\nunknown = 1\n")
    garbage = {
        "RALPH_OTEL_ENABLED": "perhaps",
        "RALPH_OTEL_COLLECTION_INTERVAL": "soon",
        "RALPH_OTEL_DURATION_BUCKETS": "9,1",
        "RALPH_OTEL_EXPORT_FORMAT": "fax",
        "RALPH_OTEL_QUEUE_SIZE": "-1",
        "RALPH_OTEL_RESOURCES": "maybe",
        "OTEL_METRIC_EXPORT_INTERVAL": "often",
        "OTEL_TRACES_SAMPLER": "traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "nan",
        "TRACEPARENT": "garbage",
        "OTEL_RESOURCE_ATTRIBUTES": "a==,,=b",
    }
    ended = run(LOOP, work, env=garbage)
    assert ended.code == 0
    assert sum(line["type"] == "iteration.finished" for line in journal(home)) == 3
    lines = ended.stderr.splitlines()
    for name in (
        "RALPH_OTEL_ENABLED: 'perhaps'", "RALPH_OTEL_COLLECTION_INTERVAL: 'soon'", "RALPH_OTEL_DURATION_BUCKETS: '9,1'",
        "RALPH_OTEL_EXPORT_FORMAT: 'fax'", "RALPH_OTEL_QUEUE_SIZE: '-1'", "RALPH_OTEL_RESOURCES: 'maybe'",
        "OTEL_METRIC_EXPORT_INTERVAL: 'often", "ralph-otel.toml: prefix: '#'",
        "ralph-otel.toml: unknown field 'unknown'",
    ):  # fmt: skip
        [line] = [line for line in lines if name in line]
        assert line.startswith("ralph-otel: ")
        assert "must be" in line or "known ones" in line
    assert all(line.startswith("ralph-otel: ") for line in lines), ended.stderr


# -- what they leave behind -------------------------------------------------------------------------------------------


def test_a_loop_leaves_its_journal_and_nothing_on_its_hosts_streams(work: Path, home: Path) -> None:
    ended = run(LOOP + "    collector.wait_ready(90)\n    print('out')", work)  # what is not ready is said, at the end
    assert (ended.code, ended.stdout, ended.stderr) == (0, "out\n", "")
    metrics = fold(journal(home)).metrics()
    assert (metrics.total_iterations, metrics.session.sessions_created) == (3, 3)
    assert (metrics.tests.total_tests, metrics.rollups["all"].tokens) == (1, 30)
    assert not list((home / "targets").glob("*"))


@pytest.mark.parametrize(
    ("ending", "code", "reason"),
    [
        ("pass", 0, "completed"),
        ("loop.stop('max_cost')", 0, "max_cost"),
        ("raise SystemExit(0)", 0, "completed"),
        ("raise SystemExit(3)", 3, "error"),
        ("raise ValueError('of this test')", 1, "error"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGINT); import time; time.sleep(30)", None, "user_signal"),
    ],
)
def test_however_the_loop_is_left_its_end_is_there_and_the_exit_code_is_the_hosts(
    ending: str, code: int | None, reason: str, work: Path, home: Path
) -> None:
    script = """
        import ralph_otel
        collector = ralph_otel.register()
        collector.wait_ready()  # an import at the end would make CPython forget that a Ctrl-C has ended the program
        with collector.loop("l") as loop, loop.iteration():
            {}
    """
    ended = run(script.format(ending), work, env=QUIET)
    without = run(ending if "loop" not in ending else "pass", work)
    assert ended.code == without.code
    assert code in (None, ended.code)
    assert ("Traceback" in ended.stderr) is ("Traceback" in without.stderr)
    assert "ralph-otel:" not in ended.stderr
    lines = journal(home)
    assert (lines[-1]["type"], lines[-1].get("reason")) == ("loop.stopped", reason)
    assert fold(lines).metrics().total_iterations == 1


@pytest.mark.parametrize(("ending", "reason"), [("", "completed"), ("1 / 0", "error")])
def test_a_loop_that_nobody_ended_ends_with_the_process(ending: str, reason: str, work: Path, home: Path) -> None:
    script = f"""
        import ralph_otel
        loop = ralph_otel.register().loop("l").start()
        loop.iteration().start().agent("claude").start()
        {ending}
    """
    run(script, work, env=QUIET)
    lines = journal(home)
    assert [line["type"] for line in lines[-3:]] == ["agent.finished", "iteration.finished", "loop.stopped"]
    assert lines[-1]["reason"] == reason


def test_after_a_kill_the_journal_holds_what_was_emitted(work: Path, home: Path) -> None:
    endless = """
        import ralph_otel
        with ralph_otel.register().loop("l") as loop:
            while True:
                with loop.session(), loop.iteration() as it:
                    it.tests(1, 0)
                print(loop.iterations, flush=True)
    """
    with start(endless, work, env=QUIET) as host:
        assert host.stdout is not None
        while int(host.stdout.readline()) < 50:
            pass
        host.kill()
        *printed, _ = host.stdout.read().split("\n")
    seen = int(printed[-1]) if printed else 50
    [path] = (home / "runs").glob("*.jsonl")
    *raws, torn = path.read_bytes().split(b"\n")
    lines = [decode(raw) for raw in raws]
    with pytest.raises(BadLine):
        decode(torn)
    metrics = fold(lines).metrics()
    assert seen <= metrics.total_iterations <= seen + 1
    assert lines[-1]["type"] != "loop.stopped"


def test_a_home_that_is_a_file_is_one_line_and_the_numbers_are_right(work: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = run(
        LOOP + "    print(collector.get_metrics().total_iterations, len(collector.export('prometheus')) > 1000)",
        work,
        env={"RALPH_OTEL_HOME": str(tmp_path / "file"), **QUIET},
        patient=True,
    )
    assert (ended.code, ended.stdout) == (0, "3 True\n")
    [line] = ended.stderr.splitlines()
    assert line.startswith("ralph-otel: no journal in ")
    assert "set RALPH_OTEL_HOME to a folder that can be written" in line


def test_what_is_not_enabled_writes_nothing_starts_no_thread_and_opens_no_port(work: Path, home: Path) -> None:
    ended = run(
        LOOP + "    import sys, threading; print(threading.active_count(), 'opentelemetry' in sys.modules)",
        work,
        env={"RALPH_OTEL_ENABLED": "false", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
    )
    assert (ended.code, ended.stdout, ended.stderr) == (0, "1 False\n", "")
    assert not home.exists()


def test_events_that_neither_journal_nor_queue_can_take_are_counted(work: Path) -> None:
    ended = run(
        """
        import json, ralph_otel
        collector = ralph_otel.register(journal=False, queue_size=100, export_format="none")
        with collector.loop("l") as loop:
            for _ in range(50_000):
                collector.increment("jobs")
        text = collector.export("prometheus")
        count = lambda name: sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))
        print(int(count("ralph_otel_events_total") + count("ralph_otel_dropped_events_total")))
        """,
        work,
    )
    assert (ended.code, ended.stdout) == (0, "50002\n")
    assert len(ended.stderr.splitlines()) <= 1


def test_a_host_that_is_terminated_leaves_a_journal_that_can_be_read(work: Path, home: Path) -> None:
    endless = LOOP.replace("range(3)", "iter(int, 1)") + "                print('turn', flush=True)"
    with start(endless, work, env=QUIET) as host:
        assert host.stdout is not None
        for _ in range(5):
            assert host.stdout.readline() == "turn\n"
        host.terminate()
    assert host.returncode == -signal.SIGTERM
    assert fold(journal(home)).metrics().total_iterations >= 4
    assert next((home / "runs").iterdir()).stat().st_mode & 0o777 == 0o600


# -- that they end ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain_seconds(tmp_path_factory: pytest.TempPathFactory) -> float:
    """What the loop takes without OTLP, on this machine as it is now."""
    folder = tmp_path_factory.mktemp("plain")
    env = {**QUIET, "RALPH_OTEL_HOME": str(folder / "home")}
    return max(run(LOOP, folder, env=env).seconds for _ in range(2))


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("endpoint", ["refuses", "never answers"])
def test_a_dead_receiver_delays_the_end_by_two_seconds_at_the_most(
    endpoint: str, protocol: str, work: Path, home: Path, plain_seconds: float
) -> None:
    with mute_server() as mute:
        port = mute if endpoint == "never answers" else free_port()
        env = {
            "RALPH_OTEL_EXPORT_FORMAT": "otlp",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        }
        ended = run(LOOP + "    print('out')", work, env=env)
    assert (ended.code, ended.stdout) == (0, "out\n")
    assert ended.seconds < plain_seconds + 2 + 8  # both together took 14 to 20 seconds with the SDK's own shutdown
    assert all(line.startswith("ralph-otel: ") for line in ended.stderr.splitlines()), ended.stderr
    assert fold(journal(home)).metrics().total_iterations == 3


def test_registering_again_after_the_end_does_not_hang_the_exit(work: Path) -> None:
    ended = run(
        """
        import ralph_otel
        for _ in range(3):
            collector = ralph_otel.register()
            collector.loop("l").start()
            collector.shutdown()
        ralph_otel.register().loop("l").start()
        """,
        work,
        env=QUIET,
    )
    check_went_well(ended)


def test_a_host_that_only_registers_ends_well(work: Path, home: Path) -> None:
    check_went_well(run("import ralph_otel; ralph_otel.register()", work))
    assert not (home / "runs").exists()


def test_threads_that_outlive_the_main_one_are_recorded_to_their_end(work: Path, home: Path) -> None:
    ended = run(
        """
        import threading, ralph_otel
        collector = ralph_otel.register()
        def work():
            threading.main_thread().join()
            with collector.loop("late") as loop, loop.iteration():
                pass
            print(collector.get_metrics().total_iterations)
        threading.Thread(target=work).start()
        """,
        work,
        env=QUIET,
        patient=True,
    )
    check_went_well(ended)
    assert ended.stdout == "1\n"
    assert journal(home)[-1]["type"] == "loop.stopped"


def test_a_host_that_closes_its_streams_ends_well(work: Path, home: Path) -> None:
    ended = run("import sys; sys.stdout.close(); sys.stderr.close()\n" + "if True:\n" + LOOP, work, env=QUIET)
    assert ended.code == 0
    assert fold(journal(home)).metrics().total_iterations == 3
