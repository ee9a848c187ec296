"""The list of runs: as lines that fit a terminal's width, and as a plain table for scripts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from ralph_otel.views.history import REDLINE
from ralph_otel.views.live_run import DEAD, NO_END, PAUSED, RUNNING
from ralph_otel.views.rows import Row
from ralph_otel.views.top.marks import OUTCOME_MARKS, amount, dollars, plain, span, strip
from ralph_otel.wording import printable

STATE_STYLES = {
    RUNNING: "green",
    PAUSED: "yellow",
    DEAD: "bold red",
    NO_END: "dim",
    "error": "red",
    "crashed": "red",
    "no_progress": "yellow",
    "test_failure_streak": "yellow",
    "completed": "green",
    "tests_passed": "green",
}
_ITERATIONS = 7
"""Cells for the number of iterations."""
_ENOUGH = 5
"""Iterations after which the run's own quantiles say what is late."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the list.

    Attributes:
        title: its heading.
        width: cells it takes.
        cell: what it says of a row.
        need: the narrowest terminal that shows it, in cells.
        right: whether it is set to the right.
    """

    title: str
    width: int
    cell: Callable[[Row], Text]
    need: int = 0
    right: bool = True


def _state(row: Row) -> Text:
    return plain(row.state, style=STATE_STYLES.get(row.state, ""))


def _iterations(row: Row) -> Text:
    limit = row.run.state.max_iterations
    done = row.iteration if row.iteration is not None else row.metrics.total_iterations
    said = f"{done}/{limit}" if limit else str(done)
    return Text(said if len(said) <= _ITERATIONS else amount(done))


def _success(row: Row) -> Text:
    ratio = row.success_ratio
    return Text("" if ratio is None else f"{ratio:.0%}")


def lateness_style(row: Row) -> str:
    """How the age of the running iteration is shown: by what nine in ten of the run's iterations take."""
    if row.metrics.total_iterations < _ENOUGH or row.lateness <= 1:
        return ""
    return "bold red" if row.lateness > 2 else "yellow"


def _age(row: Row) -> Text:
    if row.age is None:
        return Text("")
    style = lateness_style(row)
    return Text(span(row.age) + ("!" if style else ""), style)


def _usual(row: Row) -> Text:
    return Text(span(row.p50) if row.p50 is not None else "")


def context_style(percent: float) -> str:
    """How the filling of a context window is shown."""
    return "bold red" if percent >= REDLINE else "yellow" if percent >= REDLINE - 15 else "green"


def _context(row: Row) -> Text:
    if row.context is None or not row.going:
        return Text("")
    return Text(f"{row.context:.0f}%" + ("!" if row.context >= REDLINE else ""), context_style(row.context))


def _tests(row: Row) -> Text:
    tests = row.metrics.tests
    if not tests.total_tests:
        return Text("")
    text = f"{amount(tests.passing_tests)}/{amount(tests.total_tests)}"
    return Text(text, "red" if tests.failing_tests else "green")


def _streak(row: Row) -> Text:
    streak = row.metrics.progress.no_progress_streak
    return Text(str(streak) if streak else "", "yellow" if streak >= 3 else "")


def _reboots(row: Row) -> Text:
    return Text(str(row.metrics.total_reboots or ""))


def _cpu(row: Row) -> Text:
    cpu = row.usage.cpu if row.usage else None
    return Text("" if cpu is None else f"{cpu:.0%}")


def _memory(row: Row) -> Text:
    memory = row.usage.memory if row.usage else None
    return Text("" if memory is None else f"{memory / 2**20:.0f}M" if memory < 2**30 else f"{memory / 2**30:.1f}G")


def doing(row: Row) -> str:
    """What the agent does: the tool it used last, else its name; as it is in the journal."""
    if not row.going:
        return ""
    if row.run.tool is not None:
        return row.run.tool[0]
    return next((agent.name for agent in reversed(row.run.agents.values())), "")


def _ran(row: Row) -> Text:
    return Text(span(row.metrics.total_execution_time))


def _ago(row: Row) -> Text:
    return Text(span(max(0, row.now - row.run.state.last) / 1e9))


COLUMNS = (
    Column("loop", 0, lambda row: plain(row.name or row.run.key), right=False),
    Column("state", 12, _state, right=False),
    Column("iter", _ITERATIONS, _iterations),
    Column("last", 10, lambda row: strip(row.outcomes[-10:]), 75, right=False),
    Column("ok", 4, _success, 80),
    Column("age", 7, _age),
    Column("usual", 7, _usual, 144),
    Column("ctx", 5, _context, 56),
    Column("tests", 7, _tests, 64),
    Column("cost", 7, lambda row: Text(dollars(row.cost) if row.cost else ""), 50),
    Column("$/h", 7, lambda row: Text(dollars(row.cost_per_hour) if row.cost_per_hour else ""), 90),
    Column("tokens", 6, lambda row: Text(amount(row.tokens) if row.tokens else ""), 152),
    Column("tool", 10, lambda row: plain(doing(row)), 100, right=False),
    Column("np", 3, _streak, 106),
    Column("rb", 3, _reboots, 156),
    Column("cpu", 5, _cpu, 112),
    Column("mem", 6, _memory, 118),
    Column("time", 7, _ran, 128),
    Column("quiet", 7, _ago, 136),
    Column("run", 23, lambda row: plain(row.run.key), 180, right=False),
)
"""The list's columns. The first takes what the others leave."""


def columns_for(width: int) -> list[tuple[Column, int]]:
    """The columns that a terminal of so many cells has room for, and how wide each is."""
    first, *others = [column for column in COLUMNS if width >= column.need]
    left = width - sum(column.width + 1 for column in others)
    return [(first, max(left, 6)), *((column, column.width) for column in others)]


def heading(columns: Sequence[tuple[Column, int]]) -> Text:
    """The line of titles."""
    return Text(" ").join(_fit(Text(column.title), column, width) for column, width in columns)


def line(row: Row, columns: Sequence[tuple[Column, int]]) -> Text:
    """A run's line; dim where the run is over."""
    text = Text(" ", no_wrap=True).join(_fit(column.cell(row), column, width) for column, width in columns)
    if not row.going:
        text.stylize("dim")
    return text


def _fit(text: Text, column: Column, width: int) -> Text:
    text.truncate(width, overflow="ellipsis")
    missing = width - text.cell_len
    if column.right:
        text.pad_left(missing)
    else:
        text.pad_right(missing)
    return text


# -- for scripts ----------------------------------------------------------------------------------------------------


def _none(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


PLAIN: dict[str, Callable[[Row], str]] = {
    "RUN": lambda row: row.run.key,
    "STATE": lambda row: row.state.replace(" ", "_"),
    "ITER": lambda row: str(row.metrics.total_iterations),
    "MAX": lambda row: str(row.run.state.max_iterations or "-"),
    "OK": lambda row: _none(row.success_ratio, ".3f"),
    "LAST": lambda row: "".join(OUTCOME_MARKS[outcome][0] for outcome in row.outcomes[-10:]) or "-",
    "AGE": lambda row: _none(row.age, ".1f"),
    "P50": lambda row: _none(row.p50, ".1f"),
    "P90": lambda row: _none(row.p90, ".1f"),
    "CTX": lambda row: _none(row.context, ".0f"),
    "REBOOTS": lambda row: str(row.metrics.total_reboots),
    "PASS": lambda row: str(row.metrics.tests.passing_tests),
    "TESTS": lambda row: str(row.metrics.tests.total_tests),
    "STREAK": lambda row: str(row.metrics.progress.no_progress_streak),
    "TOKENS": lambda row: str(row.tokens),
    "USD": lambda row: f"{row.cost:.4f}",
    "USD/H": lambda row: f"{row.cost_per_hour:.4f}",
    "TIME": lambda row: f"{row.metrics.total_execution_time:.0f}",
    "TOOL": lambda row: "_".join(doing(row).split()) or "-",
    "LOOP": lambda row: row.name or "-",
}
"""The columns of the plain table: no value but the last has a space in it. Times are seconds."""


def table(rows: Sequence[Row]) -> str:
    """The rows for a script: aligned columns, `-` for what is not known, nothing that a terminal obeys."""
    cells = [tuple(PLAIN), *(tuple(printable(cell(row)) for cell in PLAIN.values()) for row in rows)]
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    widths[-1] = 0
    lines = ("  ".join(map(_padded, line, widths)).rstrip() for line in cells)
    return "".join(f"{line}\n" for line in lines)


def _padded(cell: str, width: int) -> str:
    return cell + " " * (width - cell_len(cell))
