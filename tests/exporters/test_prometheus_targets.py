from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

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


def test_only_the_files_of_processes_that_are_gone_are_swept(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True
    ).stdout.strip()
    mine = write_target(tmp_path, "mine", ("127.0.0.1", 1), {})
    theirs = write_target(tmp_path, "theirs", ("127.0.0.1", 2), {})
    theirs.write_text(theirs.read_text().replace(str(os.getpid()), ended))
    elsewhere = write_target(tmp_path, "elsewhere", ("127.0.0.1", 3), {})
    elsewhere.write_text(theirs.read_text().replace(socket.gethostname(), "another-container"))
    others = [tmp_path / name for name in ("own.json", "torn.json", "list.json", "pid.json", "note.txt")]
    contents = ('[{"targets": ["a:1"], "labels": {}}]', '[{"tar', "[]", theirs.read_text().replace(ended, "x"), ended)
    for path, content in zip(others, contents, strict=True):
        path.write_text(content)
    assert sweep_targets(tmp_path) == [theirs]
    assert sorted(tmp_path.iterdir()) == sorted([mine, elsewhere, *others])


def test_a_missing_folder_has_nothing_to_sweep(tmp_path: Path) -> None:
    assert sweep_targets(tmp_path / "missing") == []
