"""`ralph-otel doctor`: what hinders telemetry here."""

from __future__ import annotations

import json
import os

import click

from ralph_otel.version import __version__

_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="An object instead of lines.")
@click.option("-q", "--quiet", is_flag=True, help="Only what is not in order.")
@click.option("--strict", is_flag=True, help="Exit with 1 where there is a warning, too.")
def command(as_json: bool, quiet: bool, strict: bool) -> int:
    """Look at the environment, the configuration, the endpoints and the journals, and say what to do.

    To the endpoints that are configured one metric, one span and one log record are really sent; their names say that
    they are a test. Secrets are not shown. The exit code is 1 where there is a problem; warnings are none.

    Example: ralph-otel doctor

    Example: ralph-otel doctor --quiet --strict || exit
    """
    from ralph_otel.doctor import Level, examine

    found = [(result.check, finding) for result in examine() for finding in result.findings]
    count = {level: sum(finding.level is level for _, finding in found) for level in Level}
    if quiet:
        found = [(check, finding) for check, finding in found if finding.level is not Level.OK]
    if as_json:
        document = {
            "ralph_otel": __version__,
            "problems": count[Level.PROBLEM],
            "warnings": count[Level.WARNING],
            "findings": [
                {"check": check, "level": finding.level.value, "text": finding.text, "remedy": finding.remedy or None}
                for check, finding in found
            ],
        }
        click.echo(json.dumps(document, indent=2))
    else:
        for check, finding in found:
            level = click.style(f"{finding.level.value:8}", fg=_COLOURS[finding.level])
            text = f"{level}{check}: {finding.text}" + (f" → {finding.remedy}" if finding.remedy else "")
            click.echo(text, color=False if os.environ.get("NO_COLOR") else None)
        click.echo(f"{_number(count[Level.PROBLEM], 'problem')}, {_number(count[Level.WARNING], 'warning')}.")
    return 1 if count[Level.PROBLEM] or (strict and count[Level.WARNING]) else 0


def _number(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"
