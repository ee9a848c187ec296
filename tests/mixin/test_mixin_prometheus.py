"""A real Prometheus takes the rules, and every query of every dashboard."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from ralph_otel.mixin import dashboard_files, rule_files
from ralph_otel.mixin.config import MixinConfig
from support.dashboards import PanelQuery, queries
from support.ports import free_port
from support.waiting import until

QUERIES = [query for text in dashboard_files(MixinConfig()).values() for query in queries(text)]


@pytest.fixture(scope="module")
def address(prometheus: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prometheus with our rules, which scrapes itself."""
    folder = tmp_path_factory.mktemp("prometheus")
    for name, text in rule_files(MixinConfig().with_settings(["interval=1s"])).items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "prometheus.yml").write_text("rule_files: ['ralph-*.yaml']\n", encoding="utf-8")
    where = f"127.0.0.1:{free_port()}"
    command: list[str | Path] = [
        prometheus,
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=data",
        f"--web.listen-address={where}",
    ]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        until(lambda: _ready(where), 30)
        yield where
    finally:
        server.terminate()
        server.wait(10)


def _ready(where: str) -> bool:
    try:
        with urlopen(f"http://{where}/-/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def ask(where: str, query: PanelQuery) -> dict[str, Any]:
    """What Prometheus answers, an error included."""
    now = time.time()
    at = {"time": now} if query.instant else {"start": now - 3600, "end": now, "step": 60}
    path = "query" if query.instant else "query_range"
    try:
        with urlopen(f"http://{where}/api/v1/{path}?{urlencode({'query': query.expr, **at})}", timeout=30) as answer:
            return dict(json.load(answer))
    except HTTPError as error:
        return dict(json.load(error))


def test_it_takes_every_query_of_every_dashboard(address: str) -> None:
    assert len(QUERIES) > 120
    answers = {query: ask(address, query) for query in QUERIES}
    assert {query: answer for query, answer in answers.items() if answer["status"] != "success"} == {}


def test_it_has_loaded_every_rule_and_evaluates_it_without_an_error(address: str) -> None:
    def rules() -> list[dict[str, Any]]:
        with urlopen(f"http://{address}/api/v1/rules", timeout=10) as answer:
            return [rule for group in json.load(answer)["data"]["groups"] for rule in group["rules"]]

    until(lambda: all(rule["health"] != "unknown" for rule in rules()), 30)
    every = rules()
    assert len(every) > 60
    assert [rule["name"] for rule in every if rule["health"] != "ok"] == []
