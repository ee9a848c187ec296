from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.register_assert_rewrite("workplace")

from environments import environment_of  # noqa: E402 — after the registration

RALPHIFY = "0.3.0"


@pytest.fixture(scope="session")
def foreign_environment() -> Path:
    """The folder of a virtual environment that has ralphify and not ralph-otel; kept for the next session."""
    return environment_of("ralphify", RALPHIFY)


@pytest.fixture(params=["same", "foreign"])
def ralph(request: pytest.FixtureRequest) -> str:
    """The path of ralphify's command: in our own environment, and in one where ralph-otel is not installed."""
    if request.param == "same":
        return str(Path(sys.executable).parent / "ralph")
    foreign: Path = request.getfixturevalue("foreign_environment")
    return str(foreign / "bin" / "ralph")
