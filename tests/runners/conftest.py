from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

RALPHIFY = "0.3.0"
_CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def foreign_environment() -> Path:
    """The folder of a virtual environment that has ralphify and not ralph-otel; kept for the next session."""
    tag = f"ralphify-{RALPHIFY}-{sys.implementation.cache_tag}"
    environment = _CHECKOUT / ".build" / "environments" / tag
    if not (environment / "ready").exists():
        environment.parent.mkdir(parents=True, exist_ok=True)
        _install(environment)
    return environment


def _install(environment: Path) -> None:
    shutil.rmtree(environment, ignore_errors=True)
    venv.create(environment, with_pip=True)
    pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*pip, f"ralphify=={RALPHIFY}"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"ralphify cannot be installed: {done.stderr.strip().splitlines()[-1:]}")
    (environment / "ready").touch()


@pytest.fixture(params=["same", "foreign"])
def ralph(request: pytest.FixtureRequest) -> str:
    """The path of ralphify's command: in our own environment, and in one where ralph-otel is not installed."""
    if request.param == "same":
        return str(Path(sys.executable).parent / "ralph")
    foreign: Path = request.getfixturevalue("foreign_environment")
    return str(foreign / "bin" / "ralph")
