"""Virtual environments that have a runner and not ralph-otel; made once, and kept for the next session."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

import pytest

from support.kept import kept


def environment_of(distribution: str, version: str) -> Path:
    """The folder of the environment with that distribution. The test is skipped where it cannot be installed."""
    return environment_with(distribution, [f"{distribution}=={version}"])


def environment_with(name: str, requirements: Sequence[str], python: str = sys.executable) -> Path:
    """The folder of an environment with these, made anew when they change.

    Args:
        name: what it is called.
        requirements: as for pip.
        python: the Python that it is made with.
    """

    def make(folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([python, "-m", "venv", str(folder)], check=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        done = subprocess.run([*pip, *requirements], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"{requirements} cannot be installed: {done.stderr.strip().splitlines()[-1:]}")

    return kept(f"{name}-{sys.implementation.cache_tag}", " ".join(requirements), make)


def on_top_of(folder: Path, *environments: Path) -> Path:
    """A fresh environment, made at a folder, that finds the packages of others: those of the first one first."""
    venv.create(folder, symlinks=True)
    [packages] = folder.glob("lib/python*/site-packages")
    below = [str(each) for environment in environments for each in environment.glob("lib/python*/site-packages")]
    lines = [f"import site; site.addsitedir({path!r})" for path in below]
    (packages / "below.pth").write_text("\n".join([*lines, ""]))
    return folder
