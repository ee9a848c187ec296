"""`ralph-otel hook`: what Claude Code tells its hooks, into a journal.

Claude Code waits for a hook, and shows what it prints to the model or to a person. So this one is quick (it imports
little, and nothing of the OpenTelemetry packages), prints nothing, and exits with 0 whatever happens. What was asked,
what a tool was given and what it answered are never written.

Standard library only, Python 3.9 and later.
"""

from __future__ import annotations

import os

LIMIT = 1 << 20
"""The most that is read of a hook's input, in bytes."""
PATIENCE = 2.0
"""Seconds after which a hook gives up, whatever it waits for."""


def is_call(arguments: list[str]) -> bool:
    """Whether a command line (without the program) is a hook's call rather than a person's."""
    try:
        return arguments == ["hook"] and not os.isatty(0)
    except OSError:
        return True


def main() -> None:
    """Handle one hook: its JSON comes on standard input. Ends the process."""
    try:
        _give_up_after(PATIENCE)
        from ralph_otel.hooks.handling import handle

        handle(_read(), os.environ)
    except BaseException:  # noqa: BLE001, S110 — whatever it is: Claude Code must not notice
        pass
    _leave()


def _read() -> bytes:
    data = b""
    while len(data) < LIMIT:
        piece = os.read(0, LIMIT - len(data))
        if not piece:
            break
        data += piece
    return data


def _give_up_after(seconds: float) -> None:
    import signal

    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, lambda number, frame: _leave())
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _leave() -> None:
    """End at once: nothing is to be flushed, and nothing that could still fail is to be run."""
    os._exit(0)


if __name__ == "__main__":
    main()
