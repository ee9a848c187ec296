"""`ralph-otel catalog`: every metric and event there is."""

from __future__ import annotations

import click

from ralph_otel import reference
from ralph_otel.config import MetricsConfig

_WRITERS = {
    "table": reference.metrics_table,
    "json": reference.metrics_json,
    "markdown": reference.metrics_markdown,
}


@click.command()
@click.option("--format", "format_", type=click.Choice([*_WRITERS, "schema"]), default="table", show_default=True)
def command(format_: str) -> None:
    """Every metric: its name here and in Prometheus, kind, unit, attributes, meaning.

    `--format schema` gives the JSON Schema of a journal line instead.

    Example: ralph-otel catalog --format json | jq -r '.[].prometheus'
    """
    if format_ == "schema":
        click.echo(reference.journal_schema())
    else:
        click.echo(_WRITERS[format_](MetricsConfig().prefix))
