"""Files by which Prometheus finds the loops of this machine (`file_sd_configs`, `files: [<folder>/*.json]`).

Several loops run at once, each on the next free port, so no fixed list of targets would do. Each process writes one
file and removes it when it ends, unless a run of it has crashed. What is left behind stays listed, for a target that
does not answer is how Prometheus learns of a killed loop; an hour after another process has found it, it is swept.

The port of the dead may be another loop's by then. So Prometheus says whom it asks, `/metrics?instance=RUN`, and an
endpoint answers for itself only.
"""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from opentelemetry.util.types import AnyValue

from ralph_otel.exporters.prometheus.names import label_name
from ralph_otel.exporters.values import encodable
from ralph_otel.files import write_atomically

_HOST, _PID = "__meta_ralph_host", "__meta_ralph_pid"
_GONE = "__meta_ralph_gone"
"""When it was found that the process is gone, in Unix seconds."""
_SCHEME = "__scheme__"
_ASKED = "__param_instance"
"""What Prometheus adds to the address as `?instance=`."""
_PUSHES = "__meta_ralph_pushes"
"""Whose file it is. Prometheus drops `__meta_` labels after relabelling, so they are on no series. The host's name
is there because a folder may be shared: a process id means nothing in another container. A loop that also sends its
metrics by OTLP says so, for one Prometheus should not count it twice: a relabelling rule can drop it."""
_LISTED = 3600.0
"""Seconds that the dead stay listed: as long as the alert about a loop that vanished goes on by default."""
_MOST = 10
"""And so many of them at a time: a loop that is started and killed again and again."""
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""What to scrape instead of an address that only means all addresses."""

Content = list[dict[str, Any]]
"""What is in a file."""


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
    own[_ASKED] = encodable(instance)
    named = {label_name(key): encodable(value) for key, value in labels.items()}
    path = _path(folder, instance)
    folder.mkdir(parents=True, exist_ok=True)
    _write(path, [{"targets": [target], "labels": {**named, **own}}])
    return path


def remove_target(folder: Path, instance: str) -> None:
    """Take the endpoint back. Harmless where there is none; raises nothing."""
    with suppress(OSError):
        _path(folder, instance).unlink()


def sweep_targets(folder: Path) -> list[Path]:
    """Remove the files of processes of this machine that were found gone long ago, and return which; raises nothing.

    Those that are found now are marked, and stay for an hour, but no more than the last ten. Files that `write_target`
    did not write, or that another host wrote, stay.
    """
    now = time.time()
    dead = sorted(_found_gone(folder, now), reverse=True)
    # A clock that was set back is no reason to wait.
    swept = [path for number, (gone, path) in enumerate(dead) if abs(now - gone) >= _LISTED or number >= _MOST]
    for path in swept:
        with suppress(OSError):
            path.unlink()
    return sorted(swept)


def _found_gone(folder: Path, now: float) -> Iterator[tuple[float, Path]]:
    """The files of the dead, and when each was found so, in Unix seconds: those that are found now are marked."""
    for path in folder.glob("*.json"):
        with suppress(OSError):
            content = _of_the_dead(path)
            if content is None:
                continue
            labels = content[0]["labels"]
            if _GONE not in labels:
                labels[_GONE] = str(now)
                _write(path, content)
            yield _seconds(labels[_GONE]), path


def _write(path: Path, content: Content) -> None:
    write_atomically(path, json.dumps(content, indent=2).encode(), mode=0o644)


def _path(folder: Path, instance: str) -> Path:
    return folder / f"{re.sub(r'[^A-Za-z0-9_-]', '_', instance)}.json"


def _of_the_dead(path: Path) -> Content | None:
    """What is in a file of ours whose process is gone; None if it was none of ours, or on another host, or lives.

    Raises:
        OSError: it cannot be read.
    """
    try:
        content: Content = json.loads(path.read_bytes())
        labels = content[0]["labels"]
        pid = int(labels[_PID])
        ours = labels[_HOST] == socket.gethostname() and 0 < pid < 2**31
    except (ValueError, LookupError, TypeError):
        return None
    return content if ours and not psutil.pid_exists(pid) else None


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
