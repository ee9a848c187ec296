"""`python -m stack`: the whole stack on this machine, for a person to look around."""

from __future__ import annotations

import signal
import sys
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path

import click

from ralph_otel.config import MetricsConfig
from stack.backends import SHIPPED, Collector, Jaeger, Prometheus
from stack.errors import StackError
from stack.modules import alone, cache
from stack.processes import Process
from stack.programs import PROGRAMS, find
from stack.settings import prometheus_files

_NEEDED = ("otelcol", "prometheus", "jaeger")
_LOOK = 1.0
"""Seconds between two looks whether all programs still run."""


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
def main(context: click.Context) -> None:
    """Collector, Prometheus and Jaeger with the files of collector-config/, until Ctrl-C."""
    if context.invoked_subcommand is None:
        try:
            for name in _NEEDED:
                find(name)
            _run()
        except StackError as error:
            sys.exit(f"stack: {error}")


@main.command()
@click.argument("names", nargs=-1, type=click.Choice(list(PROGRAMS)), metavar="[PROGRAM]...")
def build(names: tuple[str, ...]) -> None:
    """Find or build the programs, and print where they are. Takes some ten minutes, once."""
    try:
        for name in names or PROGRAMS:
            click.echo(f"{name}\t{find(name)}")
    except StackError as error:
        sys.exit(f"stack: {error}")


def _run() -> None:
    stop = _stopped()
    with tempfile.TemporaryDirectory(prefix="ralph-otel-stack-") as temporary, ExitStack() as stack:
        folder = Path(temporary)
        with alone(cache() / "start.lock"):  # else another stack might choose the same ports
            collector, prometheus, jaeger = _started(folder, stack)
        _say(collector, prometheus, jaeger, folder)
        _wait(stop, [collector, prometheus, jaeger])


def _started(folder: Path, stack: ExitStack) -> tuple[Collector, Prometheus, Jaeger]:
    """The three programs, on the ports that everybody knows or the next ones; stopped with the stack.

    Raises:
        StackError: one did not start.
    """
    jaeger = Jaeger(folder / "jaeger", preferred=True)
    stack.enter_context(jaeger)
    config = SHIPPED / "collector" / "laptop.yaml"
    collector = Collector(folder / "collector", [config], {"JAEGER_ENDPOINT": jaeger.otlp_grpc}, preferred=True)
    stack.enter_context(collector)
    prometheus = Prometheus(folder / "prometheus", folder / "configured" / "prometheus.yaml", preferred=True)
    prometheus_files(folder / "configured", prometheus.port, MetricsConfig().home / "targets", [collector])
    stack.enter_context(prometheus)
    return collector, prometheus, jaeger


def _stopped() -> threading.Event:
    """Set by Ctrl-C and the like; what has been started by then is stopped."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _say(collector: Collector, prometheus: Prometheus, jaeger: Jaeger, folder: Path) -> None:
    click.echo(
        f"""
Collector    OTLP {collector.otlp} (HTTP), {collector.otlp_grpc} (gRPC); StatsD {collector.statsd}
             its metrics http://{collector.metrics}/metrics; log records {collector.logs}
Prometheus   {prometheus.url}
Jaeger       {jaeger.url}
Logs, data   {folder}, removed at the end

A loop that sends to it, in another terminal:

  OTEL_EXPORTER_OTLP_ENDPOINT={collector.otlp} RALPH_OTEL_EXPORT_FORMAT=otlp ralph-otel run -- ./ralph.sh

One without these variables is scraped. Then ask, after a quarter of a minute:

  curl -s {prometheus.url}/api/v1/query --data-urlencode 'query=ralph_loop_iterations_total'
  curl -s '{jaeger.url}/api/traces?service=ralph-loop'

Prometheus and Jaeger built here have their HTTP API, but not their pages, which are no part of their Go modules. With
the released programs on PATH ({PROGRAMS["prometheus"].installed}, {PROGRAMS["jaeger"].installed}) those are used, pages
and all. Ctrl-C ends it."""
    )


def _wait(stop: threading.Event, processes: list[Process]) -> None:
    """Until Ctrl-C.

    Raises:
        StackError: one of the programs has ended by itself.
    """
    while not stop.wait(_LOOK):
        for process in processes:
            if not process.running:
                raise StackError(f"{process.name} has ended by itself; the end of its log:\n{process.tail()}")
    click.echo("\nstack: stopping")


if __name__ == "__main__":
    main(prog_name="python -m stack")
