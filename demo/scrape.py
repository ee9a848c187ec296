"""Some lines of what a running loop tells Prometheus. Finds the loop as Prometheus does, by the files in `targets/`.

python demo/scrape.py
"""

from __future__ import annotations

import json
import re
import sys
import time
import urllib.request

from ralph_otel import journal

PATIENCE = 30.0
SHOWN = re.compile(
    r"ralph_loop_(iterations_total|active_iterations|iteration_age_seconds|tests\{.*(passing|failing)|test_pass_ratio|"
    r"test_failure_streak|files_changed_total|commits_total|tokens_total|cost_USD_total)"
)
FAILED = re.compile(r'^ralph_loop_iterations_total\{.*ralph_outcome="failure".* [1-9]', re.MULTILINE)
RUNNING = re.compile(r"^ralph_loop_iteration_age_seconds\{.* (0\.[5-9]|[1-9])", re.MULTILINE)
"""The moment that is worth showing: an iteration has failed, and the next one runs."""


def endpoints() -> list[str]:
    """The addresses of the loops that run on this machine."""
    found = []
    for path in sorted((journal.home() / "targets").glob("*.json")):
        try:
            found += [f"http://{target}/metrics" for target in json.loads(path.read_text())[0]["targets"]]
        except (OSError, ValueError):  # it has just ended
            continue
    return found


def scrape(url: str) -> str:
    """What is there; "" where nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            text: str = answer.read().decode()
            return text
    except OSError:
        return ""


def main() -> None:
    """Wait for the moment, and show it."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for url in endpoints():
            text = scrape(url)
            if FAILED.search(text) and RUNNING.search(text):
                print(f"\n# some of the lines of {url}, now:")
                print("\n".join(sorted(line for line in text.splitlines() if SHOWN.match(line))) + "\n", flush=True)
                return
        time.sleep(0.1)
    sys.exit(f"scrape: no running loop with a failed iteration within {PATIENCE:g} seconds")


if __name__ == "__main__":
    main()
