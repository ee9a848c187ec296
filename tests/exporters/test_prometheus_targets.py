from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from ralph_otel.exporters.prometheus import remove_target, sweep_targets, target_labels, write_target
from support.collecting import Make
from support.ports import free_port


def test_a_target_file_is_what_prometheus_reads(tmp_path: Path) -> None:
    folder = tmp_path / "targets"
    path = write_target(folder, "run-1", ("127.0.0.1", 9464), {"instance": "run-1", "loop.name": "fix-bugs"})
    assert path == folder / "run-1.json"
    assert json.loads(path.read_text()) == [
        {
            "targets": ["127.0.0.1:9464"],
            "labels": {
                "instance": "run-1",
                "loop_name": "fix-bugs",
                "__meta_ralph_host": socket.gethostname(),
                "__meta_ralph_pid": str(os.getpid()),
                "__param_instance": "run-1",
            },
        }
    ]
    assert path.stat().st_mode & 0o777 == 0o644
    assert [each.name for each in folder.iterdir()] == ["run-1.json"]


@pytest.mark.parametrize(
    ("resource", "job"),
    [
        ({"service.name": "night"}, "night"),
        ({"service.name": "night", "service.namespace": "loops"}, "loops/night"),
        ({}, ""),
    ],
)
def test_a_target_has_the_labels_that_a_resource_gets_by_otlp(resource: dict[str, str], job: str) -> None:
    assert target_labels({**resource, "service.instance.id": "run-1"}) == {"job": job, "instance": "run-1"}


def test_the_endpoint_of_a_collector_is_announced_as_its_run(
    home: Path, make_collector: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.namespace=loops")
    address = f"127.0.0.1:{free_port()}"
    collector = make_collector(export_format="prometheus", export_target=address, service_name="night")
    with collector.loop("fix-bugs"):
        assert collector.wait_ready(60)
        [path] = (home / "targets").iterdir()
        [target] = json.loads(path.read_text())
    assert (target["labels"]["job"], target["labels"]["instance"]) == ("loops/night", collector.instance_id)


@pytest.mark.parametrize(
    ("variable", "pushes"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "true"),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "true"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", None),
    ],
)
def test_a_target_says_whether_its_metrics_go_out_by_otlp_too(
    variable: str, pushes: str | None, home: Path, make_collector: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.1")
    collector = make_collector(export_format="prometheus,otlp")
    with collector.loop("fix-bugs"):
        assert collector.wait_ready(60)
        [path] = (home / "targets").iterdir()
        [target] = json.loads(path.read_text())
    assert target["labels"].get("__meta_ralph_pushes") == pushes


@pytest.mark.parametrize(
    ("address", "target"),
    [
        (("::1", 9464), "[::1]:9464"),
        (("0.0.0.0", 9464), "127.0.0.1:9464"),
        (("::", 9464), "[::1]:9464"),
        (("box.example", 1), "box.example:1"),
    ],
)
def test_a_target_is_an_address_to_connect_to(tmp_path: Path, address: tuple[str, int], target: str) -> None:
    assert json.loads(write_target(tmp_path, "x", address, {}).read_text())[0]["targets"] == [target]


def test_an_instance_cannot_leave_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "targets"
    path = write_target(folder, "../../etc/passwd", ("127.0.0.1", 1), {})
    assert path.parent == folder
    remove_target(folder, "../../etc/passwd")
    assert list(folder.iterdir()) == []


def test_removing_what_is_not_there_is_harmless(tmp_path: Path) -> None:
    remove_target(tmp_path, "x")
    remove_target(tmp_path / "missing", "x")


@pytest.fixture
def ended() -> str:
    """The id of a process that is gone."""
    words = [sys.executable, "-c", "import os; print(os.getpid())"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def of_the_dead(folder: Path, ended: str, gone: float | None = None) -> Path:
    """The file of a process that is gone, and was found so at that time."""
    path = write_target(folder, "theirs", ("127.0.0.1", 2), {})
    content = json.loads(path.read_text())
    content[0]["labels"] |= {"__meta_ralph_pid": ended} | ({"__meta_ralph_gone": str(gone)} if gone else {})
    path.write_text(json.dumps(content))
    return path


def test_the_dead_stay_listed_for_an_hour(tmp_path: Path, ended: str) -> None:
    theirs = of_the_dead(tmp_path, ended)
    before = json.loads(theirs.read_text())[0]
    assert sweep_targets(tmp_path) == []
    after = json.loads(theirs.read_text())[0]
    assert time.time() - float(after["labels"].pop("__meta_ralph_gone")) < 60
    assert after == before
    assert theirs.stat().st_mode & 0o777 == 0o644
    assert sweep_targets(tmp_path) == []
    of_the_dead(tmp_path, ended, time.time() - 3500)
    assert sweep_targets(tmp_path) == []
    for gone in (time.time() - 3700, time.time() + 3700):  # or the clock has been set back
        of_the_dead(tmp_path, ended, gone)
        assert sweep_targets(tmp_path) == [theirs]
        assert not theirs.exists()


def test_of_many_dead_the_last_ten_stay(tmp_path: Path, ended: str) -> None:
    for number in range(13):
        of_the_dead(tmp_path, ended, time.time() - 1000 + number).rename(tmp_path / f"{number:02}.json")
    assert sweep_targets(tmp_path) == [tmp_path / f"{number:02}.json" for number in range(3)]


def test_only_the_files_of_processes_that_are_gone_are_swept(tmp_path: Path, ended: str) -> None:
    mine = write_target(tmp_path, "mine", ("127.0.0.1", 1), {})
    theirs = of_the_dead(tmp_path, ended, time.time() - 3700)
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_text(theirs.read_text().replace(socket.gethostname(), "another-container"))
    others = [tmp_path / name for name in ("own.json", "torn.json", "list.json", "pid.json", "note.txt")]
    contents = ('[{"targets": ["a:1"], "labels": {}}]', '[{"tar', "[]", theirs.read_text().replace(ended, "x"), ended)
    for path, content in zip(others, contents, strict=True):
        path.write_text(content)
    assert sweep_targets(tmp_path) == [theirs]
    assert sorted(tmp_path.iterdir()) == sorted([mine, elsewhere, *others])


def test_a_missing_folder_has_nothing_to_sweep(tmp_path: Path) -> None:
    assert sweep_targets(tmp_path / "missing") == []


def test_who_has_the_port_of_a_killed_loop_does_not_answer_for_it(home: Path, make_collector: Make, ended: str) -> None:
    address = f"127.0.0.1:{free_port()}"
    host, _, port = address.partition(":")
    write_target(home / "targets", "killed (ä) & more", (host, int(port)), {"instance": "killed"})
    [killed] = (home / "targets").iterdir()
    killed.write_text(killed.read_text().replace(str(os.getpid()), ended))
    collector = make_collector(export_format="prometheus", export_target=address)
    with collector.loop("fix-bugs"):
        assert collector.wait_ready()
        files = sorted((home / "targets").iterdir())
        assert len(files) == 2
        answers = {path.name: scraped(json.loads(path.read_text())[0]) for path in files}
        assert answers == {killed.name: 410, f"{collector.instance_id}.json": 200}


def scraped(target: dict[str, Any]) -> int:
    """The status that Prometheus gets for a target: it adds the labels `__param_…` to the address."""
    asked = urlencode({"instance": target["labels"]["__param_instance"]})
    try:
        with urlopen(f"http://{target['targets'][0]}/metrics?{asked}", timeout=10) as answer:
            return int(answer.status)
    except HTTPError as error:
        error.close()
        return error.code
