"""What stands before every route: who may ask, and what every answer says to the browser.

The page needs nothing from elsewhere, so its policy allows nothing else: no inline script or style, no frame, no form.
"""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ralph_otel.serving import Admission, Refusal
from ralph_otel.web.answers import line

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_ALWAYS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_METHODS = ("GET", "HEAD")
_NOT_ALLOWED = Refusal(405, "only GET and HEAD: this page changes nothing", {"Allow": ", ".join(_METHODS)})


class Guard:
    """The outermost layer of the application.

    Args:
        app: the rest of it.
        admission: who may ask.
    """

    def __init__(self, app: ASGIApp, admission: Admission) -> None:
        self._app = app
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _ALWAYS.items():
                    headers[name] = value
            await send(message)

        refused = await self._refusal(scope)
        if refused is None:
            await self._app(scope, receive, with_headers)
        else:
            await _refuse(refused, with_headers)

    async def _refusal(self, scope: Scope) -> Refusal | None:
        method, header = scope["method"], Headers(scope=scope).get
        ask = self._admission.refusal
        if header("Authorization"):  # a password takes a tenth of a second to be checked
            refused = await run_in_threadpool(ask, method, header)
        else:
            refused = ask(method, header)
        return refused or (None if method in _METHODS else _NOT_ALLOWED)


async def _refuse(refused: Refusal, send: Send) -> None:
    body = line({"error": refused.text.strip()})
    headers = {**refused.headers, "Content-Type": "application/json", "Content-Length": str(len(body))}
    encoded = [(name.lower().encode(), text.encode()) for name, text in headers.items()]
    await send({"type": "http.response.start", "status": refused.status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})
