"""The programs with their command lines, addresses and configuration.

Each listens on 127.0.0.1 only, on its well-known ports where `preferred` is asked for and they are free.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from stack.ports import HOST, free_port
from stack.processes import Process
from stack.programs import find

SHIPPED = Path(__file__).parents[1] / "collector-config"
"""What users copy, and what is started here."""


def _port(number: int, preferred: bool) -> int:
    return free_port(number if preferred else 0)


class Collector(Process):
    """The Collector, with a file of `collector-config/collector/` or one like it.

    Args:
        folder: its own: its log, its queue, the file of log records.
        configs: configuration files, or `yaml:` texts, each laid over those before.
        environment: what the configuration asks for, besides ports and folders.
        preferred: whether well-known ports are tried first.
        name: for messages and the log.
    """

    def __init__(
        self,
        folder: Path,
        configs: Sequence[Path | str],
        environment: Mapping[str, str] | None = None,
        preferred: bool = False,
        name: str = "collector",
    ) -> None:
        ports = {
            "OTLP_GRPC_PORT": 4317,
            "OTLP_HTTP_PORT": 4318,
            "STATSD_PORT": 8125,
            "PROMETHEUS_PORT": 8889,
            "HEALTH_PORT": 13133,
            "TELEMETRY_PORT": 8888,
        }
        chosen = {variable: _port(number, preferred) for variable, number in ports.items()}
        at = {variable: f"{HOST}:{number}" for variable, number in chosen.items()}
        self.otlp = f"http://{at['OTLP_HTTP_PORT']}"
        """OTLP by HTTP."""
        self.otlp_grpc = f"http://{at['OTLP_GRPC_PORT']}"
        self.statsd = at["STATSD_PORT"]
        self.metrics = at["PROMETHEUS_PORT"]
        """The exporter that Prometheus scrapes, host:port; so is the next."""
        self.telemetry = at["TELEMETRY_PORT"]
        """Its own metrics."""
        self.logs = folder / "logs.jsonl"
        """Log records, as OTLP in JSON, a line a batch."""
        own = {
            **{variable: str(number) for variable, number in chosen.items()},
            "BIND_ADDRESS": HOST,
            "STORAGE_DIR": str(folder / "storage"),
            "LOGS_FILE": str(self.logs),
        }
        command = [str(find("otelcol")), *(f"--config={config}" for config in configs)]
        super().__init__(name, command, folder, f"http://{at['HEALTH_PORT']}/", {**own, **(environment or {})})


class Prometheus(Process):
    """Prometheus, which takes OTLP and remote write, and keeps exemplars.

    Args:
        folder: its own: its log, its data.
        config: its configuration file.
        preferred: whether its well-known port is tried first.
        features: of `--enable-feature`, besides exemplars.
        name: for messages and the log.
    """

    def __init__(
        self,
        folder: Path,
        config: Path,
        preferred: bool = False,
        features: Sequence[str] = (),
        name: str = "prometheus",
    ) -> None:
        self.port = _port(9090, preferred)
        at = f"{HOST}:{self.port}"
        self.url = f"http://{at}"
        self.otlp = f"{self.url}/api/v1/otlp"
        """OTLP by HTTP, metrics only; exporters put /v1/metrics behind it."""
        self.remote_write = f"{self.url}/api/v1/write"
        command = [
            str(find("prometheus")),
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={at}",
            "--web.enable-otlp-receiver",
            "--web.enable-remote-write-receiver",
            "--web.enable-lifecycle",
            f"--enable-feature={','.join(['exemplar-storage', *features])}",
        ]
        super().__init__(name, command, folder, f"{self.url}/-/ready")


class Jaeger(Process):
    """Jaeger with the shipped settings for one machine, which keep traces in memory, but on ports that are free.

    Args:
        folder: its own: its log.
        preferred: whether the ports of the settings are tried first.
    """

    def __init__(self, folder: Path, preferred: bool = False) -> None:
        lines = (SHIPPED / "jaeger" / "local.env").read_text(encoding="utf-8").splitlines()
        settings = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
        for name, value in settings.items():
            if name.endswith("_HOST_PORT"):
                settings[name] = f"{HOST}:{_port(int(value.rpartition(':')[2]), preferred)}"
        self.url = f"http://{settings['QUERY_HTTP_SERVER_HOST_PORT']}"
        self.otlp_grpc = settings["COLLECTOR_OTLP_GRPC_HOST_PORT"]
        """OTLP by gRPC, host:port."""
        ready = f"http://{settings['ADMIN_HTTP_HOST_PORT']}/"
        # Its traces are in memory, so nothing is lost by impatience; it waits for clients long gone.
        super().__init__("jaeger", [str(find("jaeger"))], folder, ready, settings, patience=1.0)


class NodeExporter(Process):
    """node_exporter with nothing but its textfile collector.

    Args:
        folder: its own: its log.
        textfiles: the folder whose `*.prom` it shows.
    """

    def __init__(self, folder: Path, textfiles: Path) -> None:
        self.metrics = f"{HOST}:{free_port()}"
        """What Prometheus scrapes, host:port."""
        command = [
            str(find("node_exporter")),
            "--collector.disable-defaults",
            "--collector.textfile",
            f"--collector.textfile.directory={textfiles}",
            f"--web.listen-address={self.metrics}",
        ]
        super().__init__("node_exporter", command, folder, f"http://{self.metrics}/")
