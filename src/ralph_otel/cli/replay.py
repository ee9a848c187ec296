"""`ralph-otel replay`: a journal to an OTLP endpoint, as if it had been sent then."""

from __future__ import annotations

import click

from ralph_otel.cli._options import journal_of
from ralph_otel.config import MetricsConfig


@click.command()
@click.argument("run", metavar="RUN")
@click.option("--to", "endpoint", required=True, help="URL or host:port; port 4317 means gRPC, else HTTP.")
@click.option("--timeout", type=click.FloatRange(0.1), default=60.0, show_default=True, help="Seconds to wait.")
def command(run: str, endpoint: str, timeout: float) -> int:
    """Send a run's traces, log records and final metrics to an OTLP endpoint, with their own times and ids.

    RUN is a run id, an unambiguous beginning of one, `latest`, or a file's path. Spans have the ids that they had when
    they were live, so a backend that keeps a span once per id is not filled twice. Of a run that has no end, the open
    spans end at its last event, as errors.

    Example: ralph-otel replay latest --to http://127.0.0.1:4318
    """
    from ralph_otel.replay import replay

    path = journal_of(run)
    problems = replay(path, endpoint, MetricsConfig(), timeout)
    for problem in problems:
        click.echo(f"ralph-otel: {path.stem}: {problem}", err=True)
    return 1 if problems else 0
