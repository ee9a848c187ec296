"""`ralph-otel report`: a run as a page, a comment or an object."""

from __future__ import annotations

from pathlib import Path

import click

from ralph_otel.cli._options import home, journal_of, run_argument
from ralph_otel.files import write_atomically

_BY_SUFFIX = {".html": "html", ".htm": "html", ".md": "markdown", ".markdown": "markdown", ".json": "json"}


@click.command()
@run_argument
@click.option(
    "--format",
    "format_",
    type=click.Choice(["html", "markdown", "json"]),
    help="Default: as the output's name ends, else markdown.",
)
@click.option("--output", type=click.Path(dir_okay=False), help="A file instead of standard output.")
def command(run: str, format_: str | None, output: str | None) -> None:
    """What happened in a run, why it stopped, and how it compares with the runs before.

    RUN is a run id, an unambiguous part of one, `latest`, or a file's path. The HTML is one file that needs
    nothing else; the Markdown fits into a comment on a pull request.

    Example: ralph-otel report latest --output report.html
    """
    from ralph_otel.views.report import WRITERS, gather

    path = journal_of(run)
    chosen = format_ or _BY_SUFFIX.get(Path(output or "").suffix.lower(), "markdown")
    report = gather(path, home())
    text = WRITERS[chosen](report)
    if report.folded.bad_lines:
        click.echo(f"ralph-otel: {path.name}: lines skipped: {report.folded.bad_lines}; the report says why", err=True)
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        write_atomically(Path(output), text.encode("utf-8", "replace"), 0o600)
    except OSError as error:
        raise click.ClickException(f"--output: cannot write {output}: {error.strerror}") from None
