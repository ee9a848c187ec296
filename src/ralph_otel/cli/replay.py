"""`ralph-otel replay`: a journal to an OTLP endpoint, as if it had been sent then."""

from __future__ import annotations

import click

from ralph_otel.cli._options import complete_run, configured, journal_of


@click.command()
@click.argument("run", metavar="RUN", shell_complete=complete_run)
@click.option("--to", "endpoint", required=True, help="URL or host:port; port 4317 means gRPC, else HTTP.")
@click.option("--again", is_flag=True, help="Send what this endpoint has been sent before, too.")
@click.option("--timeout", type=click.FloatRange(0.1), default=60.0, show_default=True, help="Seconds to wait.")
def command(run: str, endpoint: str, again: bool, timeout: float) -> int:
    """Send a run's traces, log records and final metrics to an OTLP endpoint, with their own times and ids.

    RUN is a run id, an unambiguous part of one, `latest`, or a file's path. Spans have the ids that they had when
    they were live, and those that this endpoint has taken before are left out. Of a run that has no end, the open spans
    end at its last event, as errors.

    Example: ralph-otel replay latest --to http://127.0.0.1:4318
    """
    from ralph_otel.replay import replay

    path = journal_of(run)
    sent = replay(path, endpoint, configured(), timeout, again)
    for problem in sent.problems:
        click.echo(f"ralph-otel: {path.stem}: {problem}", err=True)
    if sent.skipped:
        click.echo(f"ralph-otel: {path.stem}: {sent.skipped} spans have been sent there before; --again sends them")
    return 1 if sent.problems else 0
