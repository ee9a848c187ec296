"""The recording rules: what alerts and the fleet's dashboard ask for again and again, one value a loop."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ralph_otel.catalog import MODEL, OUTCOME, REBOOT_REASON, STOP_REASON, Attribute
from ralph_otel.catalog.attributes import CHANGE, TEST_OUTCOME, TOKEN_TYPE
from ralph_otel.mixin.config import MixinConfig
from ralph_otel.mixin.names import LOOP, RUN, Names, label
from ralph_otel.mixin.promql import grown, most, total

STEP = "5m"
"""The window from which the longer ones are put together."""
WINDOWS = (STEP, "1h", "24h")
"""Those for which there are rules."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A rule: the name of what it records, and the expression."""

    record: str
    expr: str


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated one after the other, at the same time."""

    name: str
    rules: tuple[Recorded, ...]


COUNTED: dict[str, tuple[Attribute, ...]] = {
    "iterations": (OUTCOME,),
    "iterations_with_progress": (),
    "runs": (STOP_REASON,),
    "reboots": (REBOOT_REASON,),
    "context_at_reboot_sum": (),
    "context_at_reboot_count": (),
    "test_runs": (TEST_OUTCOME,),
    "files_changed": (),
    "lines_changed": (CHANGE,),
    "commits": (),
    "tokens": (TOKEN_TYPE,),
    "cost": (MODEL,),
}
"""What is counted in 5 minutes, 1 hour and 24 hours, and the labels that are kept besides the loop's."""

_DURATIONS = ("iteration_duration_bucket", "iteration_duration_sum", "iteration_duration_count")
_NOW = {
    "active_runs": "sum", "iteration_age": "max", "context_usage": "max", "no_progress_streak": "max",
    "test_failure_streak": "max", "test_pass_ratio": "min",
}  # fmt: skip
"""Gauges, and how those of a loop's runs become one."""


def groups(config: MixinConfig) -> list[Group]:
    """The groups of `ralph-recording.yaml`."""
    names = Names(config.prefix)
    return [
        Group("ralph-now", tuple(_now(names))),
        Group("ralph-5m", tuple(_in_step(names, config.gap))),
        Group("ralph-1h", (*_in_hour(names, config.gap), _dearest_run(names, config.gap))),
        Group("ralph-24h", tuple(_in_day(names))),
        Group("ralph-usual", tuple(_usual(names, config))),
    ]


def kept(name: str) -> tuple[str, ...]:
    """The labels that a rule about this metric keeps."""
    if name == "iteration_duration_bucket":
        return (*LOOP, "le")
    return (*LOOP, *(label(each) for each in COUNTED.get(name, ())))


def _now(names: Names) -> Iterator[Recorded]:
    for name, operator in _NOW.items():
        yield Recorded(names.recorded(name, operator), f"{operator} by ({', '.join(LOOP)}) ({names(name)})")


def _in_step(names: Names, gap: str) -> Iterator[Recorded]:
    for name in (*COUNTED, *_DURATIONS):
        yield Recorded(names.recorded(name, f"increase{STEP}"), total(grown(names(name), STEP, gap), kept(name)))


def _in_hour(names: Names, gap: str) -> Iterator[Recorded]:
    for name in COUNTED:
        yield Recorded(names.recorded(name, "increase1h"), total(grown(names(name), "1h", gap), kept(name)))


def _in_day(names: Names) -> Iterator[Recorded]:
    for name in (*COUNTED, *_DURATIONS):
        yield Recorded(names.recorded(name, "increase24h"), in_steps(names, name, "24h"))


def in_steps(names: Names, name: str, window: str, of: str = "") -> str:
    """How much a metric has grown in a longer window: the sum of the 5 minutes that follow each other in it.

    That is far cheaper than to look at every sample, and up to 5 minutes late. In a loop's first 5 minutes there is
    no such sum; they are all there is.
    """
    step = names.recorded(name, f"increase{STEP}") + of
    return f"(sum_over_time({step}[{window}:{STEP}]) or {step})"


def _dearest_run(names: Names, gap: str) -> Recorded:
    run = total(grown(names("cost"), "1h", gap), RUN)
    return Recorded(names.recorded("cost", "max_run_increase1h"), most(run, LOOP))


def _usual(names: Names, config: MixinConfig) -> Iterator[Recorded]:
    """How long an iteration of the loop usually takes at most, where there were enough of them.

    A quantile is never above the highest bound of the buckets, so the mean counts where it is greater.
    """
    part = {name: names.recorded(name, "increase24h") for name in _DURATIONS}
    bucket, sum_, count = (part[name] for name in _DURATIONS)
    quantile = f"histogram_quantile({config.stuck_quantile}, {bucket})"
    mean = f"{sum_} / {count}"
    yield Recorded(
        names.recorded("iteration_duration", "usual24h"),
        f"(\n  {quantile} > {mean}\n  or\n  {mean}\n)\nand {count} >= {config.stuck_history}",
    )
