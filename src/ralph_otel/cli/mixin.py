"""`ralph-otel mixin`: dashboards, recording rules and alerts for one's own thresholds and prefix."""

from __future__ import annotations

from pathlib import Path

import click

from ralph_otel.config import MetricsConfig


@click.command()
@click.option(
    "--output", type=click.Path(file_okay=False, path_type=Path), required=True, help="The folder to write to."
)
@click.option("--prefix", help="How the metrics' names begin; by default as configured, else ralph_loop.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="A threshold, window or address; docs/alerts.md has them.",
)
def command(output: Path, prefix: str | None, settings: tuple[str, ...]) -> None:
    """Write Grafana dashboards and Prometheus rules.

    They go to dashboards/ and rules/ below the folder; what is there by the same name is replaced.

    Example: ralph-otel mixin --output monitoring --set day_budget=50
    """
    from ralph_otel.mixin import dashboard_files, rule_files
    from ralph_otel.mixin.config import MixinConfig, SettingError

    try:
        config = MixinConfig().with_prefix(prefix or MetricsConfig().prefix).with_settings(settings)
        folders = {"dashboards": dashboard_files(config), "rules": rule_files(config)}
    except SettingError as error:
        raise click.UsageError(str(error)) from None
    except ModuleNotFoundError as error:
        missing = str(error.name).partition(".")[0]
        raise click.ClickException(f"{missing} is missing; pip install 'ralph-otel[mixin]' brings it") from None
    for folder, files in folders.items():
        (output / folder).mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (output / folder / name).write_text(text, encoding="utf-8")
            click.echo(output / folder / name)
