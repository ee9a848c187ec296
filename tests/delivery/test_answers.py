"""What answers mean, by the tables of the OTLP specification."""

from __future__ import annotations

import time
from email.utils import formatdate

import grpc  # type: ignore[import-untyped]  # grpcio has no types
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ralph_otel.exporters.delivery.answers import LONGEST_WAIT, Outcome, by_grpc, by_http, seconds_to_wait

RETRYABLE = {"CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"}


@pytest.mark.parametrize("status", range(200, 600))
def test_of_http_only_four_statuses_are_retried(status: int) -> None:
    outcome = by_http(status).outcome
    if status in (429, 502, 503, 504):
        assert outcome is Outcome.LATER
    elif status == 413:
        assert outcome is Outcome.TOO_LARGE
    else:
        assert outcome is (Outcome.TAKEN if status < 300 else Outcome.REFUSED)


@pytest.mark.parametrize("code", [code.name for code in grpc.StatusCode])
def test_of_grpc_only_the_codes_of_the_table_are_retried(code: str) -> None:
    outcome = by_grpc(code).outcome
    assert outcome is (Outcome.TAKEN if code == "OK" else Outcome.LATER if code in RETRYABLE else Outcome.REFUSED)


def test_exhausted_is_retried_only_if_the_receiver_can_recover() -> None:
    assert by_grpc("RESOURCE_EXHAUSTED", "quota").outcome is Outcome.REFUSED
    verdict = by_grpc("RESOURCE_EXHAUSTED", "quota", 7.5)
    assert (verdict.outcome, verdict.wait) == (Outcome.LATER, 7.5)


def test_exhausted_for_a_messages_size_is_too_large() -> None:
    said = "grpc: received message larger than max (5242880 vs. 4194304)"
    assert by_grpc("RESOURCE_EXHAUSTED", said).outcome is Outcome.TOO_LARGE


def test_the_wait_is_that_of_the_answer_and_bounded() -> None:
    assert by_http(503, "120").wait == 120
    assert by_http(503).wait is None
    assert by_http(400, "120").wait is None
    assert by_http(429, "9999999999").wait == LONGEST_WAIT
    assert by_http(429, "-5").wait == 0
    assert by_grpc("UNAVAILABLE", "", 1e12).wait == LONGEST_WAIT
    assert by_grpc("INVALID_ARGUMENT", "", 5).wait is None


def test_retry_after_may_be_a_date() -> None:
    wait = seconds_to_wait(formatdate(time.time() + 60, usegmt=True))
    assert wait is not None
    assert 50 < wait <= 61
    assert seconds_to_wait("Fri, 31 Dec 1999 23:59:59 GMT") == 0


@given(st.one_of(st.none(), st.text(), st.floats().map(str), st.integers().map(str)))
def test_any_retry_after_is_understood_or_ignored(header: str | None) -> None:
    wait = seconds_to_wait(header)
    assert wait is None or 0 <= wait <= LONGEST_WAIT
