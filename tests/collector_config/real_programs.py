"""The Collector, Prometheus and Jaeger themselves, started with the files of `collector-config/` on free ports."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from shipped_files import COLLECTOR, FOLDER, environment

from support.ports import free_port
from support.waiting import until

PORTS = ("OTLP_GRPC_PORT", "OTLP_HTTP_PORT", "STATSD_PORT", "PROMETHEUS_PORT", "HEALTH_PORT", "TELEMETRY_PORT")


def program(name: str) -> str:
    """Where a program is: in the folder STACK_BIN, else on PATH. A test that needs one that is nowhere is skipped."""
    path = shutil.which(name, path=os.environ.get("STACK_BIN")) or shutil.which(name)
    if path is None:
        pytest.skip(f"no {name} here: put it on PATH, or its folder into STACK_BIN")
    return path


def get(url: str, **parameters: str) -> Any:
    """The answer to a request, as JSON if it is; None while nobody answers."""
    query = "?" + urllib.parse.urlencode(parameters) if parameters else ""
    try:
        with urllib.request.urlopen(url + query, timeout=10) as response:
            text = response.read().decode()
    except (OSError, urllib.error.URLError):
        return None
    return json.loads(text) if text.startswith(("{", "[")) else text


class Program:
    """A process that says by HTTP when it is ready.

    Args:
        command: what is run.
        ready: the address that answers once it is.
        log: the file for what it prints.
        environment: besides PATH.
        cwd: its working directory.
    """

    def __init__(
        self, command: list[str], ready: str, log: Path, environment: Mapping[str, str], cwd: Path | None = None
    ) -> None:
        self._command, self._ready, self._log, self._cwd = command, ready, log, cwd
        self._environment = {"PATH": os.environ["PATH"], "HOME": str(log.parent), **environment}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, also once more, and wait until it is ready."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self._cwd
            )
        until(lambda: self._is_ready(self._process), 60, f"for {self._command[0]}")

    def _is_ready(self, process: subprocess.Popen[bytes] | None) -> bool:
        assert process is not None
        assert process.poll() is None, f"it ended:\n{self.said()[-3000:]}"
        return get(self._ready) is not None

    def end(self, number: int = signal.SIGTERM) -> None:
        """End it, if it runs: by SIGKILL, say."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(30)
            self._process = None

    def said(self) -> str:
        """What it has printed."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""


class Collector(Program):
    """A collector with a shipped file, and with overlays on it; every port is a free one.

    Args:
        files: the file and its overlays, below `collector-config/collector/`.
        folder: for its queue and its log.
        environment: what the file asks for.
    """

    def __init__(self, files: tuple[str, ...], folder: Path, environment: Mapping[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = {name: free_port() for name in PORTS}
        self.storage = folder / "storage"
        given = {name: str(port) for name, port in self.port.items()}
        given |= {"STORAGE_DIR": str(self.storage), "LOGS_FILE": str(folder / "logs.jsonl"), **environment}
        configurations = [word for file in files for word in ("--config", str(COLLECTOR / file))]
        super().__init__(
            [program("otelcol"), *configurations],
            f"http://127.0.0.1:{self.port['HEALTH_PORT']}/",
            folder / "log",
            given,
        )

    def own(self, name: str) -> float:
        """The sum of one of the collector's metrics of itself."""
        text = get(f"http://127.0.0.1:{self.port['TELEMETRY_PORT']}/metrics") or ""
        lines = re.findall(rf"^{name}(?:_total)?(?:{{.*)? .*$", text, re.M)
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


class Jaeger(Program):
    """Jaeger with the shipped settings for one machine, but on free ports; its traces are in memory."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        settings = {
            name: re.sub(r":\d+$", lambda _: f":{free_port()}", value)
            for name, value in environment("local.env").items()
        }
        self.otlp = settings["COLLECTOR_OTLP_GRPC_HOST_PORT"]
        self.url = f"http://{settings['QUERY_HTTP_SERVER_HOST_PORT']}"
        super().__init__([program("jaeger")], f"http://{settings['ADMIN_HTTP_HOST_PORT']}/", folder / "log", settings)

    def trace(self, trace_id: str) -> list[dict[str, Any]]:
        """The spans of a trace; none if Jaeger does not have it."""
        answer = get(f"{self.url}/api/traces/{trace_id}")
        return [span for trace in (answer or {}).get("data") or [] for span in trace["spans"]]


class Prometheus(Program):
    """Prometheus with the shipped file, in a folder where it finds collectors and loops.

    Args:
        folder: for its files and its data.
        targets: addresses by port's name, `metrics` and `telemetry`, of collectors to scrape.
        loops: the folder of the loops' target files, if loops are scraped.
    """

    def __init__(self, folder: Path, targets: Mapping[str, str], loops: Path | None = None) -> None:
        (folder / "collectors").mkdir(parents=True)
        text = (FOLDER / "prometheus" / "prometheus.yaml").read_text(encoding="utf-8")
        (folder / "prometheus.yaml").write_text(text.replace("_interval: 15s", "_interval: 1s"))
        groups = [
            {"targets": [address], "labels": {"__meta_collector_port": name}} for name, address in targets.items()
        ]
        (folder / "collectors" / "c.yaml").write_text(json.dumps(groups))
        if loops is not None:
            (folder / "loops").symlink_to(loops)
        address = f"127.0.0.1:{free_port()}"
        self.url = f"http://{address}"
        command = [
            program("prometheus"), f"--config.file={folder}/prometheus.yaml", f"--web.listen-address={address}",
            f"--storage.tsdb.path={folder}/data", "--web.enable-otlp-receiver", "--web.enable-remote-write-receiver",
            "--enable-feature=exemplar-storage",
        ]  # fmt: skip
        super().__init__(command, f"{self.url}/-/ready", folder / "log", {})

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an instant query, each with `metric` and `value`."""
        answer = get(f"{self.url}/api/v1/query", query=expression)
        series: list[dict[str, Any]] = answer["data"]["result"] if answer else []
        return series

    def value(self, expression: str) -> float | None:
        """The value of the only series; None if there is none."""
        series = self.query(expression)
        assert len(series) <= 1, series
        return float(series[0]["value"][1]) if series else None

    def exemplars(self, expression: str) -> list[str]:
        """The traces that the exemplars of series lead to."""
        answer = get(f"{self.url}/api/v1/query_exemplars", query=expression, start="0", end=str(time.time() + 60))
        return [
            each["labels"]["trace_id"] for series in (answer or {"data": []})["data"] for each in series["exemplars"]
        ]
