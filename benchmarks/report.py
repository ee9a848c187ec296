"""`docs/performance.md`: the figures of a whole run, and what they were measured on."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

from benchmarks.table import TABLE, Figure

Figures = Mapping[ModuleType, Mapping[str, float]]
"""Module to its figures."""

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
SOAK = Path(__file__).parent / "soak" / "measured.md"
"""The section of `python -m benchmarks.soak --write`, which takes too long for every run."""
_PACKAGES = (
    "opentelemetry-sdk",
    "opentelemetry-exporter-otlp",
    "opentelemetry-exporter-prometheus",
    "prometheus-client",
    "psutil",
    "ddsketch",
)
_HEAD = """\
# What it costs

Written by `python -m benchmarks --write`, in the repository, with the environment of `make`. `python -m benchmarks`
prints the same table without writing it; with names, such as `caller fold`, only those; `--quick` tries everything with
far fewer rounds, for a first look; `--check` exits with 1 where a target is missed.

Two ways of doing the same are timed in turn on one machine, and what counts is the ratio: the median over the rounds of
one ÷ the other. Smaller is better. Processor time is taken where a busy machine would blur wall time. No network is in
it unless a row says so.
"""


def page(figures: Figures) -> str:
    """The whole page."""
    measured = [row for row in TABLE if row.module in figures]
    lines = [_HEAD, *_machine(), "", "| what | figure | target | |", "|---|---:|---:|---|"]
    lines += [_row(row, figures[row.module][row.key]) for row in measured]
    lines += ["", "## What is compared", ""]
    for module in dict.fromkeys(row.module for row in measured):
        title, _, rest = (module.__doc__ or "").strip().partition("\n")
        lines += [f"**{title}** (`benchmarks/{short_name(module)}.py`)", rest.rstrip(), ""]
    soak = SOAK.read_text(encoding="utf-8") if SOAK.exists() else ""
    return "\n".join([*lines, soak]).rstrip() + "\n"


def short_name(module: ModuleType) -> str:
    """A measurement's name on the command line."""
    return module.__name__.rpartition(".")[2]


def _row(row: Figure, value: float) -> str:
    mark = "" if not row.target else "met" if row.met(value) else "**missed**"
    return f"| {row.name} | {row.form.format(value)} | {row.target} | {mark} |"


def _machine() -> Iterable[str]:
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    yield f"Measured on {datetime.datetime.now(datetime.UTC):%Y-%m-%d}: {processor()}, {os.cpu_count()} cores;"
    yield f"{platform.system()} {platform.release()}; {platform.python_implementation()} {platform.python_version()};"
    yield f"{packages}."


def processor() -> str:
    """The processor's name, as the kernel has it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
