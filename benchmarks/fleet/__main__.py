"""`python -m benchmarks.fleet`: run the fleet, print what came of it."""

from __future__ import annotations

import sys

import click
from stack.errors import StackError

from benchmarks.fleet.fleet import Plan, Result, run
from benchmarks.fleet.measured import keep, kept
from benchmarks.fleet.page import PAGE, page
from benchmarks.fleet.tiers import ROADS
from benchmarks.workload import folder

_SIZES = (10, 100, 1000)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.argument("loops", nargs=-1, type=click.IntRange(1, 10_000), metavar="[LOOPS]...")
@click.option("--interval", type=float, default=Plan.interval, help="Seconds between two exports of a loop.")
@click.option("--seconds", type=float, default=Plan.seconds, help="How long a fleet runs.")
@click.option("--road", type=click.Choice(list(ROADS)), default=Plan.road, help="From gateway to Prometheus.")
@click.option("--seed", type=int, default=Plan.seed, help="Decides what happens in the loops.")
@click.option("--quick", is_flag=True, help="10 loops, in less than a minute: shows that it works.")
@click.option("--write", is_flag=True, help="Keep the figures, and write docs/sizing.md.")
def main(
    loops: tuple[int, ...], interval: float, seconds: float, road: str, seed: int, quick: bool, write: bool
) -> None:
    """Loops by the thousand through two agents and a gateway to Prometheus, while Collectors are killed.

    LOOPS: how many; several numbers are several runs. 10, 100 and 1000 where nothing is said: a quarter of an hour.

    Exits with 1 where anything was lost.

    Example: python -m benchmarks.fleet --quick
    """
    if quick and (loops or write):
        raise click.UsageError("--quick is a run of its own: no numbers of loops, no --write")
    plans = [Plan(number, seconds, interval=interval, road=road, seed=seed) for number in loops or _SIZES]
    if quick:
        plans = [Plan(10, seconds=24.0, interval=1.0, road=road, seed=seed)]
    complete = True
    for plan in plans:
        try:
            with folder() as where:
                result = run(plan, where)
        except (StackError, RuntimeError) as error:
            sys.exit(f"fleet: {error}")
        _show(result)
        complete &= result.arrival.complete
        if write:
            keep(result)
    if write:
        PAGE.write_text(page(kept()), encoding="utf-8")
        print(f"written: {PAGE}")
    sys.exit(int(not complete))


def _show(result: Result) -> None:
    plan, arrival = result.plan, result.arrival
    print(f"{plan.loops:,} loops by {plan.road}, {result.took:.0f} s")
    for what in result.happened:
        print(f"    {what}")
    print(f"  {arrival.series:,} series compared, {arrival.wrong} differ; {arrival.resets} counters went back")
    for difference in arrival.shown:
        print(f"    {difference}")
    for name, (said, arrived) in arrival.totals.items():
        mark = "✓" if said == arrived else "✗"
        print(f"  {mark} {name:<26} {said:>21,.10g} in the journals {arrived:>21,.10g} in Prometheus")
    print(f"  {result.events:,} events, {result.accepted:,.0f} data points, {result.samples:,.0f} samples")
    for tier, usage in result.tiers.items():
        memory = f"{usage.memory / 2**20:>7,.0f} MiB in {usage.processes} processes"
        print(f"  {tier:<12} {usage.cpu:>8.1f} s of a processor {memory}", flush=True)


if __name__ == "__main__":
    main()
