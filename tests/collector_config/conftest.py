"""Real programs for the tests of this folder; each ends with its test."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from real_programs import Collector, Jaeger, Program, Prometheus

Start = Callable[[Program], None]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a program; it ends with the test."""
    with contextlib.ExitStack() as stack:

        def started(program: Program) -> None:
            stack.callback(program.end)
            program.start()

        yield started


@pytest.fixture
def jaeger(tmp_path: Path, start: Start) -> Jaeger:
    """Jaeger, running."""
    made = Jaeger(tmp_path / "jaeger")
    start(made)
    return made


@pytest.fixture
def prometheus(tmp_path: Path, start: Start) -> Callable[..., Prometheus]:
    """Start Prometheus with targets."""

    def started(targets: dict[str, str], loops: Path | None = None) -> Prometheus:
        made = Prometheus(tmp_path / "prometheus", targets, loops)
        start(made)
        return made

    return started


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signs itself, and its key, made as the README of the folder says."""
    folder = tmp_path_factory.mktemp("tls")
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
        "-keyout", "tls.key", "-out", "tls.crt", "-subj", "/CN=gateway",
        "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
    ]  # fmt: skip
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "tls.crt", folder / "tls.key"


@pytest.fixture
def gateway(tmp_path: Path, certificate: tuple[Path, Path], jaeger: Jaeger) -> Callable[..., Collector]:
    """Make a gateway, not started; more environment and overlays may be given."""

    def made(*overlays: str, **environment: str) -> Collector:
        given = {
            "GATEWAY_TOKEN": "the-right-token",
            "GATEWAY_CERT_FILE": str(certificate[0]),
            "GATEWAY_KEY_FILE": str(certificate[1]),
            "JAEGER_ENDPOINT": jaeger.otlp,
            "KEEP_PERCENT": "0",
            **environment,
        }
        return Collector(("gateway.yaml", *overlays), tmp_path / "gateway", given)

    return made


@pytest.fixture
def agent(tmp_path: Path, certificate: tuple[Path, Path], home: Path) -> Callable[..., Collector]:
    """Make an agent of a gateway, not started; more environment and overlays may be given."""

    def made(gateway: Collector, *overlays: str, **environment: str) -> Collector:
        given = {
            "GATEWAY_ENDPOINT": f"127.0.0.1:{gateway.port['OTLP_GRPC_PORT']}",
            "GATEWAY_TOKEN": "the-right-token",
            "GATEWAY_CA_FILE": str(certificate[0]),
            "TARGETS": f"{home}/targets/*.json",
            **environment,
        }
        return Collector(("agent.yaml", *overlays), tmp_path / f"agent{len(list(tmp_path.glob('agent*')))}", given)

    return made
