"""`ralph-otel web`: the loops of this machine on a page."""

from __future__ import annotations

import click

from ralph_otel.cli._options import configured


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), help="Default: the first free one of 9475 to 9485; 0: any.")
@click.option("--open", "open_", is_flag=True, help="Open the page in a browser.")
@click.option("-n", "--most", type=click.IntRange(0), default=50, show_default=True, help="Ended runs in the list.")
@click.option("--interval", type=click.FloatRange(0.1), default=0.5, show_default=True, help="Seconds between looks.")
def command(host: str, port: int | None, open_: bool, most: int, interval: float) -> None:
    """The loops that run, and those that ended, live on a page in the browser; until ctrl-C.

    Everything comes from the journals, for loops started in any way. The page needs nothing from elsewhere. Only this
    machine can reach it, unless RALPH_OTEL_WEB_CONFIG has a certificate and passwords. What it shows is also there as
    JSON: /api/openapi.json describes it.

    Example: ralph-otel web --open
    """
    try:
        from ralph_otel.serving import WebConfigError, admit
        from ralph_otel.web.serve import CannotServe, listen, serve, url_of
    except ModuleNotFoundError as error:
        missing = str(error.name).partition(".")[0]
        raise click.ClickException(f"{missing} is missing; pip install 'ralph-otel[web]' brings it") from None
    config = configured()
    try:
        admission = admit(config, host, "page")
        listening = listen(admission.host, port)
    except (CannotServe, WebConfigError) as error:
        raise click.ClickException(str(error)) from None
    url = url_of(listening, admission)

    def ready() -> None:
        click.echo(f"ralph-otel: the loops of {config.home} are at {url} (ctrl-C ends it)", err=True)
        if open_:
            click.launch(url)

    with listening:
        serve(listening, admission, config.home, most, interval, ready)
