"""A report in words, tables and charts: said once here, and written by the writers of each format.

What a journal says, a name of whatever sort, is a `Name`; all other texts are our own. A writer shows a `Name` as it
is, whatever is in it.
"""

from __future__ import annotations

from dataclasses import dataclass

from ralph_otel.loop.result import GOOD, RUNNER, STOPPED_BECAUSE
from ralph_otel.views.report import wording
from ralph_otel.views.report.charts import Chart, charts
from ralph_otel.views.report.content import Report, Status
from ralph_otel.views.report.tables import Name, Table, tables


@dataclass(frozen=True)
class Document:
    """A report, ready to be written.

    Args:
        title: the loop's name, or the run's id.
        good: whether the run ended well; None: it has not ended.
        status: where it stands, and why it stopped.
        summary: what happened, a sentence each.
        warnings: what is not to be relied on, a sentence each.
        problems: what was wrong with lines of the journal, a text each.
        about: what, when and where: a title and a text each.
        facts: the main figures, likewise.
    """

    title: Name
    good: bool | None
    status: str
    summary: list[str]
    warnings: list[str]
    problems: list[Name]
    about: list[tuple[str, str]]
    facts: list[tuple[str, str]]
    charts: list[Chart]
    tables: list[Table]


def document(report: Report, iterations: bool = True) -> Document:
    """Put a report into words; the table of all iterations may be left out."""
    return Document(
        Name(report.state.name or report.run),
        _good(report),
        _status(report),
        _summary(report),
        _warnings(report),
        [Name(problem) for problem in report.folded.bad],
        _about(report),
        _facts(report),
        charts(report.history),
        tables(report, iterations),
    )


_ELSEWHERE = {
    **STOPPED_BECAUSE,
    "completed": "its work is done, as its runner says",
    "error": "it failed",
    "crashed": "its process is gone",
}
"""What a stop reason means in a run that was not ours to stop."""


# -- words -------------------------------------------------------------------------------------------------------------


def _good(report: Report) -> bool | None:
    if report.status in (Status.STOPPED, Status.KILLED):
        return report.state.stop_reason in GOOD
    return None


def _status(report: Report) -> str:
    if report.status is Status.STOPPED:
        reason = report.state.stop_reason or ""
        because = STOPPED_BECAUSE if report.state.runner == RUNNER else _ELSEWHERE
        return f"Stopped, {reason.replace('_', ' ')}: {because.get(reason, '')}."
    return {
        Status.RUNNING: "Still running.",
        Status.KILLED: "Killed: its process is gone, and nobody has written its end.",
        Status.OPEN: "Without an end: it still runs, or it was killed.",
    }.get(report.status, "Empty: the journal has no usable line.")


def _summary(report: Report) -> list[str]:
    metrics, first = report.metrics, report.history.first_tests
    if not report.folded.lines:
        return []
    said = [
        f"{wording.number_of(metrics.total_iterations, 'iteration')} in "
        f"{wording.duration(metrics.total_execution_time)}, {metrics.successful_iterations:,} of them successful."
    ]
    if report.history.rows and (last := report.history.rows[-1]).outcome is None:
        still = "is running" if report.status is Status.RUNNING else "did not finish"
        said.append(f"Iteration {last.number:,} {still}.")
    if first is not None:
        end = metrics.tests
        said.append(
            f"Tests: at first {first.passed:,} of {first.total:,} passed, "
            f"at the end {end.passing_tests:,} of {end.total_tests:,}."
        )
    if report.history.cost:
        said.append(f"It cost {wording.money(report.history.cost)}{_estimated(report)}.")
    if metrics.total_reboots:
        said.append(f"The context was thrown away {wording.number_of(metrics.total_reboots, 'time')}.")
    return said


def _estimated(report: Report) -> str:
    estimated = sum(usage.estimated for usage in report.history.models.values())
    return f", {wording.money(estimated)} of it estimated" if estimated else ""


def _warnings(report: Report) -> list[str]:
    said = []
    if report.history.forgotten:
        said.append(
            f"The first {report.history.forgotten:,} iterations are in the totals only, not in charts and tables."
        )
    if bad := report.folded.bad_lines:
        said.append(f"{wording.number_of(bad, 'line')} of the journal could not be used and {_is(bad)} left out.")
    if report.folded.torn:
        said.append("The journal's last line has no end and is left out.")
    if (others := len(report.folded.states.by_run) - 1) > 0:
        said.append(f"The journal holds {wording.number_of(others, 'other run')}; this report is of the last one.")
    return said


def _is(number: int) -> str:
    return "is" if number == 1 else "are"


def _about(report: Report) -> list[tuple[str, str]]:
    state = report.state
    runner = " ".join(filter(None, (state.runner, state.runner_version)))
    about = (
        ("Run", Name(report.run)),
        ("Runner", Name(runner)),
        ("Started", wording.moment(state.started)),
        ("Stopped", wording.moment(state.stopped)),
        ("Last event", wording.moment(state.last or None) if state.stopped is None else ""),
    )
    return [(title, text) for title, text in about if text]


def _facts(report: Report) -> list[tuple[str, str]]:
    metrics, most = report.metrics, report.state.max_iterations
    iterations, tests, progress = metrics.total_iterations, metrics.tests, metrics.progress
    facts = (
        ("Iterations", f"{iterations:,}" + (f" of {most:,}" if most else "")),
        ("Succeeded", wording.percent(metrics.successful_iterations / iterations) if iterations else ""),
        ("Time", wording.duration(metrics.total_execution_time)),
        ("Time per iteration", wording.duration(metrics.avg_iteration_duration) if iterations else ""),
        ("Tests that pass", f"{tests.passing_tests:,} of {tests.total_tests:,}" if tests.total_tests else ""),
        ("Flaky tests", f"{tests.flaky_tests:,}" if tests.flaky_tests else ""),
        ("Cost", wording.money(report.history.cost) if report.history.cost else ""),
        ("Tokens", f"{report.tokens:,}" if report.tokens else ""),
        ("Sessions", f"{metrics.session.sessions_created:,}" if metrics.session.sessions_created else ""),
        ("Reboots", f"{metrics.total_reboots:,}" if metrics.total_reboots else ""),
        ("Context at reboot", wording.percent(metrics.session.avg_context_at_reboot / 100)
         if report.state.reboot_context_count else ""),
        ("Iterations with progress", wording.percent(progress.progress_rate)
         if progress.iterations_with_progress or progress.no_progress_streak else ""),
        ("Files changed", f"{progress.files_changed:,}" if progress.files_changed else ""),
        ("Lines changed", _lines(report)),
        ("Commits", f"{report.history.commits:,}" if report.history.commits else ""),
    )  # fmt: skip
    return [(title, text) for title, text in facts if text] if report.folded.lines else []


def _lines(report: Report) -> str:
    added, removed = report.history.lines_added, report.history.lines_removed
    return f"+{added:,} −{removed:,}" if added or removed else ""
