"""One run in detail: a line for each thing that its owner asks about."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rich.text import Text

from ralph_otel.views.history import REDLINE
from ralph_otel.views.records import Iteration
from ralph_otel.views.rows import Row
from ralph_otel.views.top.marks import OUTCOME_MARKS, amount, dollars, gauge, joined, plain, span, strip, trend
from ralph_otel.views.top.table import STATE_STYLES, context_style, lateness_style
from ralph_otel.wording import size

_LABEL = 11
_GAUGE = 20
_MOST_OPEN = 4


def detail(row: Row, width: int, budget: float | None = None) -> list[Text]:
    """A run in detail, line by line, for a terminal of so many cells.

    Args:
        row: the run.
        width: the longest line; longer ones are cut.
        budget: US dollars that a loop may cost.
    """
    lines = [_title(row)]
    for label, say in _LINES.items():
        said = say(row, width - _LABEL, budget)
        if said.plain:
            lines.append(Text.assemble((f"{label:<{_LABEL}}", "bold"), said))
    lines += _iterations(row)
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return lines


def _title(row: Row) -> Text:
    state = row.run.state
    return joined(
        (
            plain(row.name or "?", style="bold"),
            plain(" ".join(filter(None, (state.runner, state.runner_version)))),
            plain(row.run.key, style="dim"),
            joined((plain(row.state, style=STATE_STYLES.get(row.state, "")), _ended(row)), " "),
        )
    )


def _ended(row: Row) -> str:
    paused, ran = row.run.state.paused_at, row.metrics.total_execution_time
    if row.going:
        return f"for {span(ran)}" if paused is None else f"for {_since(row, paused)}, ran {span(ran)}"
    ago = max(0, row.now - row.run.state.last) / 1e9
    return f"after {span(row.metrics.total_execution_time)}, {span(ago)} ago"


def _iteration(row: Row, width: int, budget: float | None) -> Text:
    limit = row.run.state.max_iterations
    number = row.iteration if row.iteration is not None else row.metrics.total_iterations
    usual = f"usual {span(row.p50)}, p90 {span(row.p90)}" if row.p50 is not None and row.p90 is not None else ""
    parts: list[Text | str] = [f"{number} of {limit}" if limit else str(number)]
    if row.age is not None:
        style = lateness_style(row)
        late = f" late, {row.lateness:.1f} × p90" if style else ""
        parts.append(Text(f"age {span(row.age)}{late}", style))
    return joined((*parts, usual))


def _outcomes(row: Row, width: int, budget: float | None) -> Text:
    return strip(row.outcomes[-min(width, 60) :])


def _success(row: Row, width: int, budget: float | None) -> Text:
    if row.success_ratio is None:
        return Text()
    counts = row.run.history.outcomes
    failed = (
        Text.assemble(OUTCOME_MARKS[outcome], f" {counts[outcome]} {outcome}")
        for outcome in ("failure", "timeout", "cancelled")
        if counts[outcome]
    )
    done = f"{row.success_ratio:.0%}  {row.metrics.successful_iterations} of {row.metrics.total_iterations}"
    return joined((done, *failed))


def _progress(row: Row, width: int, budget: float | None) -> Text:
    progress, scores = row.metrics.progress, list(row.run.state.scores)
    if not row.metrics.total_iterations or not (scores or progress.iterations_with_progress):
        return Text()
    streak = progress.no_progress_streak
    return joined(
        (
            f"{progress.progress_rate:.0%}",
            Text(f"{streak} without in a row", "yellow" if streak >= 3 else "") if streak else "",
            joined(("score", trend(scores, 10), f"{scores[-1]:.2f}"), " ") if scores else "",
            f"velocity {progress.velocity:+.2f}",
            f"{progress.files_changed} files" if progress.files_changed else "",
        )
    )


def _context(row: Row, width: int, budget: float | None) -> Text:
    if row.context is None:
        return Text()
    bar = gauge(row.context / 100, _GAUGE, REDLINE / 100, context_style(row.context))
    beyond = Text(f"beyond the redline of {REDLINE:.0f} %", "bold red")
    return joined((bar, f"{row.context:.0f} %", beyond if row.context >= REDLINE else f"redline {REDLINE:.0f} %"), "  ")


def _reboots(row: Row, width: int, budget: float | None) -> Text:
    total = row.metrics.total_reboots
    if not total:
        return Text()
    reasons = ", ".join(f"{reason} {count}" for reason, count in row.run.history.reboot_reasons.most_common())
    average = row.metrics.session.avg_context_at_reboot
    return joined((str(total), reasons, f"at {average:.0f} % on average" if average else ""))


def _tests(row: Row, width: int, budget: float | None) -> Text:
    tests, first = row.metrics.tests, row.run.history.first_tests
    if not tests.total_tests:
        return Text()
    ratios = [each.tests.passed / each.tests.total for each in row.run.history.rows if each.tests and each.tests.total]
    shown = ratios[-_GAUGE:] or [0.0]
    change = tests.passing_tests - first.passed if first is not None else 0
    return joined(
        (
            Text(f"{tests.passing_tests}/{tests.total_tests}", "red" if tests.failing_tests else "green"),
            f"{tests.pass_rate:.0%}",
            trend(shown, _GAUGE, min(*shown, max(shown) - 0.1), max(shown)),
            f"{change:+} since the first run" if change else "",
            Text(f"failing {tests.failure_streak} runs in a row", "yellow") if tests.failure_streak > 1 else "",
            f"{tests.flaky_tests} flaky" if tests.flaky_tests else "",
        )
    )


def _tokens(row: Row, width: int, budget: float | None) -> Text:
    if not row.tokens:
        return Text()
    models = (name for name in row.run.history.models if name)
    return joined(
        (
            amount(row.tokens),
            f"{amount(row.tokens_per_hour)}/h" if row.tokens_per_hour else "",
            _kinds(row),
            *(plain(model, 30) for model, _ in zip(models, range(3), strict=False)),
        )
    )


def _kinds(row: Row) -> str:
    """The tokens by kind; those of a cache apart, for they cost a tenth."""
    used = row.run.history.models.values()
    kinds = {
        "in": sum(each.input_tokens for each in used),
        "out": sum(each.output_tokens for each in used),
        "cache read": sum(each.cache_read_tokens for each in used),
        "cache written": sum(each.cache_creation_tokens for each in used),
    }
    return ", ".join(f"{amount(tokens)} {kind}" for kind, tokens in kinds.items() if tokens)


def _cost(row: Row, width: int, budget: float | None) -> Text:
    if not row.cost and budget is None:
        return Text()
    spent = dollars(row.cost)
    rate = f"{dollars(row.cost_per_hour)}/h" if row.cost_per_hour else ""
    estimated = sum(usage.estimated for usage in row.run.history.models.values())
    said = f"{dollars(estimated)} of it estimated" if estimated else ""
    if budget is None:
        return joined((spent, rate, said))
    style = budget_style(row.cost, budget)
    left = (budget - row.cost) / row.cost_per_hour * 3600 if row.cost_per_hour else 0.0
    when = f"spent in {span(left)}" if left > 0 else Text("over budget", "bold red") if row.cost >= budget else ""
    bar = gauge(row.cost / budget if budget else 1.0, _GAUGE, None, style)
    return joined((joined((Text(spent, style), f"of {dollars(budget)}", bar), " "), rate, when, said))


def budget_style(cost: float, budget: float) -> str:
    """How a cost is shown beside what it may be."""
    return "bold red" if cost >= budget else "yellow" if cost >= 0.8 * budget else "green"


def _machine(row: Row, width: int, budget: float | None) -> Text:
    used = row.usage
    if used is None:
        return Text()
    runner = (_cores(used.runner_cpu), size(used.runner_memory) if used.runner_memory is not None else "")
    agents = (
        _cores(used.agents_cpu),
        size(used.agents_memory or 0),
        f"{used.processes} process{'' if used.processes == 1 else 'es'}",
    )
    return joined(
        (
            f"runner {', '.join(filter(None, runner))}",
            f"agents {', '.join(filter(None, agents))}" if used.processes else "no agent process",
        )
    )


def _cores(cpu: float | None) -> str:
    return "" if cpu is None else f"{cpu:.0%} cpu"


def _doing(row: Row, width: int, budget: float | None) -> Text:
    if not row.going:
        return Text()
    tool = row.run.tool
    said = Text()
    if tool is not None:
        said = joined((plain(tool[0], 40, "cyan"), f"{_since(row, tool[1])} ago"), " ")
    quiet = max(0, row.now - row.run.state.last) / 1e9
    return joined((said, f"last event {span(quiet)} ago"))


def _open(row: Row, width: int, budget: float | None) -> Text:
    """The spans that are open, the innermost first."""
    if not row.going:
        return Text()
    state = row.run.state
    agents, sessions = reversed(row.run.agents.values()), reversed(state.open_sessions.items())
    parts: list[Text | str] = [
        *([f"reboot {_since(row, state.open_reboot)}"] if state.open_reboot is not None else []),
        *(joined(("agent", plain(each.name, 16), plain(each.model or "", 24), _since(row, each.started)), " ")
          for each in agents),
        *(f"iteration {each.number} {_since(row, each.started)}" for each in reversed(state.open_iterations.values())),
        *(joined(("session", plain(name, 16), _since(row, ts)), " ") for name, ts in sessions),
    ]  # fmt: skip
    more = len(parts) - _MOST_OPEN - 4
    return joined((*parts[: _MOST_OPEN + 4], f"and {more} more" if more > 0 else ""))


def _since(row: Row, ts: int) -> str:
    return span(max(0, row.now - ts) / 1e9)


def _errors(row: Row, width: int, budget: float | None) -> Text:
    return joined(plain(f"{name} {count}", 40) for name, count in row.run.history.errors.most_common(5))


_LINES: dict[str, Callable[[Row, int, float | None], Text]] = {
    "iteration": _iteration,
    "outcomes": _outcomes,
    "success": _success,
    "progress": _progress,
    "tests": _tests,
    "context": _context,
    "reboots": _reboots,
    "tokens": _tokens,
    "cost": _cost,
    "machine": _machine,
    "doing": _doing,
    "open": _open,
    "errors": _errors,
}
"""Label to what is said; a line that has nothing to say is left out."""


def _iterations(row: Row, most: int = 50) -> Iterator[Text]:
    """The last iterations, the newest first."""
    rows = [each for each, _ in zip(reversed(row.run.history.rows), range(most), strict=False)]
    if rows:
        yield Text()
        yield Text("iteration    took  tests      ctx    cost  files  tools  error", "bold")
    for each in rows:
        yield _one(each, row)


def _one(each: Iteration, row: Row) -> Text:
    running = each.outcome is None and row.going and each.number in row.run.state.open_iterations
    mark = ("▸", "green") if running else OUTCOME_MARKS.get(each.outcome, OUTCOME_MARKS[None])
    took = each.duration if each.duration is not None else row.age if running else None
    cells = (
        f" {each.number:>7}",
        f"{span(took) if took is not None else '':>8}",
        f"{f'{each.tests.passed}/{each.tests.total}' if each.tests else '':>7}",
        f"{f'{each.context:.0f}%' if each.context is not None else '':>7}",
        f"{dollars(each.cost) if each.cost else '':>8}",
        f"{each.files or '':>7}",
        f"{each.tools or '':>7}",
    )
    return Text.assemble(mark, "".join(cells), "  ", plain(each.error_type or "", 30, "red"))
