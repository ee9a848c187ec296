"""What the journal of a shell script says is what its agents say of themselves."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest
from scripts import Workplace, launched, program

import ralph_otel
from ralph_otel.shims.command import QUESTIONS
from ralph_otel.shims.folder import AGENTS
from ralph_otel.shims.shell_loop import name_of, reason_of
from support.seen import assert_known, signals_of
from support.tape import lines_of
from support.waiting import until


def bash(script: str, *options: str) -> list[str]:
    return launched("bash", "-c", script, options=options)


def test_every_agent_is_an_iteration_with_its_own_exit_code_and_process(place: Workplace) -> None:
    place.run(bash("claude out:a; claude exit:3; aider out:b; claude die:15"))

    agents, starts, ends = place.lines("agent.finished"), place.account("argv"), place.account("exit")
    assert [line["exit_code"] for line in agents] == [end["exit"] for end in ends] == [0, 3, 0, -15]
    assert [line["pid"] for line in agents] == [start["pid"] for start in starts]
    assert [line["agent"] for line in agents] == [start["name"] for start in starts]
    iterations = place.lines("iteration.finished")
    assert [(line["iteration"], line["outcome"], line["exit_code"]) for line in iterations] == [
        (1, "success", 0),
        (2, "failure", 3),
        (3, "success", 0),
        (4, "failure", -15),
    ]
    assert [line.get("error_type") for line in iterations] == [None, "exit_code_3", None, "signal_SIGTERM"]


def test_durations_and_times_are_the_agents_own(place: Workplace) -> None:
    began = time.monotonic()
    process = place.start(bash("claude wait:go; claude wait:go"))
    place.await_account("argv")
    until(lambda: place.journals() and place.lines("agent.started"), what="for the journal")
    (place.folder / "go").touch()
    process.communicate(timeout=60)
    whole = time.monotonic() - began

    assert sum(line["duration"] for line in place.lines("iteration.finished")) <= whole
    for line, start, end in zip(
        place.lines("iteration.finished"), place.account("argv"), place.account("exit"), strict=True
    ):
        assert end["seconds"] <= line["duration"]
        assert start["at"] / 1e9 < line["ts"] / 1e9
    for line, start in zip(place.lines("agent.started"), place.account("argv"), strict=True):
        assert line["ts"] < start["at"]


def test_the_loop_has_the_parts_that_a_loop_has(place: Workplace) -> None:
    place.run(bash("claude out:a; claude out:b"))

    lines = place.lines()
    turn = ["session.started", "iteration.started", "agent.started", "agent.finished", "iteration.finished"]
    assert [line["type"] for line in lines] == [
        "loop.started",
        *[*turn, "session.ended"] * 2,
        "stop_condition.triggered",
        "loop.stopped",
    ]
    loop, session, iteration, agent = lines[:4]
    assert (session["parent_span_id"], iteration["parent_span_id"]) == (loop["span_id"], session["span_id"])
    assert agent["parent_span_id"] == iteration["span_id"]
    assert len({line["trace_id"] for line in lines}) == 1
    assert (loop["name"], loop["runner"]) == ("bash", "shell")
    assert [line["ts"] for line in lines] == sorted(line["ts"] for line in lines)
    assert {line["loop"] for line in lines} == {place.journals()[0].stem}


def test_an_agent_stands_in_its_iterations_trace(place: Workplace) -> None:
    trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    changes = {"TRACEPARENT": f"00-{trace}-{span}-01", "TRACESTATE": "a=b", "BAGGAGE": "c=d"}
    place.run(bash("claude; claude"), changes)

    [loop] = place.lines("loop.started")
    assert (loop["trace_id"], loop["parent_span_id"]) == (trace, span)
    started = place.lines("agent.started")
    given = [start["environment"] for start in place.account("argv")]
    assert [each["TRACEPARENT"] for each in given] == [f"00-{trace}-{line['span_id']}-01" for line in started]
    assert {(each["TRACESTATE"], each["BAGGAGE"]) for each in given} == {("a=b", "c=d")}


def test_a_trace_that_is_not_sampled_stays_so(place: Workplace) -> None:
    place.run(bash("claude"), {"TRACEPARENT": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"})
    assert place.account("argv")[0]["environment"]["TRACEPARENT"].endswith("-00")
    assert place.lines("loop.started")[0]["trace_flags"] == 0


def test_a_long_loop_goes_on_in_another_trace(place: Workplace) -> None:
    wait = "while [ ! -e go$i ]; do sleep 0.01; done"  # no agent may start before its trace is known
    process = place.start(bash(f"for i in 1 2 3 4 5; do claude; {wait}; done"), {"RALPH_OTEL_TRACE_ITERATIONS": "2"})
    known = list[str]()
    for number in range(1, 6):
        place.await_account("exit", number)
        if number in (2, 4):
            until(lambda: place.trace() not in known, what="for another trace")
        known.append(place.trace())
        (place.folder / f"go{number}").touch()
    process.communicate(timeout=60)

    started, iterations = place.lines("agent.started"), place.lines("iteration.started")
    assert [line["part"] for line in place.lines("trace.continued")] == [2, 3]
    traces = [line["trace_id"] for line in iterations]
    assert traces[0] == traces[1] != traces[2] == traces[3] != traces[4]
    assert [f"00-{line['trace_id']}-{line['span_id']}-01" for line in started] == [
        start["environment"]["TRACEPARENT"] for start in place.account("argv")
    ]


def test_usage_context_and_tools_come_from_the_stream(place: Workplace) -> None:
    place.run(bash("claude json:1; claude json:2 | cat; claude json:3 > log; claude out:x"))

    told = place.account("usage")
    usage = place.lines("usage.measured")
    assert [
        [line["input_tokens"], line["output_tokens"], line["cache_read_tokens"], line["cost_usd"]] for line in usage
    ] == [each["usage"] for each in told]
    assert [line["cost_source"] for line in usage] == ["reported"] * 3
    assert [line["percent"] for line in place.lines("context.measured")] == [10.1, 10.2, 10.3]
    agents = place.lines("agent.finished")
    assert [line.get("turns") for line in agents] == [3, 3, 3, None]
    assert [line.get("conversation") for line in agents] == ["s1", "s2", "s3", None]
    tools = place.lines("tool.called")
    assert [(line["tool"], line["outcome"]) for line in tools] == [("Edit", "success")] * 3
    assert [line["parent_span_id"] for line in tools] == [line["span_id"] for line in agents[:3]]
    assert b"hidden" not in place.journals()[0].read_bytes()


def test_what_is_seen_is_what_the_table_says(place: Workplace) -> None:
    place.run(bash("claude json:1 --model m | cat; claude out:x exit:1"))
    given = [call["environment"].get("TRACEPARENT") for call in place.account("argv")]
    assert_known("others", "a shell script", signals_of(place.lines(), given))


def test_what_a_resumed_conversation_has_used_is_counted_once(place: Workplace) -> None:
    for number in (1, 2):
        records = [
            {"type": "thread.started", "thread_id": "t"},
            {"type": "turn.completed", "usage": {"input_tokens": 100 * number, "output_tokens": 10 * number}},
        ]
        (place.folder / f"{number}.json").write_text("".join(json.dumps(record) + "\n" for record in records))
    program(place.bin / "codex", "#!/bin/sh\ncat $1.json\n")
    place.run(bash("codex 1; codex 2"))
    assert [line["input_tokens"] for line in place.lines("usage.measured")] == [100, 100]


def test_an_agent_that_says_it_failed_has_failed(place: Workplace) -> None:
    record = {"type": "result", "subtype": "error_max_turns", "is_error": True, "session_id": "s"}
    program(place.bin / "claude", f"#!/bin/sh\necho '{json.dumps(record)}'\n")
    place.run(bash("claude -p"))
    [iteration] = place.lines("iteration.finished")
    assert (iteration["outcome"], iteration["error_type"], iteration["exit_code"]) == ("failure", "error_max_turns", 0)


def test_the_model_that_is_asked_for_is_noted_and_nothing_else_of_the_arguments(place: Workplace) -> None:
    place.run(bash("claude --model opus 'x:a secret prompt'; claude --model=sonnet; aider --model gpt"))
    assert [line.get("model") for line in place.lines("agent.started")] == ["opus", "sonnet", None]
    assert b"secret" not in place.journals()[0].read_bytes()


def test_agents_side_by_side_have_numbers_of_their_own(place: Workplace) -> None:
    script = "for i in $(seq 8); do claude touch:$i wait:go exit:$i & done; wait"
    process = place.start(bash(script))
    place.await_account("argv", 8)
    (place.folder / "go").touch()
    process.communicate(timeout=60)

    assert sorted(line["iteration"] for line in place.lines("iteration.started")) == list(range(1, 9))
    started = {line["span_id"]: line for line in place.lines("agent.started")}
    finished = place.lines("agent.finished")
    codes = {end["pid"]: end["exit"] for end in place.account("exit")}
    assert {line["pid"]: line["exit_code"] for line in finished} == codes
    assert all(started[line["span_id"]]["pid"] == line["pid"] for line in finished)
    assert len(place.lines("session.ended")) == 8


def test_many_short_agents_are_all_seen(place: Workplace) -> None:
    program(place.bin / "claude", "#!/bin/sh\necho x >> calls\n")
    place.run(bash("seq 100 | xargs -P 4 -n 1 claude"))
    assert len((place.folder / "calls").read_text().splitlines()) == 100
    assert sorted(line["iteration"] for line in place.lines("iteration.finished")) == list(range(1, 101))


@pytest.mark.skipif(shutil.which("parallel") is None, reason="there is no parallel")
def test_agents_that_parallel_starts_are_seen(place: Workplace) -> None:
    """Its two implementations have their arguments in other places."""
    program(place.bin / "claude", "#!/bin/sh\necho x >> calls\n")
    place.run(bash("parallel claude -- a b c; parallel claude ::: a b c"))
    calls = (place.folder / "calls").read_text().splitlines()
    assert len(place.lines("iteration.finished")) == len(calls) >= 3


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("claude; exit 0", "completed"),
        ("claude; exit 3", "error"),
        ("claude; exit 130", "user_signal"),
        ("claude; kill -INT $$", "user_signal"),
        ("claude; kill -TERM $$", "user_signal"),
        ("claude; kill -KILL $$", "crashed"),
        ("claude; kill -SEGV $$", "crashed"),
        ("claude exit:4", "error"),
    ],
)
def test_why_the_loop_stopped_is_how_the_command_ended(place: Workplace, script: str, reason: str) -> None:
    place.run(bash(script))
    assert place.lines()[-1]["type"] == "loop.stopped"
    assert place.lines()[-1]["reason"] == reason


def test_reasons() -> None:
    assert [reason_of(code) for code in (0, 1, 130, 143, -2, -15, -1, -9, -11, 137)] == [
        "completed",
        "error",
        *["user_signal"] * 5,
        "crashed",
        "crashed",
        "error",
    ]


def test_a_loop_is_called_as_its_script(tmp_path: Path) -> None:
    script = program(tmp_path / "fix-bugs.sh", "")
    assert name_of(["./ralph.sh"]) == "ralph.sh"
    assert name_of(["/opt/loops/ralph", "-n", "3"]) == "ralph"
    assert name_of(["bash", "-x", str(script), "arg"]) == "fix-bugs.sh"
    assert name_of(["/usr/bin/python3", "-u", str(script)]) == "fix-bugs.sh"
    assert name_of(["bash", "-c", str(script)]) == "bash"
    assert name_of(["bash"]) == "bash"
    assert name_of(["make", str(script)]) == "make"


def test_a_loop_is_called_what_its_user_says(place: Workplace) -> None:
    place.run(bash("claude", "--name", "fix-bugs"))
    assert place.lines("loop.started")[0]["name"] == "fix-bugs"


def test_a_timeout_is_a_timeout(place: Workplace) -> None:
    process = place.start(bash("timeout 500 claude wait:never; echo $?"))
    [agent] = place.await_account("argv")
    until(lambda: place.journals() and place.lines("agent.started"), what="for the journal")
    timeout = psutil.Process(agent["ppid"]).parent()
    assert timeout is not None
    assert timeout.name() == "timeout"
    timeout.send_signal(signal.SIGALRM)  # its time is up
    assert process.communicate(timeout=60)[0] == b"124\n"
    [iteration], [agent] = place.lines("iteration.finished"), place.lines("agent.finished")
    assert (iteration["outcome"], agent["outcome"], agent["exit_code"]) == ("timeout", "timeout", -signal.SIGTERM)


def test_further_commands_are_agents_if_their_user_says_so(place: Workplace) -> None:
    program(place.bin / "my-agent", "#!/bin/sh\necho x >> calls\n")
    place.run(bash("my-agent; my-agent; claude", "--agent", "my-agent", "--agent", "other"))
    assert [line["agent"] for line in place.lines("agent.finished")] == ["my-agent", "my-agent", "claude"]


@pytest.mark.parametrize("name", AGENTS)
def test_every_known_agent_is_seen_by_its_name(tmp_path: Path, name: str) -> None:
    place = Workplace(tmp_path / "agents", name)
    place.run(bash(f"{name} out:a; echo x | xargs {name}; {name} exit:3 | cat"))
    agents = place.lines("agent.finished")
    assert [(line["agent"], line["exit_code"]) for line in agents] == [(name, 0), (name, 0), (name, 3)]
    assert len(place.account("exit")) == 3


def test_an_agent_that_is_not_there_is_named(place: Workplace) -> None:
    done = place.run(bash("claude", "--agent", "other"))
    assert done.stderr == b"ralph-otel: --agent other: not seen, for there is no such command on PATH\n"


@pytest.mark.parametrize("name", ["./claude", "/usr/bin/claude", "", ".."])
def test_an_agent_is_named_by_its_command(place: Workplace, name: str) -> None:
    done = place.run(bash("claude", "--agent", name))
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr
    assert repr(name).encode() in done.stderr
    assert place.account("argv") == []


def test_a_command_that_is_an_agent_is_a_loop_of_one(place: Workplace) -> None:
    done = place.run(launched("claude", "out:a", "exit:3"))
    assert (done.stdout, done.returncode) == (b"a\n", 3)
    assert [line["exit_code"] for line in place.lines("iteration.finished")] == [3]
    assert place.lines("loop.started")[0]["name"] == "claude"


def test_a_script_without_an_agent_has_no_loop(place: Workplace) -> None:
    done = place.run(bash("echo a"))
    assert done.stdout == b"a\n"
    assert place.journals() == []
    [line] = done.stderr.splitlines()
    assert b"--agent" in line


@pytest.mark.parametrize("question", QUESTIONS)
def test_asking_an_agent_what_it_is_sets_none_to_work(place: Workplace, question: str) -> None:
    place.run(bash(f"claude {question}; claude out:a; claude {question}"))
    assert len(place.account("argv")) == 3
    assert len(place.lines("iteration.finished")) == 1
    assert ["TRACEPARENT" in call["environment"] for call in place.account("argv")] == [False, True, False]


def test_an_agent_that_cannot_be_executed_is_a_failed_iteration(place: Workplace) -> None:
    program(place.bin / "claude", "#!/nonexistent/interpreter\n")
    done = place.run(bash("claude; echo $?"))
    assert done.stdout == b"127\n"
    assert [(line["outcome"], line["exit_code"]) for line in place.lines("iteration.finished")] == [("failure", 127)]


def test_an_agent_without_a_first_line_is_run_by_the_shell(place: Workplace) -> None:
    program(place.bin / "claude", 'echo "$1"; exit 4\n')
    done = place.run(bash("claude 'a b'; echo $?"))
    assert done.stdout == b"a b\n4\n"
    assert [line["exit_code"] for line in place.lines("iteration.finished")] == [4]


def test_without_a_place_for_journals_the_script_runs_on(place: Workplace) -> None:
    place.home.write_text("a file where the folder should be")
    done = place.run(bash("claude out:a; claude out:b"))
    assert done.stdout == b"a\nb\n"
    assert len(done.stderr.splitlines()) == 1


def test_without_a_place_for_stand_ins_they_are_made_at_home(place: Workplace) -> None:
    """Where nothing can be written for temporary files, the journals' folder will do, if its path is not too long."""
    place.home = Path(tempfile.mkdtemp(prefix="ralph-home-", dir="/tmp"))
    code = (
        "import sys, tempfile\n"
        "make = tempfile.mkdtemp\n"
        "def refused(prefix=None, dir=None, **more):\n"
        f"    if str(dir) != {str(place.home)!r}: raise OSError(28, 'No space left on device')\n"
        "    return make(prefix=prefix, dir=dir, **more)\n"
        "tempfile.mkdtemp = refused\n"
        "from ralph_otel.launch.launch import main\n"
        "main(sys.argv[1:])\n"
    )
    done = place.run([sys.executable, "-c", code, "bash", "-c", "claude out:a; which claude"])
    assert done.stdout.startswith(b"a\n" + bytes(place.home))
    assert len(place.lines("iteration.finished")) == 1
    assert [path.name for path in place.home.iterdir()] == ["runs"]
    shutil.rmtree(place.home)


def test_nothing_is_left_behind(place: Workplace, tmp_path: Path) -> None:
    temporary = tmp_path / "t"
    temporary.mkdir()
    place.run(bash("claude"), {"TMPDIR": str(temporary)})
    assert list(temporary.iterdir()) == []
    assert len(place.journals()) == 1


def test_what_is_switched_off_is_not_there(place: Workplace) -> None:
    done = place.run(bash("which claude; claude out:a"), {"RALPH_OTEL_ENABLED": "false"})
    assert done.stdout.splitlines() == [str(place.bin / "claude").encode(), b"a"]
    assert "TRACEPARENT" not in place.account("argv")[0]["environment"]


def test_an_agent_below_an_agent_is_part_of_its_iteration(place: Workplace) -> None:
    place.run(bash("claude call:claude+out:nested call:aider"))
    assert [start["name"] for start in place.account("argv")] == ["claude", "claude", "aider"]
    assert len(place.lines("iteration.finished")) == 1


def test_agents_of_a_runner_that_speaks_for_itself_are_not_counted_twice(place: Workplace) -> None:
    (place.folder / "my").mkdir()
    (place.folder / "my" / "RALPH.md").write_text("---\nagent: claude -p\n---\nGo on.\n")
    ralph = Path(sys.executable).parent / "ralph"
    place.run(bash(f"claude; {ralph} run my -n 2; claude"))

    assert len(place.account("argv")) == 4
    by_runner = {lines_of(path)[0]["runner"]: lines_of(path) for path in place.journals()}
    assert set(by_runner) == {"shell", "ralphify"}
    for runner, lines in by_runner.items():
        assert [line["iteration"] for line in lines if line["type"] == "iteration.finished"] == [1, 2], runner
    spans = [line["span_id"] for lines in by_runner.values() for line in lines if line["type"] == "agent.started"]
    given = [start["environment"] for start in place.account("argv")]
    assert sorted(each["TRACEPARENT"].split("-")[2] for each in given) == sorted(spans)
    assert not any("ralph-otel" in each["PATH"].replace(str(place.folder), "") for each in given)


def test_an_agent_that_a_runner_has_given_a_place_is_left_alone(place: Workplace) -> None:
    """Its runner has found it before the launch was taken out of the environment, say."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    script = f'claude; path=$(which claude); unset RALPH_OTEL_LAUNCH; TRACEPARENT={trace} "$path" out:x'
    done = place.run(bash(script))
    assert done.stdout == b"x\n"
    assert len(place.lines("iteration.finished")) == 1
    assert place.account("argv")[1]["environment"]["TRACEPARENT"] == trace


def test_a_launch_in_a_launch_counts_once(place: Workplace) -> None:
    inner = " ".join([sys.executable, "-m", "ralph_otel.cli.run", "--", "claude", "out:a"])
    done = place.run(bash(f"{inner}"))
    assert done.stdout == b"a\n"
    assert len(place.account("argv")) == 1
    [journal] = place.journals()
    assert len([line for line in lines_of(journal) if line["type"] == "iteration.finished"]) == 1


def test_the_agent_sees_what_it_would_have_seen(place: Workplace, bare: Workplace) -> None:
    script = "exec 5< /dev/null; X=1 claude a 'b c' '' 'ä'; cd bin; PATH=$PATH: claude </dev/null 2>&1"
    changes = {"PYTHONPATH": "/somewhere", "LC_ALL": "", "LANG": ""}
    bare.run(["bash", "-c", script], changes)
    place.run(launched("bash", "-c", script), changes)

    for found, expected in zip(place.account("argv"), bare.account("argv"), strict=True):
        for line, folder in ((found, place.folder), (expected, bare.folder)):
            for volatile in ("pid", "ppid", "pgrp", "at"):
                del line[volatile]
            line["environment"].pop("TMPDIR", None)  # each workplace has its own
            text = json.dumps(line).replace(str(folder), "")
            line.clear()
            line.update(json.loads(text))
        assert found["environment"].pop("TRACEPARENT")
        assert found == expected


def test_the_locale_stays_as_it_is(place: Workplace) -> None:
    """Python sets LC_CTYPE for itself and its children where it finds none."""
    program(place.bin / "claude", "#!/bin/sh\nenv | grep LC_CTYPE\n")
    unset = ["env", "-u", "LANG", "-u", "LC_ALL", "-u", "LC_CTYPE"]
    assert place.run([*unset, *bash("env | grep LC_CTYPE; claude; true")]).stdout == b""
    wanted = [*unset, "LC_CTYPE=C.UTF-8"]
    assert place.run([*wanted, *bash("claude")]).stdout == b"LC_CTYPE=C.UTF-8\n"


def test_an_environment_that_goes_away_costs_the_script_nothing(place: Workplace) -> None:
    """An agent may remove the environment that ralph-otel is installed in."""
    copy = place.folder / "installed"
    shutil.copytree(Path(ralph_otel.__file__).parent, copy / "ralph_otel")
    code = (
        f"import sys; sys.path.insert(0, {str(copy)!r}); from ralph_otel.launch.launch import main; main(sys.argv[1:])"
    )
    done = place.run([sys.executable, "-c", code, "bash", "-c", "rm -r installed; claude out:a; claude out:b"])
    assert (done.stdout, done.returncode) == (b"a\nb\n", 0)
    assert b"Traceback" not in done.stderr
