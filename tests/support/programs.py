"""The programs of `stack/` for a test: found, or built the first time, which takes minutes."""

from __future__ import annotations

from pathlib import Path

import pytest
from stack.errors import CannotBuild
from stack.programs import find


def program(name: str) -> Path:
    """A program by its name in `stack.programs`; where it cannot be had, the test is skipped with the reason."""
    try:
        return find(name)
    except CannotBuild as error:
        pytest.skip(str(error))
