"""How much later a process ends because the Collector does not answer.

A loop of three iterations with OTLP for metrics, spans and log records, against the same without OTLP; with a Collector
that refuses connections, and with one that takes them and says nothing more. Wall time from the program's last line to
the end of its process, in turn.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.processes import run
from benchmarks.rounds import alternate, middle
from benchmarks.workload import folder

_LOOP = """
import time
import ralph_otel
collector = ralph_otel.register()
with collector.loop("fix-bugs") as loop:
    for _ in range(3):
        with loop.iteration() as iteration:
            iteration.usage("claude-opus", 10, 300)
collector.wait_ready()
print(time.monotonic(), flush=True)
"""


def measure(quick: bool = False) -> dict[str, float]:
    """Run the loop.

    Returns:
        Seconds added: `refused_s`, `silent_s`; by gRPC: `refused_grpc_s`, `silent_grpc_s`; and `alone_s`, the
        end of the process without OTLP.
    """
    with folder() as home, _port(listen=False) as refused, _port(listen=True) as silent:
        sides = {
            "alone": partial(_seconds, home),
            "refused": partial(_seconds, home, refused),
            "silent": partial(_seconds, home, silent),
        }
        if not quick:
            sides["refused_grpc"] = partial(_seconds, home, refused, "grpc")
            sides["silent_grpc"] = partial(_seconds, home, silent, "grpc")
        took = alternate(sides, 1 if quick else 5)
    alone = middle(took, "alone")
    return {"alone_s": alone, **{f"{name}_s": middle(took, name) - alone for name in took if name != "alone"}}


def _seconds(home: Path, port: int | None = None, protocol: str = "http/protobuf") -> float:
    variables = {"RALPH_OTEL_EXPORT_TARGET": "prometheus=127.0.0.1:0"}
    if port is not None:
        variables["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{port}"
        variables["OTEL_EXPORTER_OTLP_PROTOCOL"] = protocol
    last_line = float(run(_LOOP, home, **variables))
    return time.monotonic() - last_line


@contextmanager
def _port(listen: bool) -> Iterator[int]:
    """A port that is ours: nobody listens on it, or the kernel takes connections and nobody ever answers."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        if listen:
            taken.listen(64)
        yield taken.getsockname()[1]
