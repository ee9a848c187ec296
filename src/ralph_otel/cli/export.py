"""`ralph-otel export`: the figures of a run, from its journal."""

from __future__ import annotations

from pathlib import Path

import click

from ralph_otel.cli._options import configured, journal_of, run_argument
from ralph_otel.config import MetricsConfig, MetricsExportFormat
from ralph_otel.files import write_atomically
from ralph_otel.runs import Folded, fold

_FORMATS = [format_.value for format_ in MetricsExportFormat if format_ is not MetricsExportFormat.NONE]


@click.command()
@run_argument
@click.option("--format", "format_", type=click.Choice(_FORMATS), help="Default: as configured, else prometheus.")
@click.option("--output", type=click.Path(dir_okay=False, writable=True), help="A file instead of standard output.")
def command(run: str, format_: str | None, output: str | None) -> None:
    """The figures of a run as text.

    RUN is a run id, an unambiguous part of one, `latest`, or a file's path. A run that has not ended is taken as
    it stood at its last event.

    Example: ralph-otel export latest --format json
    """
    config = configured()
    chosen = MetricsExportFormat(format_ or _configured(config))
    path = journal_of(run)
    folded, text = _figures(path, config, chosen)
    _say_problems(path, folded)
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        write_atomically(Path(output), text.encode(), 0o600)
    except OSError as error:
        raise click.ClickException(f"--output: cannot write {output}: {error.strerror}") from None


def _configured(config: MetricsConfig) -> str:
    return next((format_.value for format_ in config.export_format if format_.value in _FORMATS), "prometheus")


def _figures(path: Path, config: MetricsConfig, chosen: MetricsExportFormat) -> tuple[Folded, str]:
    """A journal's figures in a format; the series are made by the same pipeline as those of a running loop."""
    if chosen is MetricsExportFormat.JSON:
        folded = fold(path)
        return folded, folded.states.metrics().to_json() + "\n"
    from ralph_otel.exporters.formats import text
    from ralph_otel.recorder.pipeline import Pipeline

    pipeline = Pipeline(config, path.stem, list, dict, export=False)
    folded = fold(path, pipeline.record)
    pipeline.end_batch()
    return folded, text(chosen, folded.states.metrics(), pipeline.snapshot())


def _say_problems(path: Path, folded: Folded) -> None:
    for problem in folded.bad:
        click.echo(f"ralph-otel: {path.name}: a line is skipped: {problem}", err=True)
    if folded.bad_lines > len(folded.bad):
        click.echo(f"ralph-otel: {path.name}: {folded.bad_lines} lines are skipped in all", err=True)
    if folded.torn:
        click.echo(f"ralph-otel: {path.name}: the last line has no end and is left out", err=True)
