"""The loop: an agent again and again, until there is a reason to stop.

    result = run_loop(LoopOptions(command=["claude", "-p"], max_iterations=10, test="pytest -q"))

A runner like any other: it tells its collector what happens by the same handles that every runner has. Without
`resume_args`, each iteration has a fresh context, and so a session of its own. With them, the agent goes on with its
session until there is a reason for a reboot. A context that is full is a reboot in either case, if the loop goes on.
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

from ralph_otel.config import MetricsConfig
from ralph_otel.journal import runs_folder
from ralph_otel.loop.agent_process import HINTS
from ralph_otel.loop.conditions import IterationReport, SessionStanding, Standing, reboot_reason, stop_reason
from ralph_otel.loop.display import Display
from ralph_otel.loop.interrupts import Interrupts, Timer
from ralph_otel.loop.iteration import IterationRunner
from ralph_otel.loop.options import LoopOptions
from ralph_otel.loop.plugins import Collector, load_collector
from ralph_otel.loop.prompt import Prompt
from ralph_otel.loop.result import RUNNER, LoopResult
from ralph_otel.probe import Loop, Session
from ralph_otel.version import __version__

TICK = 0.2
"""Seconds between two looks at the time while the loop rests."""


def run_loop(
    options: LoopOptions,
    collector: Collector | None = None,
    *,
    display: Display | None = None,
    interrupts: Interrupts | None = None,
) -> LoopResult:
    """Run a loop in the working directory, until there is a reason to stop.

    Args:
        options: what to run, and until when.
        collector: gets the telemetry, and stays open; by default, that of the installed plugins.
        display: what the user is shown; by default a line for every iteration on standard error.
        interrupts: what can stop it, open already; another thread can, with its `ask`. By default the process's
            signals, where this is the main thread.

    Raises:
        OptionError: the prompt cannot be read.
    """
    display = display or Display(options.max_iterations)
    prompt = Prompt(options.prompt, display.say)
    collector = collector if collector is not None else load_collector(display.say)
    with nullcontext(interrupts) if interrupts is not None else Interrupts() as opened, display:
        result = _Runner(options, collector, prompt, display, opened).run()
    display.finished(result, _journal_of(collector, result.run_id), getattr(collector, "prometheus_url", None))
    return result


class _Runner:
    """One run of a loop."""

    def __init__(
        self, options: LoopOptions, collector: Collector, prompt: Prompt, display: Display, interrupts: Interrupts
    ) -> None:
        self._options = options
        self._collector = collector
        self._display = display
        self._interrupts = interrupts
        self._timer = Timer(interrupts, options.max_duration)
        not_work = [path for path in (_home_of(collector), options.junit) if path is not None]
        self._iterations = IterationRunner(options, prompt, not_work, display, interrupts, self._timer, self._tick)
        self._standing = Standing()
        self._session = SessionStanding()

    def run(self) -> LoopResult:
        """Run it to its end."""
        loop = self._collector.loop(
            self._options.name or Path.cwd().name or "loop",
            max_iterations=self._options.max_iterations,
            runner=RUNNER,
            runner_version=__version__,
        )

        def pause(begins: bool) -> None:
            if begins:
                self._display.pause()
                loop.pause()
            else:
                loop.resume()

        self._display.note(f"loop {loop.name}, run {loop.run_id}; ctrl-C stops it")
        with self._interrupts.watched_by(pause), loop:
            reason = self._iterate(loop)
            loop.stop(reason)
        return self._result(loop.run_id, reason)

    def _iterate(self, loop: Loop) -> str:
        """Run iterations until there is a reason to stop; that reason. Ends every session that it begins."""
        session = self._begin_session(loop)
        while True:
            self._take(self._iterations.run(session, resume=self._session.iterations > 0))
            if reason := self._stop_reason():
                session.finish()
                return reason
            reboot = reboot_reason(self._options, self._session)
            if reboot is not None:
                loop.reboot(reboot, self._session.context_percent)
                self._standing.reboots += 1
            if reboot is not None or not self._options.resume_args:
                session.finish()
            if reason := self._rest():
                session.finish()
                return reason
            if not session.open:
                session = self._begin_session(loop)

    def _begin_session(self, loop: Loop) -> Session:
        self._session = SessionStanding(began=self._timer.elapsed)
        self._standing.sessions += 1
        return loop.session().start()

    def _take(self, report: IterationReport) -> None:
        """Take into account what an iteration brought, and show it."""
        self._standing.add(report)
        self._session.add(report, self._timer.elapsed)
        self._display.iteration_finished(report, self._standing.cost)
        if report.agent.cannot_start is not None:
            self._display.say(report.agent.cannot_start.message)
        elif report.outcome == "success" and not report.agent.told:
            self._hint(self._iterations.agent_name)

    def _hint(self, agent: str) -> None:
        """The agent tells nothing of itself: say how it could, or what cannot work."""
        if agent in HINTS:
            self._display.say_once(f"{agent} tells neither cost nor context; add {HINTS[agent]} to its command")
        elif self._options.max_cost is not None:
            self._display.say_once(f"--max-cost cannot hold: {agent} tells no cost; use --max-duration or -n instead")

    def _stop_reason(self) -> str | None:
        self._interrupts.wait(0)
        self._standing.signal = self._interrupts.signal
        self._standing.elapsed = self._timer.elapsed
        return stop_reason(self._options, self._standing)

    def _rest(self) -> str | None:
        """Wait between two iterations; a reason to stop that comes up meanwhile."""
        end = self._timer.elapsed + self._options.delay
        while (left := end - self._timer.elapsed) > 0:
            self._interrupts.wait(min(left, TICK))
            self._tick()
            if reason := self._stop_reason():
                return reason
        return None

    def _tick(self) -> None:
        self._display.tick()
        url = getattr(self._collector, "prometheus_url", None)
        if url is not None:
            self._display.note_once(f"metrics at {url}")

    def _result(self, run_id: str, reason: str) -> LoopResult:
        standing = self._standing
        return LoopResult(
            reason=reason,
            run_id=run_id,
            iterations=standing.last.number,
            outcomes=dict(standing.outcomes),
            duration=self._timer.elapsed,
            sessions=standing.sessions,
            reboots=standing.reboots,
            files_changed=standing.files_changed,
            tokens=standing.tokens,
            cost=standing.cost,
            tests=standing.tests,
            signal=standing.signal,
            cannot_start=standing.cannot_start.exit_code if standing.cannot_start is not None else None,
        )


def _home_of(collector: Collector) -> Path | None:
    """The folder that a collector keeps its journals in."""
    config = getattr(collector, "config", None)
    return config.home if isinstance(config, MetricsConfig) and config.enabled and config.journal else None


def _journal_of(collector: Collector, run_id: str) -> Path | None:
    """A run's file, if there is one."""
    home = _home_of(collector)
    path = runs_folder(home) / f"{run_id}.jsonl" if home is not None else None
    return path if path is not None and path.exists() else None
