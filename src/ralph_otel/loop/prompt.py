"""The prompt file, read anew for every iteration, because its owner mends it while the loop runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ralph_otel.loop.options import OptionError


class Prompt:
    """A prompt file that can be read.

    Args:
        path: the file.
        say: takes the line for the user when it cannot be read any more.

    Raises:
        OptionError: it is missing, empty, or cannot be read.
    """

    def __init__(self, path: Path, say: Callable[[str], None]) -> None:
        self._path = path
        self._say = say
        self._content = _read(path)
        self._said = ""

    def read(self) -> bytes:
        """Its content now; where that cannot be had, what was read last."""
        try:
            self._content = _read(self._path)
            self._said = ""
        except OptionError as error:
            if error.problem != self._said:
                self._say(f"{error.problem}; the prompt read before is used")
            self._said = error.problem
        return self._content


def _read(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise OptionError("prompt", f"{path} is no file; name the file that holds the prompt")
        content = path.read_bytes()
    except FileNotFoundError:
        raise OptionError("prompt", f"{path} does not exist; write the prompt into it, or name another file") from None
    except OSError as error:
        raise OptionError("prompt", f"{path} cannot be read: {error.strerror}; mend that, or name another") from None
    if not content.strip():
        raise OptionError("prompt", f"{path} is empty; write the prompt into it")
    return content
