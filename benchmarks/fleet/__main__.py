"""`python -m benchmarks.fleet`: run the fleet, print what came of it."""

from __future__ import annotations

import sys

import click

from benchmarks.fleet.fleet import Plan, Result, run
from benchmarks.fleet.tiers import ROADS
from benchmarks.workload import folder
from stack.errors import StackError

_QUICK = {"seconds": 24.0, "told": 3600.0, "interval": 1.0}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--loops", multiple=True, type=click.IntRange(1, 10_000), help="How many; may be given several times.")
@click.option("--interval", type=float, default=Plan.interval, show_default=True, help="Seconds between a loop's exports.")
@click.option("--seconds", type=float, default=Plan.seconds, show_default=True, help="How long a fleet runs.")
@click.option("--road", type=click.Choice(list(ROADS)), default=Plan.road, show_default=True, help="From gateway to Prometheus.")
@click.option("--seed", type=int, default=Plan.seed, show_default=True, help="Decides what happens in the loops.")
@click.option("--quick", is_flag=True, help="10 loops, in less than a minute: shows that it works.")
def main(loops: tuple[int, ...], interval: float, seconds: float, road: str, seed: int, quick: bool) -> None:
    """Loops by the thousand through two agents and a gateway to Prometheus, while Collectors are killed."""
    plans = [Plan(number, seconds, 3600.0, interval, road, seed) for number in loops or (10, 100, 1000)]
    if quick:
        plans = [Plan(10, **_QUICK, road=road, seed=seed)]
    lost = False
    for plan in plans:
        try:
            with folder() as where:
                result = run(plan, where)
        except StackError as error:
            sys.exit(f"fleet: {error}")
        _show(result)
        lost |= not result.arrival.complete
    sys.exit(int(lost))


def _show(result: Result) -> None:
    print(result)


if __name__ == "__main__":
    main()
