"""Every span: the events that begin and end it, and what it says. To add a span or an attribute, add a row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ralph_otel.catalog import attributes as a
from ralph_otel.catalog.attributes import Attribute


@dataclass(frozen=True, slots=True)
class Span:
    """One row.

    Args:
        name: its name; `{field}` is a field of the event that makes it.
        starts: the type of the event that begins it; "" where the span is made by its end alone.
        ends: the type of the event that ends it.
        description: what it covers.
        attributes: attribute to the field that gives its value, of the events that begin and end it.
        constants: attributes with a value that is always the same.
        client: whether its kind is CLIENT: work that another process does for us.
    """

    name: str
    starts: str
    ends: str
    description: str
    attributes: Mapping[Attribute, str]
    constants: Mapping[Attribute, str] = field(default_factory=dict)
    client: bool = False


SPANS: tuple[Span, ...] = (
    Span(
        "loop {name}", "loop.started", "loop.stopped",
        "A run of the loop; of a long one, the part that is in this trace.",
        {
            a.LOOP_NAME: "name", a.RUNNER: "runner", a.RUNNER_VERSION: "runner_version",
            a.MAX_ITERATIONS: "max_iterations", a.STOP_REASON: "reason", a.PID: "pid", a.TRACE_PART: "part",
        },
    ),
    Span("session", "session.started", "session.ended", "A context window.", {a.SESSION: "session"}),
    Span(
        "iteration", "iteration.started", "iteration.finished", "A turn of the loop.",
        {a.ITERATION: "iteration", a.OUTCOME: "outcome", a.EXIT_CODE: "exit_code"},
    ),
    Span(
        "invoke_agent {agent}", "agent.started", "agent.finished", "A process of an agent.",
        {
            a.AGENT: "agent", a.MODEL: "model", a.PID: "pid", a.EXIT_CODE: "exit_code", a.TURNS: "turns",
            a.CONVERSATION: "conversation", a.OUTCOME: "outcome",
        },
        {a.OPERATION: "invoke_agent"}, client=True,
    ),
    Span(
        "execute_tool {tool}", "", "tool.called", "A tool that the agent used.",
        {a.TOOL: "tool", a.OUTCOME: "outcome"}, {a.OPERATION: "execute_tool"},
    ),
    Span(
        "tests", "", "tests.finished", "A run of the tests.",
        {a.TESTS_PASSED: "passed", a.TESTS_FAILED: "failed", a.TESTS_TOTAL: "total"},
    ),
    Span(
        "reboot", "reboot.started", "reboot.finished", "The change to a fresh context.",
        {a.REBOOT_REASON: "reason", a.CONTEXT_PERCENT: "context_percent"},
    ),
)  # fmt: skip

LEARNT: dict[str, dict[str, Attribute]] = {
    "context.measured": {"percent": a.CONTEXT_PERCENT},
    "tests.finished": {"passed": a.TESTS_PASSED, "failed": a.TESTS_FAILED, "total": a.TESTS_TOTAL},
    "progress.measured": {"score": a.SCORE, "files_changed": a.FILES_CHANGED, "commits": a.COMMITS},
    "usage.measured": {"model": a.MODEL},
}
"""What other events add to the span they are in: event to field to attribute."""

SUMMED: dict[str, Attribute] = {
    "output_tokens": a.OUTPUT_TOKENS,
    "cache_read_tokens": a.CACHE_READ_TOKENS,
    "cache_creation_tokens": a.CACHE_CREATION_TOKENS,
    "cost_usd": a.COST,
}
"""What the usage events add up to on the span they are in, besides the tokens read in all."""
