"""`ralph-otel mixin`: dashboards and rules into a folder."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from command_line import call

from ralph_otel.mixin import dashboard_files, rule_files
from ralph_otel.mixin.config import MixinConfig


def files_in(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in folder.rglob("*.*")}


def expected(config: MixinConfig) -> dict[str, str]:
    dashboards = {f"dashboards/{name}": text for name, text in dashboard_files(config).items()}
    return {**dashboards, **{f"rules/{name}": text for name, text in rule_files(config).items()}}


def test_it_writes_every_file_and_says_which(tmp_path: Path) -> None:
    result = call("mixin", "--output", str(tmp_path / "new" / "folder"))
    assert (result.code, result.err) == (0, "")
    files = files_in(tmp_path / "new" / "folder")
    assert files == expected(MixinConfig())
    assert sorted(result.out.split()) == sorted(str(tmp_path / "new" / "folder" / name) for name in files)


def test_it_takes_a_prefix_and_settings(tmp_path: Path) -> None:
    result = call("mixin", "--output", str(tmp_path), "--prefix", "mine", "--set", "gap=6h", "--set", "day_budget=7")
    assert result.code == 0
    assert files_in(tmp_path) == expected(MixinConfig("mine").with_settings(["gap=6h", "day_budget=7"]))


def test_the_configured_prefix_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RALPH_OTEL_PREFIX", "mine")
    assert call("mixin", "--output", str(tmp_path)).code == 0
    assert files_in(tmp_path) == expected(MixinConfig("mine"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--set", "nothing=1"), "ralph-otel: 'nothing=1' sets nothing; give NAME=VALUE"),
        (("--set", "gap=soon"), "ralph-otel: gap: 'soon' will not do; it takes a duration"),
        (("--prefix", "9"), "ralph-otel: prefix: '9' will not do"),
    ],
)
def test_a_wrong_setting_is_one_line_and_nothing_is_written(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    result = call("mixin", "--output", str(tmp_path / "out"), *arguments)
    assert result.code == 2
    assert result.err.splitlines()[-1].startswith(said)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("missing", ["yaml", "grafana_foundation_sdk"])
def test_without_the_extra_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    for name in list(sys.modules):
        if name.startswith((missing, "ralph_otel.mixin.rules", "ralph_otel.mixin.dashboards")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    result = call("mixin", "--output", str(tmp_path / "out"))
    assert result.code == 1
    assert result.err == f"ralph-otel: {missing} is missing; pip install 'ralph-otel[mixin]' brings it\n"
