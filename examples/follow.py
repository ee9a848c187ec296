"""A program that follows a loop from beside it, event by event, and goes on where it was when it is started again.

    python follow.py [RUN]

It prints each iteration that finishes, and keeps the id of the last event it has seen in the file `follow.last`.
"""

import json
import subprocess
import sys
from pathlib import Path

LAST = Path("follow.last")


def follow(run: str) -> None:
    """Print the iterations of a run as they finish, until it ends."""
    seen = ["--after", LAST.read_text()] if LAST.exists() else [run]
    command = ["ralph-otel", "stream", "--events", "--interval", "200ms", *seen]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as stream:
        assert stream.stdout is not None
        for line in stream.stdout:
            event = json.loads(line)
            if event["type"] == "iteration.finished":
                print(f"iteration {event['iteration']}: {event['outcome']}", flush=True)
            LAST.write_text(event["id"])


if __name__ == "__main__":
    follow(sys.argv[1] if len(sys.argv) > 1 else "latest")
