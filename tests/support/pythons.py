"""Pythons of other versions than the one that runs the tests."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

VERSIONS = ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14")
"""Those that a runner may have."""
OLDER = ("2.7", "3.6", "3.7", "3.8")
"""Those that a runner may not have: nothing may be seen of us in them."""


@cache
def python(version: str) -> str | None:
    """That Python, from the path or from pyenv, if it is here and works."""
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    candidates = [shutil.which(f"python{version}"), *map(str, sorted(pyenv.glob(f"{version}.*/bin/python")))]
    for candidate in filter(None, candidates):
        asked = subprocess.run(
            [candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
            capture_output=True,
            text=True,
            check=False,
        )
        if asked.stdout.strip() == version:
            return candidate
    return None


def needed(version: str) -> str:
    """That Python; the test is skipped where it is not here."""
    return python(version) or pytest.skip(f"there is no Python {version} here")
