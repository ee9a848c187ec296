"""Every attribute of metrics, spans and log records: its name, what it says, and its values where they are few."""

from __future__ import annotations

from dataclasses import dataclass

from ralph_otel import events


@dataclass(frozen=True, slots=True)
class Attribute:
    """A metric's attribute: its name, what it says, and its values where they are few."""

    name: str
    meaning: str
    values: tuple[str, ...] = ()


LOOP_NAME = Attribute("ralph.loop.name", "The loop's name.")
RUNNER = Attribute("ralph.runner", "The program that runs the loop, by its distribution's name, or `unknown`.")
COMMON = (LOOP_NAME, RUNNER)
"""On every metric of a loop."""

OUTCOME = Attribute("ralph.outcome", "How it ended.", events.OUTCOMES)
STOP_REASON = Attribute("ralph.stop.reason", "Why the loop ended.", events.STOP_REASONS)
REBOOT_REASON = Attribute("ralph.reboot.reason", "Why the context was thrown away.", events.REBOOT_REASONS)
TEST_STATUS = Attribute("ralph.test.status", "How the test ended.", ("passing", "failing", "skipped"))
TEST_OUTCOME = Attribute("ralph.test.outcome", "`passed` if no test failed.", ("passed", "failed"))
CHANGE = Attribute("ralph.change", "What happened to the line.", ("added", "removed"))
AGENT = Attribute("gen_ai.agent.name", "The agent's name: claude, codex, gemini …")
MODEL = Attribute("gen_ai.request.model", "The model, where known.")
TOKEN_TYPE = Attribute(
    "gen_ai.token.type", "What the tokens were used for.", ("input", "output", "cache_read", "cache_creation")
)
COST_SOURCE = Attribute("ralph.cost.source", "Who says what it cost.", events.COST_SOURCES)
TOOL = Attribute("gen_ai.tool.name", "The tool's name.")
ERROR_TYPE = Attribute("error.type", "The class of the error.")
SIGNAL = Attribute("ralph.signal", "What is sent by OTLP.", ("metrics", "traces", "logs"))
DROP_REASON = Attribute(
    "ralph.drop.reason", "Why it was given up.",
    ("refused", "rejected", "too_large", "too_old", "no_room", "damaged", "unsaved"),
)  # fmt: skip
ROLE = Attribute("ralph.process.role", "The runner's own process, or all processes below it.", events.ROLES)

# -- of spans and log records only: these may have as many values as they like --------------------------------------

LOG_ID = Attribute("log.record.uid", "The record's own id, the same whenever it is made from the same event.")
RUN_ID = Attribute("ralph.run.id", "The run id.")
TRACE_PART = Attribute("ralph.trace.part", "The number of the trace in the loop, where it has several.")
ITERATIONS = Attribute("ralph.iterations", "Iterations that finished.")
MAX_ITERATIONS = Attribute("ralph.max_iterations", "The most iterations the loop may run.")
RUNNER_VERSION = Attribute("ralph.runner.version", "The runner's version.")
SESSION = Attribute("ralph.session.id", "The session's id.")
ITERATION = Attribute("ralph.iteration.number", "The iteration's number, from 1.")
CONTEXT_PERCENT = Attribute("ralph.context.percent", "How full the context window was, in percent; the last value.")
TESTS_PASSED = Attribute("ralph.tests.passed", "Tests that passed, in the last run.")
TESTS_FAILED = Attribute("ralph.tests.failed", "Tests that failed, in the last run.")
TESTS_TOTAL = Attribute("ralph.tests.total", "All tests, in the last run.")
SCORE = Attribute("ralph.progress.score", "The last progress score, 0 to 1.")
FILES_CHANGED = Attribute("ralph.progress.files_changed", "Files changed.")
COMMITS = Attribute("ralph.progress.commits", "Commits made.")
COST = Attribute("ralph.cost.usd", "US dollars spent.")
TURNS = Attribute("ralph.agent.turns", "Turns of conversation.")
OPERATION = Attribute("gen_ai.operation.name", "What the agent did.", ("invoke_agent", "execute_tool"))
CONVERSATION = Attribute("gen_ai.conversation.id", "The agent's own id of its session.")
INPUT_TOKENS = Attribute("gen_ai.usage.input_tokens", "Tokens read, those from and into caches included.")
OUTPUT_TOKENS = Attribute("gen_ai.usage.output_tokens", "Tokens written.")
CACHE_READ_TOKENS = Attribute("gen_ai.usage.cache_read.input_tokens", "Tokens read from a cache.")
CACHE_CREATION_TOKENS = Attribute("gen_ai.usage.cache_creation.input_tokens", "Tokens read and put into a cache.")
EXIT_CODE = Attribute("process.exit.code", "The exit code; negative: the signal that ended the process.")
PID = Attribute("process.pid", "The process id.")
