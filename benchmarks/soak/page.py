"""What came of it, as a section of docs/performance.md."""

from __future__ import annotations

import datetime
import os
import platform
import statistics
from collections.abc import Iterator

from benchmarks.report import processor
from benchmarks.soak.audit import Audit
from benchmarks.soak.figures import COST_UNIT, FIGURES
from benchmarks.soak.soak import Result

HEADING = "## A soak, with faults throughout"
_SHOWN = 8


def text(result: Result, began: datetime.datetime) -> str:
    """The section."""
    return "\n".join([*_head(result, began), *_growth(result), *_totals(result), *_rest(result)]) + "\n"


def _head(result: Result, began: datetime.datetime) -> Iterator[str]:
    loads = [look.load for look in result.looks]
    plan, done = result.plan, result.audits["lives on"]
    yield HEADING
    yield ""
    yield (
        f"`make soak`, {began:%Y-%m-%d %H:%M} UTC: {processor()}, {os.cpu_count()} cores; {platform.system()} "
        f"{platform.release()}; Python {platform.python_version()}; niceness {os.nice(0)}; the machine's load was "
        f"{statistics.mean(loads):.1f} on average, {max(loads):.1f} at most."
    )
    yield ""
    yield (
        f"One process ran {done.runs} loops, three at a time, with {done.iterations:,} iterations (asked for: "
        f"{plan.iterations:,}) in {result.took / 60:.1f} minutes, {done.iterations / result.took:,.0f} a second; it "
        f"took {result.looks[-1].cpu:,.0f} s of a processor; its recorder was {result.behind:.0f} s behind at the end. "
        f"{result.ends['SIGKILL']} processes beside it got SIGKILL after 4 to 30 s, {result.ends['SIGTERM']} SIGTERM. "
        f"Log records were {'sent, too' if plan.logs else 'not sent'}. Seed `{plan.seed}`."
    )
    yield ""


def _growth(result: Result) -> Iterator[str]:
    yield (
        "Flat: the highest value of the last quarter of the time is at most 5 % (and 2 threads or files) above the "
        "highest of the quarter before. Slope: least squares over the second half."
    )
    yield ""
    yield "| of the process that lives on | half-time | third quarter | last quarter | slope, an hour | |"
    yield "|---|---:|---:|---:|---:|---|"
    for name, trend in result.trends.items():
        mark = "flat" if trend.flat else "**grows**"
        values = " | ".join(f"{value:,.1f}" for value in (trend.middle, trend.third, trend.last))
        yield f"| {name} | {values} | {trend.slope:+,.2f} | {mark} |"
    yield ""
    waiting, disk = max(look.waiting for look in result.looks), result.looks[-1].disk / 1e6
    yield (
        f"At most {waiting} requests waited at a time, {result.waiting} at the end. On the disk were {disk:,.0f} MB at "
        f"last, journals nearly all. {result.scrapes[0]} scrapes were answered, {result.scrapes[1]} not in ten seconds."
    )
    yield ""


def _totals(result: Result) -> Iterator[str]:
    yield "Exact totals: what the loops say of themselves, their journals, and what arrived."
    yield ""
    yield "| | own account | journals | arrived | |"
    yield "|---|---:|---:|---:|---|"
    for kind, found in result.audits.items():
        yield from _rows(kind, found)
        if kind in result.repaired and result.repaired[kind].wrong != found.wrong:
            yield from _rows(f"{kind}, after `replay`", result.repaired[kind])
    yield ""
    own = result.own
    yield (
        f"`get_metrics()` of the process that lives on: {own['iterations']:,} iterations, {own['tokens']:,} tokens, "
        f"{own['cost'] / COST_UNIT:,.6f} USD; its last scrape: {result.scraped:,.0f} iterations."
    )
    yield ""


def _rows(kind: str, found: Audit) -> Iterator[str]:
    for name in FIGURES:
        least, most, said, arrived = found.least[name], found.most[name], found.said[name], found.arrived[name]
        mark = "=" if least <= said <= most and said == arrived else "**differs**"
        done = f"{least:,}" if least == most else f"{least:,} to {most:,}"
        yield f"| {kind}: {name} | {done} | {said:,} | {arrived:,.0f} | {mark} |"
    mark = "=" if not found.missing else f"**{found.missing:,} missing**"
    arrived = found.spans - found.missing - found.rejected
    yield f"| {kind}: spans | | {found.spans:,} | {arrived:,} + {found.rejected:,} rejected | {mark} |"


def _rest(result: Result) -> Iterator[str]:
    yield "The receiver's answers: " + ", ".join(f"{n:,} {name}" for name, n in result.answers.most_common()) + "."
    yield f"Spans that came more than once, as after an answer that was cut: {result.twice:,}."
    yield f"Log records taken: {result.logs:,}."
    given_up = ", ".join(f"{name} {n:,}" for name, n in sorted(result.given_up.items())) or "nothing"
    yield f"Given up, by the queues' own account: {given_up}."
    for kind, found in {**result.audits, **{f"{k}, repaired": v for k, v in result.repaired.items()}}.items():
        reasons = ", ".join(f"{n} {reason}" for reason, n in found.reasons.most_common())
        yield f"Runs ({kind}): {reasons}; {found.bad} bad lines; {len(found.wrong)} differences."
        for each in found.wrong[:_SHOWN]:
            yield f"- {each}"
