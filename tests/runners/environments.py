"""Virtual environments that have a runner and not ralph-otel; made once, and kept for the next session."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

_KEPT = Path(__file__).parents[2] / ".build" / "environments"


def environment_of(distribution: str, version: str) -> Path:
    """The folder of the environment with that distribution. The test is skipped where it cannot be installed."""
    environment = _KEPT / f"{distribution}-{version}-{sys.implementation.cache_tag}"
    if not (environment / "ready").exists():
        environment.parent.mkdir(parents=True, exist_ok=True)
        _install(environment, f"{distribution}=={version}")
    return environment


def _install(environment: Path, requirement: str) -> None:
    shutil.rmtree(environment, ignore_errors=True)
    venv.create(environment, with_pip=True)
    pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*pip, requirement], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"{requirement} cannot be installed: {done.stderr.strip().splitlines()[-1:]}")
    (environment / "ready").touch()
