"""Rules are judged by `promtool`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from incidents import GROUPS, RECORDING, rules_of

from ralph_otel.mixin.config import MixinConfig
from support import promtool as support

Judge = Callable[..., None]


@pytest.hookimpl(tryfirst=True)  # before the one that gives such tests their time
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need a program of Prometheus belong to `make e2e`."""
    for item in items:
        if {"promtool", "prometheus"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def promtool(programs: dict[str, Path]) -> Path:
    """The program that checks and tries rules."""
    return programs["promtool"]


@pytest.fixture(scope="session")
def prometheus(programs: dict[str, Path]) -> Path:
    """The server."""
    return programs["prometheus"]


@pytest.fixture
def count(promtool: Path, tmp_path: Path) -> Callable[[support.Scene], None]:
    """Hold a scene against the recording rules alone."""

    def hold(scene: support.Scene) -> None:
        rules = {"recording.yaml": rules_of(MixinConfig())["recording.yaml"]}
        verdict = support.verdict(promtool, tmp_path, rules, scene, RECORDING)
        assert verdict == "", verdict

    return hold


@pytest.fixture
def judge(promtool: Path, tmp_path: Path) -> Judge:
    """Hold a scene against the rules, of the defaults unless another configuration is given."""

    def hold(scene: support.Scene, config: MixinConfig | None = None) -> None:
        verdict = support.verdict(promtool, tmp_path, rules_of(config or MixinConfig()), scene, GROUPS)
        assert verdict == "", verdict

    return hold
