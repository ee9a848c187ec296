"""What the generated dashboards and rules may be told: the metrics' prefix, where pages are, and every threshold."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Any

from ralph_otel.catalog import DEFAULT_PREFIX

_PREFIX = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,63}")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604_800}
_DURATION = re.compile(r"([1-9][0-9]{0,6})([smhdw])")


class SettingError(ValueError):
    """A setting that does not exist, or a value it cannot have. Its text names both, and what would do."""


class Duration(str):
    """A duration as Prometheus writes it, in one unit: `90s`, `5m`, `1h`, `2d`.

    Raises:
        ValueError: it is none.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Duration:
        """Checked."""
        if _DURATION.fullmatch(text) is None:
            raise ValueError("a duration in one unit, such as 90s, 5m, 1h or 2d")
        return super().__new__(cls, text)

    @property
    def seconds(self) -> int:
        """As a number."""
        number, unit = re.findall(r"[0-9]+|[a-z]", self)
        return int(number) * _UNITS[unit]

    def part(self, fraction: float) -> Duration:
        """A part of it, a second at least."""
        seconds = max(1, round(self.seconds * fraction))
        return Duration(f"{seconds}s" if seconds % 60 else f"{seconds // 60}m")


def _limit(default: float, doc: str) -> Any:
    """A number to compare with: not negative."""
    return field(default=default, metadata={"doc": doc, "read": _number})


def _fraction(default: float, doc: str) -> Any:
    """A number from 0 to 1."""
    return field(default=default, metadata={"doc": doc, "read": _part})


def _time(default: str, doc: str, read: Callable[[str], Duration] = Duration) -> Any:
    return field(default=Duration(default), metadata={"doc": doc, "read": read})


def _word(default: str, doc: str) -> Any:
    return field(default=default, metadata={"doc": doc, "read": _line})


def _number(text: str) -> float:
    number = float(text) if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,12})?", text) else -1.0
    if number < 0:
        raise ValueError("a number from 0, such as 3 or 0.8")
    return int(number) if number.is_integer() else number


def _part(text: str) -> float:
    number = _number(text) if text[:1] in "01" else 2
    if number > 1:
        raise ValueError("a number from 0 to 1, such as 0.8")
    return number


def _short(text: str) -> Duration:
    """Prometheus looks back 5 minutes for what a rule recorded; one evaluation may be late or missed."""
    if (duration := Duration(text)).seconds > 120:
        raise ValueError("a duration of at most 2m")
    return duration


def _line(text: str) -> str:
    if not text.isprintable() or '"' in text or "\\" in text:
        raise ValueError("printable characters without quotes and backslashes")
    return text


@dataclass(frozen=True, slots=True)
class MixinConfig:
    """Every setting. The fields with a `doc` are those of `--set`; their texts are the rows of `docs/alerts.md`."""

    prefix: str = DEFAULT_PREFIX
    """How the loop's metrics begin, as in `RALPH_OTEL_PREFIX`."""

    runbook_url: str = _word(
        "https://github.com/ralph-otel/ralph-otel/blob/main/docs/runbooks",
        "where the runbooks are; `/<alert>.md` is added",
    )
    grafana_url: str = _word("http://localhost:3000", "where Grafana is, for the link from an alert to its dashboard")
    interval: Duration = _time("1m", "between two evaluations of the rules", _short)
    patience: float = _limit(1, "what an alert is about must last so many times as long as the table above says")
    gap: Duration = _time("1h", "a series that was silent for longer is taken for a new one, which counts from zero")

    stuck_factor: float = _limit(3, "an iteration is stuck at so many times what is usual for the loop")
    stuck_quantile: float = _fraction(
        0.95, "usual is this quantile of the last day's iterations, or their mean if that is more"
    )
    stuck_history: float = _limit(3, "iterations in the last day from which something can be called usual")
    stuck_floor: Duration = _time("10m", "an iteration is never called stuck before")
    stuck_without_history: Duration = _time("1h", "an iteration is stuck after, where nothing is usual yet")
    no_progress_streak: float = _limit(5, "iterations in a row without progress")
    spinning_iterations: float = _limit(10, "iterations in an hour, none of which changed anything")
    failing_iterations: float = _limit(
        5, "iterations that failed or timed out in 5 minutes, an hour or 6 hours, at least"
    )
    failing_ratio: float = _fraction(0.8, "and the fraction of all iterations that they are, at least")
    test_failure_streak: float = _limit(10, "test runs in a row with a failure, none of them better")
    storm_reboots: float = _limit(5, "unplanned reboots in an hour, at least")
    storm_per_iteration: float = _limit(1, "and so many for each iteration that finished, at least")
    run_budget: float = _limit(100, "US dollars that a run may cost")
    day_budget: float = _limit(200, "US dollars that a loop may cost in 24 hours, all runs together")
    hour_limit: float = _limit(25, "US dollars that a loop may cost in an hour, all runs together")
    spike_factor: float = _limit(3, "a run's last hour costs so many times the loop's dearest hour of the day before")
    spike_floor: float = _limit(10, "US dollars an hour below which nothing is a spike")
    spike_history: Duration = _time("2h", "and that only where the day before had costs recorded for so long")
    context_high: float = _limit(80, "percent of the context window from which it is called full")
    context_fills_within: Duration = _time("15m", "and it will be at 100 % within")
    context_reboots: float = _limit(3, "reboots in an hour with such a context, on average, at least")
    context_iterations: float = _limit(2, "and fewer iterations than this for each of them")
    gone_for: Duration = _time("5m", "a loop has vanished when nothing was heard of it for")
    gone_window: Duration = _time("1h", "how long a crash, or a loop that vanished, is told of")
    bad_lines: float = _limit(10, "unusable journal lines in 15 minutes; a crash may leave one torn line")
    queue_ratio: float = _fraction(0.8, "how full a Collector's sending queue may be")

    def with_settings(self, settings: Iterable[str]) -> MixinConfig:
        """These settings, some changed by texts such as `stuck_factor=4` or `gap=6h`.

        Raises:
            SettingError: for one there is no such setting, or it cannot have that value.
        """
        changed: dict[str, Any] = {}
        known = {each.name: each.metadata for each in fields(self) if each.metadata}
        for setting in settings:
            name, equals, text = setting.partition("=")
            if not equals or name not in known:
                raise SettingError(f"{setting!r} sets nothing; give NAME=VALUE, NAME being one of {', '.join(known)}")
            try:
                changed[name] = known[name]["read"](text.strip())
            except ValueError as error:
                raise SettingError(f"{name}: {text!r} will not do; it takes {error}") from None
        return replace(self, **changed)

    def with_prefix(self, prefix: str) -> MixinConfig:
        """These settings for metrics that begin otherwise.

        Raises:
            SettingError: no metric's name can begin so.
        """
        if _PREFIX.fullmatch(prefix) is None:
            raise SettingError(
                f"prefix: {prefix!r} will not do; it takes a letter followed by letters, digits, '_' or '.', "
                "such as ralph_loop"
            )
        return replace(self, prefix=prefix)

    @staticmethod
    def settings() -> list[tuple[str, Any, str]]:
        """For each field of `--set`: its name, its default, and what it says."""
        return [(each.name, each.default, each.metadata["doc"]) for each in fields(MixinConfig) if each.metadata]
