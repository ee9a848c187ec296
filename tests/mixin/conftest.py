"""Rules are judged by `promtool`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from incidents import GROUPS, rules_of

from ralph_otel.mixin.config import MixinConfig
from support import promtool as support

Judge = Callable[..., None]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need a program of Prometheus belong to `make integration`."""
    for item in items:
        if {"promtool", "prometheus"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.integration)


@pytest.fixture(scope="session")
def promtool() -> Path:
    """The program; without it the test is skipped."""
    found = support.find("promtool")
    if found is None:
        pytest.skip("promtool is not here: install Prometheus, or let `make e2e` build it")
    return found


@pytest.fixture(scope="session")
def prometheus() -> Path:
    """The server; without it the test is skipped."""
    found = support.find("prometheus")
    if found is None:
        pytest.skip("prometheus is not here: install it, or let `make e2e` build it")
    return found


@pytest.fixture
def judge(promtool: Path, tmp_path: Path) -> Judge:
    """Hold a scene against the rules, of the defaults unless another configuration is given."""

    def hold(scene: support.Scene, config: MixinConfig | None = None) -> None:
        verdict = support.verdict(promtool, tmp_path, rules_of(config or MixinConfig()), scene, GROUPS)
        assert verdict == "", verdict

    return hold
