"""One iteration: the agent runs, then its work is looked at — what changed, the tests, the goal, the progress."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

from ralph_otel.events import TestsFinished
from ralph_otel.loop import verify
from ralph_otel.loop.agent_process import AgentRunner
from ralph_otel.loop.conditions import IterationReport
from ralph_otel.loop.display import Display
from ralph_otel.loop.interrupts import Interrupts, Timer
from ralph_otel.loop.options import LoopOptions
from ralph_otel.loop.passthrough import Passthrough
from ralph_otel.loop.prompt import Prompt
from ralph_otel.probe import Iteration, Session
from ralph_otel.progress.score import made_progress, score
from ralph_otel.progress.worktree import Changes, Snapshot, WorkTree


class IterationRunner:
    """Runs the iterations of a loop, in the working directory.

    Args:
        options: what to run.
        prompt: what the agent is told.
        not_work: files and folders that are not the agent's work.
        tick: called now and then while something runs.
    """

    def __init__(
        self,
        options: LoopOptions,
        prompt: Prompt,
        not_work: Sequence[Path],
        display: Display,
        interrupts: Interrupts,
        timer: Timer,
        tick: Callable[[], None],
    ) -> None:
        self._options = options
        self._prompt = prompt
        self._display = display
        self._interrupts = interrupts
        self._timer = timer
        self._tick = tick
        self._shell = verify.Shell(interrupts, options.grace, display.say, tick)
        self._agent = AgentRunner(
            options.command,
            options.agent,
            {"until_output": options.until_output, "reboot_output": options.reboot_output},
            self._passed_on(sys.__stdout__, "the agent's output"),
        )
        self._show_tests = self._passed_on(sys.__stderr__, "the tests' output") if options.verbose else None
        self._tree = WorkTree.find(Path(), exclude=not_work)
        self._tests: TestsFinished | None = None

    @property
    def agent_name(self) -> str:
        """The agent's name."""
        return self._agent.name

    def run(self, session: Session, resume: bool) -> IterationReport:
        """Run the next iteration.

        Args:
            resume: whether the agent is to go on with its session.
        """
        began = self._timer.elapsed
        with session.iteration() as iteration:
            report = IterationReport(iteration.number)
            self._display.iteration_started(report.number)
            before = self._snapshot()
            self._run_agent(iteration, report, resume)
            if report.agent.cannot_start is None:
                report.changes = self._changes(before, self._snapshot())
                if report.outcome != "cancelled" and not self._timer.is_over:
                    self._verify(iteration, report)
                self._measure_progress(iteration, report)
        report.duration = self._timer.elapsed - began
        return report

    def _passed_on(self, stream: TextIO | None, what: str) -> Callable[[bytes], None]:
        target = Passthrough(stream, what, self._display.say)

        def write(data: bytes) -> None:
            with self._display.passing(data):
                target.write(data)

        return write

    def _run_agent(self, iteration: Iteration, report: IterationReport, resume: bool) -> None:
        report.agent = self._agent.run(
            iteration,
            self._prompt.read(),
            self._options.resume_args if resume else (),
            self._interrupts,
            self._options.grace,
            self._timer.deadline(self._options.timeout),
            self._tick,
        )

    def _verify(self, iteration: Iteration, report: IterationReport) -> None:
        """Run the tests and the goal's command, and look for the file."""
        options = self._options
        if options.test is not None:
            self._run_tests(iteration, report, options.test)
        if options.until_command is not None and not report.cancelled:
            verdict = self._shell.run(
                options.until_command, iteration.environment(), lambda data: None, self._check_deadline()
            )
            report.goal_reached = verdict.ending == "exit" and verdict.exit_code == 0
            report.cancelled = verdict.ending == "cancelled"
        report.file_found = options.until_file is not None and options.until_file.exists()
        if report.cancelled:
            iteration.fail("cancelled")

    def _run_tests(self, iteration: Iteration, report: IterationReport, command: str) -> None:
        verdict, report.tests = verify.run_tests(
            self._shell, command, iteration.environment(), self._check_deadline(), self._options.junit, self._show_tests
        )
        if report.tests is not None:
            iteration.emit(report.tests)
        if verdict.ending == "cancelled":
            report.cancelled = True
        elif verdict.ending != "exit":
            iteration.error(f"test_{verdict.ending}")

    def _check_deadline(self) -> float | None:
        return self._timer.deadline(self._options.test_timeout)

    def _measure_progress(self, iteration: Iteration, report: IterationReport) -> None:
        """Score the iteration; not where there is nothing to measure it by."""
        before, self._tests = self._tests, report.tests or self._tests
        changes = report.changes
        if changes is None and (before is None or report.tests is None):
            return
        scored = score(changes, before, report.tests)
        report.made_progress = made_progress(scored)
        if changes is None:
            iteration.progress(scored, report.made_progress)
        else:
            iteration.progress(
                scored,
                report.made_progress,
                changes.files_changed,
                changes.lines_added,
                changes.lines_removed,
                changes.commits,
            )

    def _snapshot(self) -> Snapshot | None:
        if self._tree is None:
            return None
        snapshot = self._tree.snapshot()
        self._say_problem(self._tree)
        return snapshot

    def _changes(self, before: Snapshot | None, after: Snapshot | None) -> Changes | None:
        if self._tree is None or before is None or after is None:
            return None
        changes = self._tree.changes(before, after)
        self._say_problem(self._tree)
        return changes

    def _say_problem(self, tree: WorkTree) -> None:
        if tree.problem is not None:
            self._display.say_once(f"what the agent changes is unknown: {tree.problem}")
