"""Files by which Prometheus finds the loops of this machine (`file_sd_configs`, `files: [<folder>/*.json]`).

Several loops run at once, each on the next free port, so no fixed list of targets would do. Each process writes one
file and removes it when it ends, unless a run of it has crashed; what is left behind, the next one sweeps.
"""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil
from opentelemetry.util.types import AnyValue

from ralph_otel.exporters.prometheus.names import label_name
from ralph_otel.exporters.values import encodable
from ralph_otel.files import write_atomically

_HOST, _PID = "__meta_ralph_host", "__meta_ralph_pid"
_SCHEME = "__scheme__"
_PUSHES = "__meta_ralph_pushes"
"""Whose file it is. Prometheus drops `__meta_` labels after relabelling, so they are on no series. The host's name
is there because a folder may be shared: a process id means nothing in another container. A loop that also sends its
metrics by OTLP says so, for one Prometheus should not count it twice: a relabelling rule can drop it."""
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""What to scrape instead of an address that only means all addresses."""


def target_labels(resource: Mapping[str, AnyValue]) -> dict[str, str]:
    """`job` and `instance` as every road by OTLP gives them to a resource's series.

    So a query finds a loop by the same labels whether it is scraped or sends; Prometheus keeps labels that a target
    brings. Source: the OpenTelemetry specification, compatibility/prometheus_and_openmetrics, resource attributes.
    """
    namespace, name = resource.get("service.namespace"), resource.get("service.name")
    job = f"{namespace}/{name}" if namespace else str(name or "")
    return {"job": job, "instance": str(resource.get("service.instance.id") or "")}


def write_target(
    folder: Path,
    instance: str,
    address: tuple[str, int],
    labels: Mapping[str, str],
    pushes: bool = False,
    scheme: str = "http",
) -> Path:
    """Announce an endpoint of this process to Prometheus.

    Args:
        folder: where the files are; made if it is missing.
        instance: what tells this endpoint from all others: the run's id. It names the file.
        address: host and port of the endpoint, as `PrometheusServer.address`.
        labels: for all its series.
        pushes: whether the same metrics go out by OTLP, too.
        scheme: `https` where the endpoint has a certificate.

    Returns:
        The file. Everybody may read it (0644): Prometheus runs as a user of its own.

    Raises:
        OSError: it cannot be written.
    """
    host = _ANY_ADDRESS.get(address[0], address[0])
    target = f"[{host}]:{address[1]}" if ":" in host else f"{host}:{address[1]}"
    own = {_HOST: socket.gethostname(), _PID: str(os.getpid())} | ({_PUSHES: "true"} if pushes else {})
    own |= {_SCHEME: scheme} if scheme != "http" else {}
    named = {label_name(key): encodable(value) for key, value in labels.items()}
    path = _path(folder, instance)
    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps([{"targets": [target], "labels": {**named, **own}}], indent=2)
    write_atomically(path, content.encode(), mode=0o644)
    return path


def remove_target(folder: Path, instance: str) -> None:
    """Take the endpoint back. Harmless where there is none; raises nothing."""
    with suppress(OSError):
        _path(folder, instance).unlink()


def sweep_targets(folder: Path) -> list[Path]:
    """Remove the files of processes of this machine that are gone, and return which; raises nothing.

    Files that `write_target` did not write, or that another host wrote, stay.
    """
    swept = []
    for path in sorted(folder.glob("*.json")):
        pid = _local_pid(path)
        if pid is not None and not psutil.pid_exists(pid):
            with suppress(OSError):
                path.unlink()
                swept.append(path)
    return swept


def _path(folder: Path, instance: str) -> Path:
    return folder / f"{re.sub(r'[^A-Za-z0-9_-]', '_', instance)}.json"


def _local_pid(path: Path) -> int | None:
    """The process that wrote a file; None if it was none of ours, or on another host."""
    try:
        labels = json.loads(path.read_bytes())[0]["labels"]
        pid = int(labels[_PID])
        return pid if labels[_HOST] == socket.gethostname() and 0 < pid < 2**31 else None
    except (OSError, ValueError, LookupError, TypeError):
        return None
