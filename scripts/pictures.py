"""The pictures in `docs/pictures/`: `ralph-otel top`, and the page of `ralph-otel web`, while loops run.

Five loops of the embedded runner work on copies of the demo's project; the agent is the demo's script, no model. One of
them ends, one is killed, three run when the pictures are taken. That takes two minutes. The page is only taken where
Playwright and a Chromium are there.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "pictures"
sys.path.insert(0, str(ROOT / "demo"))

from demo import Demo  # noqa: E402

from ralph_otel.runs import fold, journals  # noqa: E402
from ralph_otel.state import RunState  # noqa: E402
from ralph_otel.views.live import Live  # noqa: E402
from ralph_otel.views.top.app import TopApp  # noqa: E402

LOOPS = {"nightly": 2.0, "refactor": 14.0, "fix-tests": 13.0, "port": 6.0, "roman-numerals": 10.0}
"""The loops, and how many seconds their agents think."""
ENDS, KILLED, SHOWN = "nightly", "port", "roman-numerals"
COMMAND = (
    *("ralph-otel", "loop", "-q", "-n", "12", "--test", "python -m pytest -q", "--resume-args=--continue"),
    *("--name", "{name}", "--", "claude", "-p", "--output-format", "stream-json", "--verbose"),
)
PATIENCE = 240.0
"""Seconds until the loops must be where the pictures show them."""
_FONTS = re.compile(r"@font-face \{.*?\}", re.DOTALL)
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome-stable"))), None)


@contextmanager
def running(folder: Path) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """The loops as processes, by name; they end with the block."""
    processes = {}
    try:
        for name, thinking in LOOPS.items():
            (folder / name).mkdir()
            demo = Demo(folder / name)
            demo.set_up()
            environment = demo.environment | {
                "RALPH_OTEL_HOME": str(folder / "telemetry"),
                "RALPH_OTEL_EXPORT_FORMAT": "none",
                "DEMO_THINKING": str(thinking),
            }
            words = [word.format(name=name) for word in COMMAND]
            nowhere = subprocess.DEVNULL
            processes[name] = subprocess.Popen(
                words, cwd=demo.project, env=environment, stdin=nowhere, stdout=nowhere, stderr=nowhere
            )
            time.sleep(1.1)  # so that their ids, which begin with the second, are in this order
        yield processes
    finally:
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            process.wait(30)


def states(home: Path) -> dict[str, RunState]:
    """Where the loops stand, by name."""
    return {state.name: state for state in (fold(path).run for path in journals(home))}


def ready(home: Path, processes: dict[str, subprocess.Popen[bytes]]) -> bool:
    """Whether the loops are where the pictures show them; the one that is to be killed is killed in its time."""
    known = states(home)
    if len(known) < len(LOOPS):
        return False
    if known[KILLED].total_iterations >= 3:
        processes[KILLED].kill()
    shown = known[SHOWN]
    under_way = [state.started for state in shown.open_iterations.values() if shown.open_agents]
    return (
        known[ENDS].stopped is not None
        and processes[KILLED].poll() is not None
        and shown.total_iterations >= 5
        and any(time.time_ns() - started > 3e9 for started in under_way)
    )


async def take_top(home: Path, processes: dict[str, subprocess.Popen[bytes]]) -> str:
    """`ralph-otel top` as SVG, once the loops are ready."""
    app = TopApp(Live(home), interval=0.5, budget=1.0)
    async with app.run_test(size=(118, 36)) as pilot, asyncio.timeout(PATIENCE):
        while not await asyncio.to_thread(ready, home, processes):
            await pilot.pause(0.5)
        await pilot.pause(2.5)
        return app.export_screenshot(title="ralph-otel top")


def take_page(home: Path) -> None:
    """The page of `ralph-otel web` as PNG: the list, and the run that is shown."""
    playwright = import_module("playwright.sync_api")
    words = ["ralph-otel", "web", "--port", "0"]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    environment = {**os.environ, "PATH": path, "RALPH_OTEL_HOME": str(home), "PYTHONUNBUFFERED": "1"}
    (shown,) = (path.stem for path in journals(home) if fold(path).run.name == SHOWN)
    with subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            (url,) = re.findall(r"http://\S+", server.stderr.readline())
            with playwright.sync_playwright() as play:
                browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
                page = browser.new_page(viewport={"width": 1280, "height": 860}, color_scheme="light")
                for name, path in (("web.png", ""), ("web-run.png", f"runs/{shown}")):
                    page.goto(url.rstrip("/") + "/" + path)
                    playwright.expect(page.locator("main:not([aria-busy])")).to_be_visible()
                    page.wait_for_timeout(1500)
                    page.screenshot(path=PICTURES / name)
                browser.close()
        finally:
            server.terminate()


def main() -> None:
    """Take them all."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ralph-otel-pictures-", ignore_cleanup_errors=True) as folder:
        home = Path(folder) / "telemetry"
        with running(Path(folder)) as processes:
            print(f"{len(LOOPS)} loops have been started; this takes two minutes", flush=True)
            svg = asyncio.run(take_top(home, processes))
            (PICTURES / "top.svg").write_text(_FONTS.sub("", svg), encoding="utf-8")  # nothing from elsewhere
            print(f"written: {PICTURES / 'top.svg'}", flush=True)
            if CHROMIUM is None or find_spec("ralph_otel.web") is None or find_spec("playwright") is None:
                sys.exit("the page was not taken: that needs a Chromium, Playwright and ralph-otel[web]")
            take_page(home)
            print(f"written: {PICTURES / 'web.png'}, {PICTURES / 'web-run.png'}", flush=True)


if __name__ == "__main__":
    main()
