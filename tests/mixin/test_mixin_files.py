"""The generated files: not stale, whole, and such that Prometheus and Grafana take them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ralph_otel.mixin import alerts, dashboard_files, rule_files
from ralph_otel.mixin.config import MixinConfig
from ralph_otel.mixin.pages import checked_in
from support.dashboards import panels

ROOT = Path(__file__).parent.parent.parent
GENERATED = checked_in()
DASHBOARDS = {name: json.loads(text) for name, text in dashboard_files(MixinConfig()).items()}
UNITS = {"short", "s", "percent", "percentunit", "currencyUSD", "bytes"}
EVERY_ALERT = [alert for group in alerts.groups(MixinConfig()).values() for alert in group]


@pytest.mark.parametrize("name", GENERATED)
def test_a_generated_file_is_not_stale(name: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == GENERATED[name], f"{name} is stale; `make docs` writes it anew"


def test_no_generated_file_is_left_over() -> None:
    folders = ("collector-config/grafana/dashboards", "collector-config/prometheus/rules")
    there = {str(path.relative_to(ROOT)) for folder in folders for path in (ROOT / folder).glob("*.*")}
    assert there == {name for name in GENERATED if name.startswith(folders)}


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    pages = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "runbooks").glob("*.md")}
    assert set(pages) == {alert.name for alert in EVERY_ALERT}
    for alert in EVERY_ALERT:
        page = pages[alert.name]
        assert page.startswith(f"# {alert.name}\n")
        for part in ("What it means.", "What is at stake.", "Look at", "What to do.", "If it is a false alarm."):
            assert f"**{part}" in page, f"{alert.name}: {part}"
        for setting in alert.settings:
            assert setting in page or setting == "stuck_quantile", f"{alert.name}: {setting}"


def test_a_runbook_and_an_alert_name_only_settings_that_exist() -> None:
    known = {name for name, _, _ in MixinConfig.settings()}
    for path in (ROOT / "docs" / "runbooks").glob("*.md"):
        for setting in re.findall(r"--set (\w+)=", path.read_text(encoding="utf-8")):
            assert setting in known, path.name
    assert {setting for alert in EVERY_ALERT for setting in alert.settings} <= known


def test_every_threshold_is_used_by_an_alert() -> None:
    elsewhere = {"runbook_url", "grafana_url", "interval", "patience", "gap"}
    used = {setting for alert in EVERY_ALERT for setting in alert.settings}
    assert {name for name, _, _ in MixinConfig.settings()} - elsewhere == used


@pytest.mark.parametrize("setting", [name for name, default, _ in MixinConfig.settings()])
def test_a_setting_changes_the_rules(setting: str) -> None:
    default = {name: value for name, value, _ in MixinConfig.settings()}[setting]
    other = {int: "7", float: "0.5"}.get(type(default), "elsewhere" if setting.endswith("url") else "90s")
    config = MixinConfig().with_settings([f"{setting}={other}"])
    assert rule_files(config) != rule_files(MixinConfig())


@pytest.mark.parametrize("prefix", ["ralph_loop", "agents.loop"])
def test_prometheus_takes_the_rules(promtool: Path, tmp_path: Path, prefix: str) -> None:
    for name, text in rule_files(MixinConfig(prefix=prefix)).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    done = subprocess.run([promtool, "check", "rules", *tmp_path.glob("*.yaml")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", DASHBOARDS)
class TestDashboard:
    def test_it_has_an_address_that_stays(self, name: str) -> None:
        assert f"{DASHBOARDS[name]['uid']}.json" == name

    def test_panels_have_ids_of_their_own_and_do_not_overlap(self, name: str) -> None:
        every = DASHBOARDS[name]["panels"]
        assert len({panel["id"] for panel in every}) == len(every)
        taken: set[tuple[int, int]] = set()
        for panel in every:
            at = panel["gridPos"]
            cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
            assert not cells & taken, panel["title"]
            assert at["x"] + at["w"] <= 24, panel["title"]
            taken |= cells

    def test_a_panel_says_what_it_shows_in_a_unit_and_by_the_chosen_data_source(self, name: str) -> None:
        for panel in panels(DASHBOARDS[name]):
            assert panel["title"]
            assert panel["description"].endswith("."), panel["title"]
            assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
            assert panel["fieldConfig"]["defaults"]["noValue"], panel["title"]
            assert panel["datasource"]["uid"] in ("${datasource}", "${traces}")
            for target in panel["targets"]:
                assert target.get("expr") or target.get("tags"), panel["title"]
            assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])

    def test_its_variables_are_asked_of_the_chosen_data_source(self, name: str) -> None:
        variables = {each["name"]: each for each in DASHBOARDS[name]["templating"]["list"]}
        assert variables["datasource"]["type"] == "datasource"
        assert "job" in variables
        for each in variables.values():
            if each["type"] == "query":
                assert each["datasource"]["uid"] == "${datasource}"
                assert each["refresh"] == 2

    def test_it_leads_to_all_others(self, name: str) -> None:
        links = {link["url"] for link in DASHBOARDS[name]["links"]}
        assert links == {f"/d/{other.removesuffix('.json')}" for other in DASHBOARDS if other != name}


def test_a_loops_name_in_a_table_leads_to_its_own_page() -> None:
    tables = [panel for each in DASHBOARDS.values() for panel in panels(each) if _links(panel)]
    assert len(tables) >= 8
    for table in tables:
        assert _links(table) == [
            "/d/ralph-loop?${__url_time_range}&${datasource:queryparam}"
            "&var-job=${__data.fields.job:percentencode}&var-loop=${__value.raw:percentencode}"
        ]
        columns = next(each["options"] for each in table["transformations"] if each["id"] == "organize")
        assert {"loop", "job"} <= set(columns["renameByName"].values())
    variables = {each["name"]: each for each in DASHBOARDS["ralph-loop.json"]["templating"]["list"]}
    assert not variables["job"]["multi"]
    assert not variables["loop"]["multi"]


def _links(panel: dict[str, Any]) -> list[str]:
    overrides = panel["fieldConfig"]["overrides"]
    properties = [each for override in overrides for each in override["properties"] if each["id"] == "links"]
    return [link["url"] for each in properties for link in each["value"]]


def test_durations_have_exemplars_and_a_loop_its_traces() -> None:
    targets = [target for panel in panels(DASHBOARDS["ralph-loop.json"]) for target in panel["targets"]]
    assert any(target.get("exemplar") for target in targets if "iteration_duration" in target.get("expr", ""))
    search = next(target for target in targets if target.get("queryType") == "search")
    assert search["tags"] == 'ralph.loop.name="$loop"'


def test_nothing_but_its_command_imports_the_mixin() -> None:
    source = ROOT / "src" / "ralph_otel"
    importing = [
        path.relative_to(source).as_posix()
        for path in source.rglob("*.py")
        if "ralph_otel.mixin" in path.read_text(encoding="utf-8")
    ]
    assert [path for path in importing if not path.startswith("mixin/")] == ["cli/mixin.py"]


def test_its_libraries_are_imported_only_when_it_writes() -> None:
    libraries = "{'yaml', 'grafana_foundation_sdk'} & {*sys.modules}"
    code = f"import sys, ralph_otel.cli.mixin, ralph_otel.mixin; print(sorted({libraries}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("[]\n", "")
