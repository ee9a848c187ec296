"""Where metrics go besides OTLP: the Prometheus endpoint, StatsD, files."""

from __future__ import annotations

import http.client
import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from ralph_otel.config import MetricsConfig, MetricsExportFormat, address_of, is_textfile
from ralph_otel.doctor.findings import Finding, Subject, ok, problem, warning
from ralph_otel.exporters.statsd import parse_target
from ralph_otel.notices import shown
from ralph_otel.serving import WebConfig, WebConfigError, read_web_config
from ralph_otel.serving.admission import LOOPBACK, REMEDY, missing

_PORTS = range(9464, 9475)
"""The ports that are tried where none is configured."""
_PATIENCE = 1.0
"""Seconds for whoever answers on a port."""
_TEST = b"ralph_otel.doctor.test:1|c"


def prometheus(subject: Subject) -> Iterator[Finding]:
    """The endpoint's port: free, or who is there."""
    if not _wanted(subject.config, MetricsExportFormat.PROMETHEUS):
        return
    target = subject.config.target(MetricsExportFormat.PROMETHEUS)
    if target is None:
        yield from _any_port("127.0.0.1")
    elif (address := address_of(target)) is not None:
        yield from _given(subject.config, *address)
    elif not is_textfile(target):
        yield problem(f"the target {shown(target)} is neither an address nor a file", "write HOST:PORT, or FILE.prom")


def _given(config: MetricsConfig, host: str, port: int) -> Iterator[Finding]:
    try:
        web = read_web_config(config.web_config) if config.web_config is not None else WebConfig()
    except WebConfigError as error:
        yield problem(f"no endpoint: {error}", "mend it, or set RALPH_OTEL_WEB_CONFIG to another file, or to nothing")
        return
    lacks = missing(web, host)
    if lacks and config.web_insecure:
        yield warning(f"others reach {shown(host)} without {lacks}: web_insecure is true", REMEDY.partition(", or")[0])
    elif lacks:
        yield problem(f"others could reach {shown(host)} without {lacks}; it will listen on {LOOPBACK} instead", REMEDY)
        host = LOOPBACK
    yield from _port(host, port)


def _wanted(config: MetricsConfig, format_: MetricsExportFormat) -> bool:
    return config.enabled and format_ in config.export_format


def _any_port(host: str) -> Iterator[Finding]:
    taken: list[str] = []
    for port in _PORTS:
        reason = _obstacle(host, port)
        if reason is None:
            by = f"; taken before it: {', '.join(taken)}" if taken else ""
            yield ok(f"port {port} on {host} is free for the next loop{by}")
            return
        taken.append(f"{port} ({_who(host, port)})")
    yield problem(
        f"ports {_PORTS[0]} to {_PORTS[-1]} are all taken: {', '.join(taken)}",
        "end what is not needed, or set RALPH_OTEL_EXPORT_TARGET=prometheus=127.0.0.1:PORT",
    )


def _port(host: str, port: int) -> Iterator[Finding]:
    if port == 0:
        yield ok(f"any free port on {host}")
    elif (reason := _obstacle(host, port)) is None:
        yield ok(f"port {port} on {host} is free for the next loop")
    elif (who := _who(host, port)) == _US:
        yield warning(f"port {port} on {host} is taken by {who}", "another loop at the same time needs another port")
    else:
        what = f"taken by {who}" if who else reason
        yield problem(f"port {port} on {host}: {what}", "set RALPH_OTEL_EXPORT_TARGET=prometheus=HOST:PORT to another")


def _obstacle(host: str, port: int) -> str | None:
    """Why we cannot listen there; None if we can."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        with closing(socket.socket(family, socket.SOCK_STREAM)) as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind((host, port))
            server.listen()
    except (OSError, UnicodeError) as error:
        return getattr(error, "strerror", None) or str(error)
    return None


_US = "ralph-otel"


def _who(host: str, port: int) -> str:
    """Who answers on a port; "" where nobody does."""
    connection = http.client.HTTPConnection(host, port, timeout=_PATIENCE)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
    except ConnectionRefusedError:
        return ""
    except (OSError, http.client.HTTPException):
        return "something that speaks no HTTP"
    finally:
        connection.close()
    server = answer.getheader("Server") or ""
    if server.startswith(_US):
        return _US
    return f"an HTTP server, {shown(server)[1:-1]}" if server else "an HTTP server"


def statsd(subject: Subject) -> Iterator[Finding]:
    """The StatsD server's name and port; one counter is sent there."""
    if not _wanted(subject.config, MetricsExportFormat.STATSD):
        return
    target = subject.config.target(MetricsExportFormat.STATSD) or "127.0.0.1:8125"
    try:
        host, port = parse_target(target)
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    except (ValueError, OSError) as error:
        text = error.strerror or "" if isinstance(error, OSError) else str(error)
        yield problem(f"{shown(target)}: {text}", "set RALPH_OTEL_EXPORT_TARGET=statsd=HOST:PORT")
        return
    if _refused(family, address):
        yield problem(f"nothing listens at {host}:{port}", "start the server, or set RALPH_OTEL_EXPORT_TARGET=statsd=…")
    else:
        yield ok(f"{host}:{port} is {address[0]}; a counter ralph_otel.doctor.test was sent, UDP says no more")


def _refused(family: int, address: tuple[str | int, ...] | tuple[int, bytes]) -> bool:
    """Whether the machine there says that nothing listens. Only some say so, and not at once."""
    with closing(socket.socket(family, socket.SOCK_DGRAM)) as client:
        client.settimeout(0.3)
        try:
            client.connect(address)
            client.send(_TEST)
            client.recv(1)
        except TimeoutError:
            return False
        except OSError:
            return True
    return False


def files(subject: Subject) -> Iterator[Finding]:
    """The files that metrics are written to: whether they can be."""
    for format_ in (MetricsExportFormat.PROMETHEUS, MetricsExportFormat.JSON, MetricsExportFormat.CONSOLE):
        target = subject.config.target(format_) if _wanted(subject.config, format_) else None
        if target is None or (format_ is MetricsExportFormat.PROMETHEUS and not is_textfile(target)):
            continue
        path = Path(target).expanduser()
        if not path.parent.is_dir():
            yield problem(f"{format_}: the folder of {path} is not there", f"mkdir -p {path.parent}")
        elif path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
            yield problem(f"{format_}: {path} cannot be written", "choose another file, or change its permissions")
        else:
            yield ok(f"{format_}: {path} can be written")
