"""A receiver of OTLP by HTTP that takes requests or does not, as dice fall, and keeps what it has taken."""

from __future__ import annotations

import random
import threading
from collections import Counter, defaultdict
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from benchmarks.soak.figures import COST_UNIT
from ralph_otel.exporters.delivery import payload

_PHASE = (2.0, 12.0)
"""Seconds that a phase lasts, at the least and at the most."""
_UP = 0.6
"""Of the phases, those in which every request is taken; in half of the others each request has a fault of its own."""
_HANG = 5.0
"""Seconds that a request is held which is never answered."""


@dataclass(frozen=True)
class Fault:
    """How a request is answered.

    Args:
        status: HTTP status; 0: no answer at all.
        taken: whether what is in it is kept.
        part: whether the last of its spans are left out, and the answer says so.
        hang: hold the request before the connection ends.
        cut: announce a longer answer than comes.
        headers: further ones.
    """

    status: int = 200
    taken: bool = False
    part: bool = False
    hang: bool = False
    cut: bool = False
    headers: tuple[tuple[str, str], ...] = ()


TAKEN = Fault(taken=True)
FAULTS: dict[str, Fault] = {
    "refused": Fault(0),
    "hangs": Fault(0, hang=True),
    "503": Fault(503),
    "503, Retry-After": Fault(503, headers=(("Retry-After", "2"),)),
    "429, Retry-After": Fault(429, headers=(("Retry-After", "1"),)),
    "502": Fault(502),
    "partial success": Fault(taken=True, part=True),
    "cut, not taken": Fault(0),
    "cut, though taken": Fault(0, taken=True),
    "cut in the answer": Fault(taken=True, cut=True),
}
"""`refused` closes the port, for a whole phase."""


class Store:
    """What was taken.

    Attributes:
        spans: the ids of all spans.
        rejected: those of spans that were left out, and the sender told so.
        twice: spans that came more than once.
        counts: instance and figure to its largest value; a counter that is cumulative never goes back.
        answers: how many requests were answered how.
    """

    def __init__(self) -> None:
        self.spans: set[int] = set()
        self.rejected: set[int] = set()
        self.twice = 0
        self.answers: Counter[str] = Counter()
        self.logs = 0
        self._points: dict[str, dict[tuple[str, ...], float]] = defaultdict(dict)
        self._lock = threading.Lock()

    def take(self, signal: str, body: bytes, part: bool) -> int:
        """Keep a request's items, without the last third of the spans if only a `part` is taken. Returns the others."""
        request: Any = payload.parsed(signal, body)  # type: ignore[arg-type]  # it is one of the three
        with self._lock:
            if signal == "metrics":
                self._take_metrics(request)
            elif signal == "traces":
                return self._take_spans(request, part)
            else:
                self.logs += payload.count("logs", request)
        return 0

    def _take_spans(self, request: Any, part: bool) -> int:
        ids = [int.from_bytes(span.span_id, "big") for span in payload.items("traces", request)]
        left = ids[len(ids) - len(ids) // 3 :] if part else []
        self.rejected.update(left)
        kept = ids[: len(ids) - len(left)]
        before = len(self.spans)
        self.spans.update(kept)
        self.twice += len(kept) - (len(self.spans) - before)
        return len(left)

    def _take_metrics(self, request: Any) -> None:
        for of_resource in request.resource_metrics:
            instance = _texts(of_resource.resource.attributes).get("service.instance.id", "")
            points = self._points[instance]
            for scope in of_resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.sum.data_points if metric.HasField("sum") else ():
                        value = point.as_int if point.HasField("as_int") else point.as_double
                        labels = _texts(point.attributes)
                        key = (metric.name, *(f"{name}={labels[name]}" for name in sorted(labels)))
                        points[key] = max(value, points.get(key, 0))

    def counts(self, instance: str) -> dict[str, float]:
        """The figures of one instance, of all its loops."""
        counts: dict[str, float] = defaultdict(float)
        for (metric, *labels), value in self._points.get(instance, {}).items():
            said = dict(label.split("=", 1) for label in labels)
            if metric == "ralph_loop.iterations":
                counts[said["ralph.outcome"]] += value
            elif metric == "ralph_loop.tokens":
                counts[f"{said['gen_ai.token.type']} tokens"] += value
            elif metric == "ralph_loop.cost":
                counts["cost"] += value * COST_UNIT
            elif metric == "ralph_loop.test_runs":
                counts[f"test runs {said['ralph.test.outcome']}"] += value
        return counts


def _texts(pairs: Any) -> dict[str, str]:
    return {pair.key: pair.value.string_value for pair in pairs}


class Receiver(threading.Thread):
    """The receiver, with a thread that throws the dice.

    Args:
        dice: decide about phases and answers.
    """

    def __init__(self, dice: random.Random) -> None:
        super().__init__(name="dice", daemon=True)
        self.store = Store()
        self._dice = dice
        self._fault: str | None = None
        """What happens to every request; "" for a fault for each by itself, None for none."""
        self._over = threading.Event()
        self._server = self._open(0)
        self.port: int = self._server.server_address[1]

    @property
    def url(self) -> str:
        """Its endpoint."""
        return f"http://127.0.0.1:{self.port}"

    def run(self) -> None:
        """One phase after another."""
        while not self._over.is_set():
            fault = None if self._dice.random() < _UP else "" if self._dice.random() < 0.5 else self._any()
            self._fault = fault
            if fault == "refused":
                self._close()
            self._over.wait(self._dice.uniform(*_PHASE))
            if fault == "refused":
                self._server = self._open(self.port)
        self._fault = None

    def settle(self) -> None:
        """No more faults."""
        self._over.set()
        self.join()

    def stop(self) -> None:
        """Close it."""
        self._close()

    def answer(self) -> tuple[str, Fault]:
        """How the request that has just come is answered, and what that is called."""
        name = self._fault
        if name == "":
            name = self._any() if self._dice.random() < 0.5 else None
        return (name, FAULTS[name]) if name is not None else ("taken", TAKEN)

    def _any(self) -> str:
        return self._dice.choice(list(FAULTS))

    def _open(self, port: int) -> ThreadingHTTPServer:
        server = _Server(("127.0.0.1", port), _handler(self))
        threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
        return server

    def _close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A sender that was killed: nothing is said."""


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    store, over = receiver.store, threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            signal = self.path.rpartition("/")[2]
            name, fault = receiver.answer()
            store.answers[name] += 1
            if fault.hang:
                over.wait(_HANG)
            rejected = store.take(signal, body, fault.part) if fault.taken else 0
            if not fault.status:
                self.close_connection = True
                return
            response: Any = payload.response_class(signal)()  # type: ignore[arg-type]
            if rejected:
                response.partial_success.rejected_spans = rejected
            answer = response.SerializeToString()
            self.send_response(fault.status)
            for header in fault.headers:
                self.send_header(*header)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer) + 100 * fault.cut))
            self.end_headers()
            self.wfile.write(answer)
            self.close_connection = self.close_connection or fault.cut

        def log_message(self, *args: Any) -> None:
            """Nothing on stderr for a request."""

    return Handler
