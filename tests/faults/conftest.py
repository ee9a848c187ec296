"""What every fault needs."""

from __future__ import annotations

from pathlib import Path

import pytest
from fault_scene import Scene

from support.receiver import Received


@pytest.fixture
def scene(tmp_path: Path, receiver: Received) -> Scene:
    """A machine of its own, with a receiver that takes everything."""
    return Scene(tmp_path / "scene", receiver)
