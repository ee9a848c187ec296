"""The programs between the loops and the figures, with the files that are shipped: agents, a gateway, Prometheus."""

from __future__ import annotations

import re
import secrets
import shutil
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from stack.backends import SHIPPED, Collector, Prometheus
from stack.clients import PrometheusClient
from stack.settings import prometheus_files
from stack.web import get

_CERTIFICATE = (
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -keyout tls.key -out tls.crt "
    "-subj /CN=gateway -addext subjectAltName=IP:127.0.0.1,DNS:localhost"
)
_BY_OTLP = "overlays/gateway-otlp-metrics.yaml"
ROADS: dict[str, tuple[str, ...]] = {
    "otlp": (_BY_OTLP,),
    "otlp-only": (_BY_OTLP, "yaml:service::pipelines::metrics::exporters: [otlp_http/metrics]"),
    "remote-write": ("overlays/gateway-remote-write.yaml",),
    "scrape": (),
}
"""How the figures get from the gateway into Prometheus, and what is laid over the gateway's file to make it so."""


@dataclass(frozen=True)
class Tiers:
    """What runs."""

    agents: tuple[Collector, ...]
    gateway: Collector
    prometheus: Prometheus

    @property
    def client(self) -> PrometheusClient:
        """Prometheus, to be asked."""
        return PrometheusClient(self.prometheus.url)


def start(folder: Path, stack: ExitStack, road: str, agents: int = 2) -> Tiers:
    """Start everything; it stops with the stack.

    Raises:
        StackError: a program cannot be had or does not start.
    """
    folder.mkdir(parents=True)
    subprocess.run(_CERTIFICATE.split(), cwd=folder, check=True, capture_output=True)
    prometheus = Prometheus(folder / "prometheus", folder / "files" / "prometheus.yaml")
    token = secrets.token_hex(16)
    gateway = _gateway(folder, token, prometheus, road)
    scraped = [gateway] if road == "scrape" else []
    prometheus_files(folder / "files", urlsplit(prometheus.url).port or 0, folder / "no-loops", scraped)
    shutil.rmtree(folder / "files" / "rules", ignore_errors=True)  # what they cost depends on which there are
    tier = tuple(_agent(folder, number, token, gateway) for number in range(1, agents + 1))
    for process in (prometheus, gateway, *tier):
        stack.enter_context(process)
    return Tiers(tier, gateway, prometheus)


def _gateway(folder: Path, token: str, prometheus: Prometheus, road: str) -> Collector:
    shipped = SHIPPED / "collector"
    laid_over = (text if text.startswith("yaml:") else shipped / text for text in ROADS[road])
    environment = {
        "GATEWAY_TOKEN": token,
        "GATEWAY_CERT_FILE": str(folder / "tls.crt"),
        "GATEWAY_KEY_FILE": str(folder / "tls.key"),
        "METRICS_OTLP_URL": prometheus.otlp,
        "REMOTE_WRITE_URL": prometheus.remote_write,
    }
    return Collector(folder / "gateway", [shipped / "gateway.yaml", *laid_over], environment, name="gateway")


def _agent(folder: Path, number: int, token: str, gateway: Collector) -> Collector:
    environment = {
        "GATEWAY_TOKEN": token,
        "GATEWAY_ENDPOINT": urlsplit(gateway.otlp_grpc).netloc,
        "GATEWAY_CA_FILE": str(folder / "tls.crt"),
        "TARGETS": str(folder / "no-targets" / "*.json"),
    }
    name = f"agent-{number}"
    return Collector(folder / name, [SHIPPED / "collector" / "agent.yaml"], environment, name=name)


def count(address: str, name: str) -> float:
    """The sum of one of a program's own counters, over its series.

    Args:
        address: host:port of its metrics.
        name: the counter's, without `_total`.

    Raises:
        StackError: it does not answer.
    """
    text = get(f"http://{address}/metrics").decode()
    values = re.findall(rf"^{name}(?:_total)?(?:\{{.*\}})? (\S+)$", text, re.MULTILINE)
    return sum(map(float, values))
