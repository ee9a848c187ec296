"""What a receiver's answer means for the request: taken, later again, too large, or never again.

The tables are those of the OTLP specification: https://opentelemetry.io/docs/specs/otlp/#failures and
https://opentelemetry.io/docs/specs/otlp/#failures-1
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum

LONGEST_WAIT = 3600.0
"""Seconds that a receiver may ask us to wait at the most."""


class Outcome(Enum):
    """What becomes of a request."""

    TAKEN = "taken"
    LATER = "later"
    TOO_LARGE = "too large"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a receiver said.

    Args:
        outcome: what becomes of the request.
        said: for a person: the status, or the class of the error; never what may hold a secret.
        wait: seconds that the receiver asks us to wait; None where it does not.
        rejected: spans, points or records of a taken request that it has left out.
    """

    outcome: Outcome
    said: str
    wait: float | None = None
    rejected: int = 0


NO_REQUEST = Verdict(Outcome.REFUSED, "no OTLP request")
"""The verdict on what is none, and is not sent."""

_HTTP = {
    413: Outcome.TOO_LARGE,
    429: Outcome.LATER,
    502: Outcome.LATER,
    503: Outcome.LATER,
    504: Outcome.LATER,
}
"""All others from 300 on must not be sent again."""

_GRPC = {
    "OK": Outcome.TAKEN,
    "CANCELLED": Outcome.LATER,
    "DEADLINE_EXCEEDED": Outcome.LATER,
    "ABORTED": Outcome.LATER,
    "OUT_OF_RANGE": Outcome.LATER,
    "UNAVAILABLE": Outcome.LATER,
    "DATA_LOSS": Outcome.LATER,
}
"""All others must not be sent again, but RESOURCE_EXHAUSTED with a time to wait."""
_EXHAUSTED = "RESOURCE_EXHAUSTED"
_OVERSIZED = "larger than max"
"""What the gRPC libraries say of a message that exceeds the receiver's limit; its code is that of a used-up quota."""


def by_http(status: int, retry_after: str | None = None, rejected: int = 0) -> Verdict:
    """The verdict on an HTTP status.

    Args:
        status: the status code.
        retry_after: the header of that name, as it came.
        rejected: what the body says of a partial success.
    """
    outcome = Outcome.TAKEN if 200 <= status < 300 else _HTTP.get(status, Outcome.REFUSED)
    wait = seconds_to_wait(retry_after) if outcome is Outcome.LATER else None
    return Verdict(outcome, f"HTTP {status}", wait, rejected)


def by_grpc(code: str, details: str = "", wait: float | None = None, rejected: int = 0) -> Verdict:
    """The verdict on a gRPC status.

    Args:
        code: its name, such as `UNAVAILABLE`.
        details: its text.
        wait: the delay in seconds of a `RetryInfo` that came with it.
        rejected: what the response says of a partial success.
    """
    if code != _EXHAUSTED:
        outcome = _GRPC.get(code, Outcome.REFUSED)
    elif wait is not None:
        outcome = Outcome.LATER
    else:
        outcome = Outcome.TOO_LARGE if _OVERSIZED in details else Outcome.REFUSED
    return Verdict(outcome, f"gRPC {code}", _bounded(wait) if outcome is Outcome.LATER else None, rejected)


def unreachable(error: BaseException) -> Verdict:
    """The verdict where no answer came: the connection failed, or nothing came in time."""
    return Verdict(Outcome.LATER, type(error).__name__)


def oversized(limit: int) -> Verdict:
    """The verdict on a request that is larger than what the specification lets a client send."""
    return Verdict(Outcome.TOO_LARGE, f"more than {limit} bytes")


def seconds_to_wait(header: str | None) -> float | None:
    """A `Retry-After` header in seconds, be it a number or a date (RFC 9110, 10.2.3); None where it says nothing."""
    if header is None:
        return None
    try:
        return _bounded(float(header))
    except ValueError:
        pass
    try:
        return _bounded(parsedate_to_datetime(header).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None


def _bounded(seconds: float | None) -> float | None:
    if seconds is None or math.isnan(seconds):
        return None
    return min(max(seconds, 0.0), LONGEST_WAIT)
