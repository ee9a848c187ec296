"""`python -m benchmarks.soak`: run it, print what came of it."""

from __future__ import annotations

import datetime
import sys
from contextlib import nullcontext
from pathlib import Path

import click

from benchmarks.report import PAGE, SOAK
from benchmarks.soak.page import HEADING, text
from benchmarks.soak.soak import Plan, run
from benchmarks.workload import folder


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--iterations", type=click.IntRange(1000), default=Plan.iterations, help="Of the process that lives on.")
@click.option("--minutes", type=float, default=Plan.minutes, help="In which these are done, evenly.")
@click.option("--most-minutes", type=float, default=Plan.most_minutes, help="After which it ends in any case.")
@click.option("--every", type=float, default=Plan.every, help="Seconds between two looks, and two scrapes.")
@click.option("--logs/--no-logs", default=Plan.logs, help="Whether log records are sent, too.")
@click.option("--seed", default=Plan.seed, help="Decides about iterations, faults and kills.")
@click.option("--keep", type=click.Path(path_type=Path), help="An empty folder for everything, which stays.")
@click.option("--write", is_flag=True, help="Keep the figures for docs/performance.md.")
def main(
    iterations: int,
    minutes: float,
    most_minutes: float,
    every: float,
    logs: bool,
    seed: str,
    keep: Path | None,
    write: bool,
) -> None:
    """A million iterations with faults throughout: is anything lost, does anything grow?

    Exits with 1 where it is so.

    Example: python -m benchmarks.soak --iterations 20000 --minutes 1
    """
    plan = Plan(iterations, minutes, most_minutes, every, logs, seed)
    began = datetime.datetime.now(datetime.UTC)
    with folder() if keep is None else nullcontext(keep) as where:
        where.mkdir(exist_ok=True)
        said = text(result := run(plan, where), began)
    print(said)
    if write:
        SOAK.write_text(said, encoding="utf-8")
        before = PAGE.read_text(encoding="utf-8").partition(HEADING)[0]
        PAGE.write_text(f"{before.rstrip()}\n\n{said}", encoding="utf-8")
        print(f"written: {PAGE}")
    sys.exit(int(not result.good))


if __name__ == "__main__":
    main()
