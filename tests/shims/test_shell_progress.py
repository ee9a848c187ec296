"""What iterations change in the work tree is measured beside the loop, for runners that do not say it themselves."""

from __future__ import annotations

import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from scripts import Process, Workplace, launched, program

from ralph_otel.events import Line
from ralph_otel.runs import fold
from support.tape import lines_of
from support.waiting import until

SILENT_RUNNER = """
import os, subprocess
from ralph_otel.runners.launched import take_launch
loop = take_launch(os.environ).loop("looped", runner="some-runner")
with loop:
    for number in (1, 2):
        with loop.session(), loop.iteration() as it:
            subprocess.run(["claude", *os.environ["WORK"].split()], env=it.environment())
            PROGRESS
"""


def git(folder: Path, *arguments: str) -> None:
    settings = ["-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *settings, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(place: Workplace) -> Workplace:
    """A workplace in a git repository with a file `f`; what the tests themselves need there is ignored."""
    (place.folder / ".gitignore").write_text("/bin\n/home\n/account.jsonl\n/go*\n/.gitignore\n")
    (place.folder / "f").write_text("1\n2\n3\n")
    git(place.folder, "init", "--quiet")
    git(place.folder, "add", "--all")
    git(place.folder, "commit", "--quiet", "--message", "first")
    return place


def measured(place: Workplace) -> list[Line]:
    return [line for path in place.journals() for line in lines_of(path) if line["type"] == "progress.measured"]


def have_been_measured(place: Workplace, count: int) -> bool:
    return bool(place.journals()) and len(measured(place)) == count


def figures(line: Line) -> tuple[int, int, int, int]:
    return line["files_changed"], line["lines_added"], line["lines_removed"], line["commits"]


def one_by_one(place: Workplace, work: list[str], between: str = ":") -> Process:
    """Run agents one after another; each ends when the one before has been measured, and so has this one's start."""
    agents = [f"claude wait:go{number}a {words} wait:go{number}b" for number, words in enumerate(work)]
    process = place.start(launched("bash", "-c", f"; {between}; ".join(agents)))
    for number in range(len(work)):
        until(partial(have_been_measured, place, number))
        (place.folder / f"go{number}a").touch()
        place.await_account("argv", number + 1)
        (place.folder / f"go{number}b").touch()
    process.communicate(timeout=60)
    return process


def test_what_every_iteration_changes_is_measured(repository: Workplace) -> None:
    commit = "call:git+-c+user.name=A+-c+user.email=a@b+commit+-qam+x"
    work = ["", "edit:f", "edit:new edit:f", "call:rm+new", f"edit:f {commit}", ""]
    one_by_one(repository, work)

    lines = measured(repository)
    assert [figures(line) for line in lines] == [
        (0, 0, 0, 0),
        (1, 1, 0, 0),
        (2, 2, 0, 0),
        (1, 0, 1, 0),
        (1, 1, 0, 1),
        (0, 0, 0, 0),
    ]
    iterations = repository.lines("iteration.started")
    assert [(line["span_id"], line["trace_id"]) for line in lines] == [
        (line["span_id"], line["trace_id"]) for line in iterations
    ]
    assert [line["score"] > 0 for line in lines] == [False, True, True, True, True, False]


def test_a_loop_that_changes_nothing_makes_no_progress(repository: Workplace) -> None:
    one_by_one(repository, ["edit:f", "", "", ""])
    metrics = fold(repository.journals()[0]).run.metrics()
    assert metrics.progress.no_progress_streak == 3
    assert metrics.progress.iterations_with_progress == 1


def test_very_short_iterations_are_measured_together(repository: Workplace) -> None:
    program(repository.bin / "claude", '#!/bin/sh\n[ "$1" != edit ] || echo x >> f\n')
    repository.run(launched("bash", "-c", "for i in edit edit edit no no no no no; do claude $i; done"))

    numbers = {line["span_id"]: line["iteration"] for line in repository.lines("iteration.started")}
    made = {numbers[line["span_id"]]: line["score"] > 0 for line in measured(repository)}
    assert made[3] is True
    assert {number: made[number] for number in (4, 5, 6, 7, 8)} == dict.fromkeys((4, 5, 6, 7, 8), False)
    assert False not in [made.get(number) for number in (1, 2)]


def test_a_single_short_iteration_is_measured(repository: Workplace) -> None:
    repository.run(launched("bash", "-c", "claude edit:f"))
    [line] = measured(repository)
    assert line["files_changed"] == 1
    assert repository.lines()[-1]["type"] == "loop.stopped"  # the measurement came before


def test_each_commit_of_quick_agents_counts(repository: Workplace) -> None:
    identity = {f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    work = "echo x >> f; echo $1 > made$1; git add --all; git commit --quiet --message $1"
    program(repository.bin / "claude", f"#!/bin/sh\n{work}\n")
    (repository.folder / "before").write_text("is recorded, and so makes an object\n")
    wait = "while [ ! -e go ]; do sleep 0.02; done"
    process = repository.start(
        launched("bash", "-c", f"{wait}; for i in 1 2 3; do claude $i; done; {wait.replace('go', 'go2')}"), identity
    )
    folders = Path(repository.environment()["TMPDIR"])
    until(lambda: any(folders.glob("ralph-otel-git-*/objects/??")), what="for the state before")
    (repository.folder / "go").touch()
    until(lambda: sum(line["commits"] for line in measured(repository)) == 3)
    (repository.folder / "go2").touch()
    process.communicate(timeout=30)


def test_what_was_changed_before_the_launch_is_nobodys_work(repository: Workplace) -> None:
    (repository.folder / "f").write_text("changed\n")
    until(lambda: time.time_ns() - (repository.folder / "f").stat().st_ctime_ns > 20_000_000)
    repository.run(launched("bash", "-c", "claude"))
    assert [figures(line) for line in measured(repository)] == [(0, 0, 0, 0)]


def test_what_the_script_changes_between_two_iterations_is_nobodys_work(repository: Workplace) -> None:
    wait = "while [ ! -e go{} ]; do sleep 0.02; done; echo x >> notes"
    process = repository.start(launched("bash", "-c", f"claude; {wait.format(1)}; claude; {wait.format(2)}; claude"))
    for number in (1, 2):
        until(partial(have_been_measured, repository, number))
        (repository.folder / f"go{number}").touch()
    process.communicate(timeout=60)
    assert [figures(line) for line in measured(repository)] == [(0, 0, 0, 0)] * 3


@pytest.mark.parametrize(
    "script",
    [
        "exec >> loop.log; claude out:a; claude out:b wait:go; claude out:c",
        "claude out:a >> loop.log; claude out:b >> loop.log; claude out:c >> loop.log",
        "aider out:a >> loop.log; aider err:b 2>> loop.log; aider out:c >> loop.log 2>&1",
        "(claude out:a; claude out:b wait:go; claude out:c) | tee -a loop.log",
    ],
)
def test_logs_that_the_script_holds_open_do_not_count(repository: Workplace, script: str) -> None:
    process = repository.start(launched("bash", "-c", script))
    if "wait:go" in script:
        until(partial(have_been_measured, repository, 1))  # so that the script is looked at while it runs
    (repository.folder / "go").touch()
    process.communicate(timeout=60)
    assert (repository.folder / "loop.log").read_text() == "a\nb\nc\n"
    assert {figures(line) for line in measured(repository)} == {(0, 0, 0, 0)}


def test_the_state_of_runners_does_not_count(repository: Workplace) -> None:
    (repository.folder / ".ralph").mkdir()
    one_by_one(repository, ["edit:.ralph/state.json", "edit:.ralph/log"])
    assert [figures(line) for line in measured(repository)] == [(0, 0, 0, 0)] * 2


def test_a_script_may_work_in_another_folder_than_it_was_started_in(place: Workplace) -> None:
    work = place.folder / "elsewhere"
    work.mkdir()
    (work / "f").write_text("1\n")
    git(work, "init", "--quiet")
    git(work, "add", "--all")
    git(work, "commit", "--quiet", "--message", "first")
    process = place.start(launched("bash", "-c", "cd elsewhere; claude wait:go0; claude wait:go1 edit:f"))
    place.await_account("argv")
    (place.folder / "go0").touch()
    until(partial(have_been_measured, place, 1))
    (place.folder / "go1").touch()
    process.communicate(timeout=60)
    assert [figures(line)[0] for line in measured(place)] == [0, 1]


def test_outside_of_git_progress_is_unknown(place: Workplace) -> None:
    done = place.run(launched("bash", "-c", "claude edit:f"))
    assert (measured(place), done.stderr) == ([], b"")


def test_nothing_is_measured_if_that_is_not_wanted(repository: Workplace) -> None:
    repository.run(launched("bash", "-c", "claude edit:f", options=("--no-progress",)))
    assert measured(repository) == []


def runner(place: Workplace, progress: str, work: str) -> None:
    code = SILENT_RUNNER.replace("PROGRESS", progress)
    place.run(launched(sys.executable, "-c", code), {"WORK": work})


def test_a_runner_that_says_nothing_of_progress_is_measured(repository: Workplace) -> None:
    runner(repository, "pass", "edit:f")
    lines = measured(repository)
    assert lines[-1]["score"] > 0
    assert {line["span_id"] for line in lines} <= {line["span_id"] for line in repository.lines("iteration.started")}


def test_a_runner_that_says_it_itself_is_left_to_do_so(repository: Workplace) -> None:
    runner(repository, "it.progress(0.3, files_changed=7)", "edit:f")
    assert [line["files_changed"] for line in measured(repository)] == [7, 7]


def test_a_git_that_hangs_holds_up_nobody(repository: Workplace) -> None:
    program(repository.bin / "git", "#!/bin/sh\nexec sleep 600\n")
    done = repository.run(launched("bash", "-c", "claude out:a edit:f", patient=False))
    assert (done.stdout, done.stderr, measured(repository)) == (b"a\n", b"", [])
    assert [line["outcome"] for line in repository.lines("iteration.finished")] == ["success"]


def test_a_tree_that_cannot_be_recorded_is_said_once(repository: Workplace) -> None:
    program(repository.bin / "git", '#!/bin/sh\ncase "$*" in *toplevel*) pwd;; *) echo fatal: no >&2; exit 1;; esac\n')
    process = repository.start(launched("bash", "-c", "claude wait:go; claude"))
    repository.await_account("argv")
    assert process.stderr is not None
    line = process.stderr.readline()
    (repository.folder / "go").touch()
    process.communicate(timeout=60)
    assert line.startswith(b"ralph-otel: progress is not measured: ")
    assert len(repository.lines("iteration.finished")) == 2


def test_nothing_is_left_for_temporary_files(repository: Workplace, tmp_path: Path) -> None:
    temporary = tmp_path / "t"
    temporary.mkdir()
    repository.run(launched("bash", "-c", "claude edit:f; claude edit:f"), {"TMPDIR": str(temporary)})
    assert measured(repository)
    assert list(temporary.iterdir()) == []


def test_the_repository_is_only_read(repository: Workplace) -> None:
    def state() -> list[tuple[str, bytes]]:
        files = [path for path in (repository.folder / ".git").rglob("*") if path.is_file()]
        return sorted((str(path), path.read_bytes()) for path in files)

    before = state()
    repository.run(launched("bash", "-c", "claude edit:f; claude edit:new"))
    assert measured(repository)
    assert state() == before
