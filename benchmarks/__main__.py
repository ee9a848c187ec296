"""`python -m benchmarks`: measure, print, compare with the targets."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from types import ModuleType

import click

from benchmarks.processes import clean
from benchmarks.report import PAGE, page, short_name
from benchmarks.table import TABLE

MODULES = {short_name(row.module): row.module for row in TABLE}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", nargs=-1, type=click.Choice(list(MODULES)), metavar="[NAME]...")
@click.option("--quick", is_flag=True, help="Far fewer rounds: shows that it runs, the figures mean little.")
@click.option("--json", "as_json", is_flag=True, help="Print all figures as one JSON object.")
@click.option("--write", is_flag=True, help="Write docs/performance.md. Needs a whole run.")
@click.option("--check", is_flag=True, help="Exit with 1 where a target is missed.")
def main(names: tuple[str, ...], quick: bool, as_json: bool, write: bool, check: bool) -> None:
    """What ralph-otel costs, measured side by side with the same by other means. Takes about a quarter of an hour."""
    if write and (names or quick):
        raise click.UsageError("--write needs a whole run: no names, no --quick")
    os.environ.clear()
    os.environ.update(_clean)
    figures: dict[ModuleType, dict[str, float]] = {}
    missed = 0
    for name in names or MODULES:
        module = MODULES[name]
        figures[module] = _measure(name, quick)
        if not as_json:
            missed += _show(module, figures[module])
    if as_json:
        print(json.dumps({short_name(module): found for module, found in figures.items()}, indent=2))
    if write:
        PAGE.write_text(page(figures), encoding="utf-8")
        print(f"written: {PAGE}")
    if check and missed:
        sys.exit(1)


_clean = clean()


def _measure(name: str, quick: bool) -> dict[str, float]:
    """Each in a process of its own, so that none finds what another has left behind."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        figures: dict[str, float] = pool.submit(MODULES[name].measure, quick).result()
    if not all(math.isfinite(value) for value in figures.values()):
        raise RuntimeError(f"{name}: {figures}")
    return figures


def _show(module: ModuleType, figures: dict[str, float]) -> int:
    """Print a measurement's rows. Returns how many targets were missed."""
    missed = 0
    for row in TABLE:
        if row.module is module and row.key in figures:
            value = figures[row.key]
            mark = " " if not row.target else "✓" if row.met(value) else "✗"
            missed += mark == "✗"
            print(f"{mark} {row.name:<78} {row.form.format(value):>20}   {row.target}", flush=True)
    return missed


if __name__ == "__main__":
    main()
