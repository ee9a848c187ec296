from __future__ import annotations

import pytest
from metering import Pipeline, forget_notices


@pytest.fixture(autouse=True)
def _new_notices() -> None:
    forget_notices()


@pytest.fixture
def pipeline() -> Pipeline:
    return Pipeline()
