"""The addresses: pages, their files, the API and the events."""

from __future__ import annotations

import contextlib
import hashlib
import time
from asyncio import create_task, to_thread
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib import resources
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from ralph_otel.runs import RunError
from ralph_otel.serving import Admission
from ralph_otel.views.report.comparison import compare as find_earlier
from ralph_otel.web import answers, compared
from ralph_otel.web.feed import Feed
from ralph_otel.web.guard import Guard
from ralph_otel.web.library import Library

PAGE = 40
"""Iterations in an answer, unless asked otherwise."""
MOST_ITERATIONS = 500
_FILES = resources.files(__package__)
_REVALIDATE = {"Cache-Control": "no-cache"}

Question = Callable[[Library, Request], Any]


def application(library: Library, feed: Feed, admission: Admission) -> Starlette:
    """The application.

    Args:
        library: the journals.
        feed: what changes in them.
        admission: who may ask.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        looking = create_task(feed.run())
        yield
        looking.cancel()
        library.close()

    return Starlette(
        routes=[
            Route("/", _page),
            Route("/runs/{run:path}", _page),
            Route("/compare", _page),
            Mount("/static", _Files(packages=[(__package__, "static")])),
            Route("/api/openapi.json", _openapi),
            Route("/api/runs", _answering(library, _runs)),
            Route("/api/runs/{run:path}/iterations", _answering(library, _iterations)),
            Route("/api/runs/{run:path}/earlier", _earlier(library)),
            Route("/api/runs/{run:path}", _answering(library, _run)),
            Route("/api/compare", _answering(library, _compare)),
            Route("/api/events", _events(feed)),
        ],
        middleware=[
            Middleware(Guard, admission=admission),
            Middleware(GZipMiddleware, minimum_size=2000, compresslevel=5),
        ],
        exception_handlers={HTTPException: _problem, RunError: _problem, OSError: _problem},
        lifespan=lifespan,
    )


class _Files(StaticFiles):
    """The page's files; a browser asks each time whether they have changed, which they do with the version."""

    def file_response(self, *arguments: Any, **more: Any) -> Response:
        response = super().file_response(*arguments, **more)
        response.headers.update(_REVALIDATE)
        return response


async def _page(request: Request) -> Response:
    with resources.as_file(_FILES.joinpath("static", "index.html")) as path:
        return FileResponse(path, headers=_REVALIDATE)


async def _openapi(request: Request) -> Response:
    return _json(request, _FILES.joinpath("openapi.json").read_bytes())


async def _problem(request: Request, error: Exception) -> Response:
    """An error as one line; the page shows it."""
    status = error.status_code if isinstance(error, HTTPException) else 404 if isinstance(error, RunError) else 500
    text = error.detail if isinstance(error, HTTPException) else str(error)
    return Response(answers.line({"error": text}), status, media_type="application/json")


def _json(request: Request, body: bytes) -> Response:
    """An answer, or word that the browser has it already."""
    tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    headers = {**_REVALIDATE, "ETag": tag}
    if tag in request.headers.get("If-None-Match", ""):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


def _answering(library: Library, question: Question) -> Callable[[Request], Awaitable[Response]]:
    """A route that answers with what the library says to the question."""

    async def answer(request: Request) -> Response:
        return _json(request, await library.ask(lambda books: answers.line(question(books, request))))

    return answer


# -- the API; openapi.json has what each answer holds ------------------------------------------------------------------


def _runs(library: Library, request: Request) -> Any:
    library.poll()
    rows = library.rows()
    return {
        "home": str(library.home),
        "reading": library.reading,
        "errors": library.errors,
        "runs": [answers.summary(row) for row in rows],
    }


def _run(library: Library, request: Request) -> Any:
    journal, run = library.run(request.path_params["run"])
    return answers.detail(journal, library.row(run))


def _iterations(library: Library, request: Request) -> Any:
    _, run = library.run(request.path_params["run"])
    before = _whole(request, "before", None, 0, 2**53)
    most = _whole(request, "most", PAGE, 1, MOST_ITERATIONS)
    return answers.iterations(run, time.time_ns(), before, most or PAGE)


def _compare(library: Library, request: Request) -> Any:
    asked = [request.query_params.get(name, "") for name in ("a", "b")]
    if not all(asked):
        raise HTTPException(400, "a and b must be given: the two runs")
    return compared.beside(*(library.row(library.run(key)[1]) for key in asked))


def _earlier(library: Library) -> Callable[[Request], Awaitable[Response]]:
    """The runs before one. They may be many and long: others are not kept waiting for it."""

    async def answer(request: Request) -> Response:
        _, run = await library.ask(Library.run, request.path_params["run"])
        comparison = await to_thread(find_earlier, run.state, library.home)
        told = await library.ask(lambda books: compared.with_earlier(run, books.row(run).metrics, comparison))
        return _json(request, answers.line(told))

    return answer


def _events(feed: Feed) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        last = request.headers.get("Last-Event-ID") or request.query_params.get("last")
        only = frozenset(request.query_params.getlist("run"))
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        if request.method == "HEAD":
            return Response(media_type="text/event-stream", headers=headers)
        return StreamingResponse(feed.events(last, only), media_type="text/event-stream", headers=headers)

    return answer


def _whole(request: Request, name: str, default: int | None, least: int, most: int) -> int | None:
    """A whole number from the address.

    Raises:
        HTTPException: it is none, or out of bounds.
    """
    text = request.query_params.get(name)
    if text is None:
        return default
    if text.isascii() and text.isdecimal() and len(text) < 20 and least <= int(text) <= most:
        return int(text)
    raise HTTPException(400, f"{name} must be a whole number from {least} to {most}")
