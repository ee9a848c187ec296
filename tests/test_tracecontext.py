"""Ids and the W3C trace context, with and without OpenTelemetry in the process."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Decision, TraceIdRatioBased
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from ralph_otel import tracecontext
from ralph_otel.tracecontext import TraceContext, parse, sampled_at_root

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GOOD = f"00-{TRACE}-{SPAN}-01"


def test_ids_are_as_long_as_they_must_be_and_all_different() -> None:
    traces, spans = ({new() for _ in range(200)} for new in (tracecontext.new_trace_id, tracecontext.new_span_id))
    assert len(traces) == len(spans) == 200
    assert all(re.fullmatch("[0-9a-f]{32}", each) and int(each, 16) for each in traces)
    assert all(re.fullmatch("[0-9a-f]{16}", each) and int(each, 16) for each in spans)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GOOD, TraceContext(TRACE, SPAN, 1)),
        (f"  {GOOD}\n", TraceContext(TRACE, SPAN, 1)),
        (f"00-{TRACE}-{SPAN}-00", TraceContext(TRACE, SPAN, 0)),
        (f"00-{TRACE}-{SPAN}-03", TraceContext(TRACE, SPAN, 1)),
        (f"00-{TRACE}-{SPAN}-fe", TraceContext(TRACE, SPAN, 0)),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like", TraceContext(TRACE, SPAN, 1)),
        (f"cc-{TRACE}-{SPAN}-01", TraceContext(TRACE, SPAN, 1)),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{TRACE}-{SPAN}-01-more", None),
        (f"cc-{TRACE}-{SPAN}-01.more", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", None),
        (f"00-{TRACE[:-1]}-{SPAN}-01", None),
        (f"00-{TRACE}-{SPAN}-1", None),
        (f"00-{TRACE}-{SPAN}", None),
        (f"00-{TRACE[:-1]}٣-{SPAN}-01", None),
        ("", None),
        ("x" * 100_000, None),
    ],
)
def test_a_traceparent_is_read_as_the_specification_says(text: str, expected: TraceContext | None) -> None:
    assert parse(text) == expected


@given(st.text() | st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-[a-z]{0,3})?", fullmatch=True))
def test_any_text_is_read_as_opentelemetry_reads_it(text: str) -> None:
    theirs = trace.get_current_span(TraceContextTextMapPropagator().extract({"traceparent": text})).get_span_context()
    ours = parse(text)
    if ours is not None:
        assert theirs.is_valid
        assert (int(ours.trace_id, 16), int(ours.span_id, 16)) == (theirs.trace_id, theirs.span_id)
        assert ours.flags == theirs.trace_flags & 1


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.sampled_from([0, 1]))
def test_what_is_written_can_be_read(trace_id: int, span_id: int, flags: int) -> None:
    context = TraceContext(f"{trace_id:032x}", f"{span_id:016x}", flags)
    assert parse(context.traceparent) == context


def test_state_and_baggage_travel_along_where_they_could_be_headers() -> None:
    found = tracecontext.from_environment({"TRACEPARENT": GOOD, "TRACESTATE": "a=1,b=2", "BAGGAGE": "user=7"})
    assert found == TraceContext(TRACE, SPAN, 1, "a=1,b=2", "user=7")
    assert found.environment() == {"TRACEPARENT": GOOD, "TRACESTATE": "a=1,b=2", "BAGGAGE": "user=7"}
    assert TraceContext(TRACE, SPAN).environment() == {"TRACEPARENT": GOOD}
    for bad in ("a=1\nX: y", "ä=1", "x" * 8193):
        assert parse(GOOD, bad, bad) == TraceContext(TRACE, SPAN)


def test_an_environment_without_or_with_a_broken_parent_has_none() -> None:
    assert tracecontext.from_environment({}) is None
    assert tracecontext.from_environment({"TRACEPARENT": "00-nonsense", "BAGGAGE": "a=1"}) is None


# -- the host's OpenTelemetry -----------------------------------------------------------------------------------------


def test_the_hosts_current_span_is_found_with_its_flags() -> None:
    assert tracecontext.from_host() is None
    for provider, flags in ((TracerProvider(), 1), (TracerProvider(sampler=ALWAYS_OFF), 0)):
        with provider.get_tracer("host").start_as_current_span("outside") as span:
            found, expected = tracecontext.from_host(), span.get_span_context()
        assert found == TraceContext(f"{expected.trace_id:032x}", f"{expected.span_id:016x}", flags)


def test_a_broken_opentelemetry_in_the_host_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", sys)
    assert tracecontext.from_host() is None
    assert tracecontext.attach(TraceContext(TRACE, SPAN)) is None


def test_an_attached_span_is_the_hosts_current_one_until_it_is_undone() -> None:
    undo = tracecontext.attach(TraceContext(TRACE, SPAN, 1))
    assert undo is not None
    assert tracecontext.from_host() == TraceContext(TRACE, SPAN, 1)
    undo()
    assert tracecontext.from_host() is None


def test_nothing_of_opentelemetry_is_imported() -> None:
    program = (
        "import sys\nfrom ralph_otel import tracecontext as t\n"
        "assert t.from_host() is None and t.attach(t.TraceContext('a' * 32, 'b' * 16)) is None\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "[]\n"


# -- sampling at the root ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sampler", "argument", "sampled"),
    [
        ("", "", True),
        ("always_on", "", True),
        ("parentbased_always_on", "", True),
        ("always_off", "", False),
        ("parentbased_always_off", "0.5", False),
        ("traceidratio", "", True),
        ("traceidratio", "0", False),
        ("parentbased_traceidratio", "1", True),
        ("traceidratio", "half", True),
        ("traceidratio", "nan", True),
        ("traceidratio", "inf", True),
        ("traceidratio", "-1", False),
        ("unknown", "0", True),
    ],
)
def test_a_trace_that_begins_here_is_recorded_as_the_variables_say(sampler: str, argument: str, sampled: bool) -> None:
    environment = {"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": argument}
    assert sampled_at_root(TRACE, environment) is sampled


@given(st.integers(1, 2**128 - 1), st.floats(0, 1))
def test_a_ratio_samples_the_traces_that_the_sdk_samples(trace_id: int, ratio: float) -> None:
    ours = sampled_at_root(
        f"{trace_id:032x}", {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": repr(ratio)}
    )
    theirs = TraceIdRatioBased(ratio).should_sample(None, trace_id, "loop").decision
    assert ours is (theirs is Decision.RECORD_AND_SAMPLE)
