"""Rules are judged by `promtool`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from incidents import GROUPS, rules_of

from ralph_otel.mixin.config import MixinConfig
from support import promtool as support
from support.programs import program

Judge = Callable[..., None]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need a program of Prometheus belong to `make e2e`; the time to build it is not theirs."""
    for item in items:
        if {"promtool", "prometheus"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.timeout(120, func_only=True))


@pytest.fixture(scope="session")
def promtool() -> Path:
    """The program that checks and tries rules."""
    return program("promtool")


@pytest.fixture(scope="session")
def prometheus() -> Path:
    """The server."""
    return program("prometheus")


@pytest.fixture
def judge(promtool: Path, tmp_path: Path) -> Judge:
    """Hold a scene against the rules, of the defaults unless another configuration is given."""

    def hold(scene: support.Scene, config: MixinConfig | None = None) -> None:
        verdict = support.verdict(promtool, tmp_path, rules_of(config or MixinConfig()), scene, GROUPS)
        assert verdict == "", verdict

    return hold
