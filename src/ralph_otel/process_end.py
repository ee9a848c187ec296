"""The end of the process: calling something when all else in it has ended, and what is known to have ended it."""

from __future__ import annotations

import atexit
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial


def call_last(call: Callable[[], object]) -> None:
    """Have something called when the main thread and every other one that is no daemon have ended.

    An `atexit` function comes too late: since Python 3.12 no thread can be started from there, and exporters need some.
    The interpreter waits for a thread, as for every one that is no daemon.
    """
    try:
        threading.Thread(target=partial(_wait_and_call, call), name="ralph-otel-exit", daemon=False).start()
    except (RuntimeError, MemoryError):  # too many threads, or no memory for another
        atexit.register(call)


def _wait_and_call(call: Callable[[], object]) -> None:
    main = threading.main_thread()
    main.join()
    own = threading.current_thread().name  # by name, or two of this kind would wait for each other

    def others() -> list[threading.Thread]:
        return [each for each in threading.enumerate() if not (each.daemon or each is main or each.name == own)]

    while left := others():
        left[0].join()
    call()
    _end_by_interrupt()


def by_error() -> bool:
    """Whether an exception is known to have ended the main thread."""
    return getattr(sys, "last_exc", None) is not None or getattr(sys, "last_type", None) is not None


def _end_by_interrupt() -> None:
    """If a Ctrl-C has ended the program, let the process end by SIGINT, as it would without us: shells go by that.

    CPython keeps a note of it, which any `exec` of a text clears, and the exporters' imports at the end make some, for
    every dataclass does. An `exec` that such an interrupt leaves puts the note back (`run_eval_code_obj`, pythonrun.c).
    """
    if getattr(sys, "last_type", None) is KeyboardInterrupt:
        with suppress(KeyboardInterrupt):
            exec("raise KeyboardInterrupt")
