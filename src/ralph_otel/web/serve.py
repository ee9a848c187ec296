"""The server: where it listens, how it starts and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn

from ralph_otel.serving import Admission
from ralph_otel.web.feed import Feed
from ralph_otel.web.library import Library
from ralph_otel.web.routes import application

PORT, LAST_PORT = 9475, 9485
"""The ports that are tried in turn where none is given: after those of the Prometheus endpoints."""
_FILES = 8192
"""File handles that are asked for: each reader takes one, and many systems allow 1,024."""
_BACKLOG = 1024
_GARBAGE = 50_000
"""Objects after which Python looks for unused ones: a journal makes many that stay, and looking costs a tenth."""
_CLOSING = 2
"""Seconds that answers still under way have when the server ends."""


class CannotServe(Exception):
    """The server cannot be started; the text says why, in one line."""


def listen(host: str, port: int | None) -> socket.socket:
    """A socket that listens.

    Args:
        host: an address or a name of this machine.
        port: the port; 0: any free one; None: the first free one of ours.

    Raises:
        CannotServe: the port is in use, or the address is not ours.
    """
    ports = range(PORT, LAST_PORT + 1) if port is None else [port]
    try:
        family, _, _, _, address = socket.getaddrinfo(host, ports[0], type=socket.SOCK_STREAM)[0]
        for each in ports:
            with contextlib.suppress(_InUse):
                return _bound(family, (str(address[0]), each))
    except (OSError, UnicodeError) as error:
        raise CannotServe(f"cannot listen on {host}: {getattr(error, 'strerror', None) or error}") from error
    tried = f"port {port} is" if port is not None else f"ports {PORT} to {LAST_PORT} are all"
    raise CannotServe(f"{tried} in use on {host}; --port takes another, 0 any free one")


class _InUse(Exception):
    pass


def _bound(family: socket.AddressFamily, address: tuple[str, int]) -> socket.socket:
    listening = socket.socket(family)
    try:
        if os.name == "posix":  # elsewhere it would let two servers have the same port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise _InUse from error
        raise
    return listening


def url_of(listening: socket.socket, admission: Admission) -> str:
    """Where the page is."""
    host, port = listening.getsockname()[:2]
    scheme = "http" if admission.tls is None else "https"
    return f"{scheme}://[{host}]:{port}/" if ":" in host else f"{scheme}://{host}:{port}/"


def serve(
    listening: socket.socket, admission: Admission, home: Path, most: int, interval: float, ready: Callable[[], None]
) -> None:
    """Serve until the process is told to stop, by ctrl-C say.

    Args:
        listening: from `listen`.
        admission: who may ask, and with which certificate it answers.
        home: the folder of the journals.
        most: ended runs that are shown.
        interval: seconds between two looks at the journals.
        ready: called when it answers.
    """
    _more_files()
    gc.set_threshold(_GARBAGE)
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn stops at the first, and then passes it on
        asyncio.run(_serve(listening, admission, Library(home, most), interval, ready))


async def _serve(
    listening: socket.socket, admission: Admission, library: Library, interval: float, ready: Callable[[], None]
) -> None:
    feed = Feed(library, interval)
    config = uvicorn.Config(
        application(library, feed, admission),
        log_config=None,
        log_level="error",
        access_log=False,
        lifespan="on",
        http="h11",
        ws="none",
        loop="asyncio",
        server_header=False,
        timeout_graceful_shutdown=_CLOSING,
    )
    config.load()
    config.ssl = admission.tls.context() if admission.tls is not None else None
    await _Server(config, feed, ready).serve([listening])


class _Server(uvicorn.Server):
    """One that says when it answers, and does not wait for readers that never end by themselves."""

    def __init__(self, config: uvicorn.Config, feed: Feed, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._feed = feed
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._feed.close()
        await super().shutdown(sockets)


def _more_files() -> None:
    """Let this process have as many readers at once as the system allows it."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
