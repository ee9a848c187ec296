"""Sessions and reboots: when the agent goes on with its context, and when that is given up."""

from __future__ import annotations

from typing import Any

import pytest
from scripted_loops import Workshop, claude_says

ARGUMENTS = 'echo "${*:-none}" >> arguments'
"""An agent that leaves a line with its arguments for every time it runs."""


def arguments(workshop: Workshop) -> list[str]:
    return workshop.read("arguments").split("\n")[:-1]


def sessions(workshop: Workshop) -> list[int]:
    """How many iterations each session had, by its span."""
    spans = [line["span_id"] for line in workshop.of("session.started")]
    parents = [line["parent_span_id"] for line in workshop.of("iteration.started")]
    return [parents.count(span) for span in spans]


def test_each_iteration_is_a_session_by_default(workshop: Workshop) -> None:
    result = workshop.run(workshop.script(ARGUMENTS), "-p", max_iterations=3)
    assert sessions(workshop) == [1, 1, 1]
    assert arguments(workshop) == ["-p"] * 3
    assert (result.sessions, result.reboots) == (3, 0)


def test_iterations_share_a_session_when_the_agent_can_resume_it(workshop: Workshop) -> None:
    result = workshop.run(workshop.script(ARGUMENTS), "-p", max_iterations=3, resume_args=["--continue", "x y"])
    assert sessions(workshop) == [3]
    assert arguments(workshop) == ["-p", "-p --continue x y", "-p --continue x y"]
    assert (result.sessions, result.reboots) == (1, 0)


@pytest.mark.parametrize("options", [{}, {"resume_args": ["--continue"]}], ids=["fresh", "resumed"])
def test_a_context_above_the_redline_is_a_reboot(workshop: Workshop, options: dict[str, Any]) -> None:
    agent = workshop.script(f"{ARGUMENTS}\n{claude_says(percent=90)}", "claude")
    result = workshop.run(agent, max_iterations=3, **options)
    assert workshop.values("reboot.started", "reason") == ["redline", "redline"]
    assert workshop.values("reboot.started", "context_percent") == [90.0, 90.0]
    assert workshop.values("reboot.finished", "reason") == ["redline", "redline"]
    assert sessions(workshop) == [1, 1, 1]
    assert arguments(workshop) == ["none"] * 3
    assert (result.sessions, result.reboots) == (3, 2)


@pytest.mark.parametrize(("redline", "reboots"), [(90.0, 1), (90.1, 0), (50.0, 1)])
def test_the_redline_is_where_the_user_puts_it(workshop: Workshop, redline: float, reboots: int) -> None:
    result = workshop.run(workshop.script(claude_says(percent=90), "claude"), max_iterations=2, redline=redline)
    assert result.reboots == reboots


def test_a_reboot_lasts_from_the_old_session_to_the_new_one(workshop: Workshop) -> None:
    workshop.run(workshop.script(claude_says(percent=90), "claude"), max_iterations=2)
    order = [line["type"] for line in workshop.lines if line["type"].partition(".")[0] in ("session", "reboot")]
    assert order[:5] == [
        "session.started",
        "reboot.started",
        "session.ended",
        "reboot.finished",
        "session.started",
    ]


def test_the_last_iteration_is_no_reboot_because_nothing_follows(workshop: Workshop) -> None:
    result = workshop.run(workshop.script(claude_says(percent=90), "claude"), max_iterations=1)
    assert result.reboots == 0
    assert not workshop.of("reboot.started")


def test_a_session_has_no_more_iterations_than_it_may(workshop: Workshop) -> None:
    workshop.run(workshop.script(ARGUMENTS), max_iterations=5, resume_args=["-c"], reboot_after=2)
    assert sessions(workshop) == [2, 2, 1]
    assert arguments(workshop) == ["none", "-c", "none", "-c", "none"]
    assert workshop.values("reboot.started", "reason") == ["iteration_limit"] * 2


def test_a_session_does_not_get_older_than_it_may(workshop: Workshop) -> None:
    workshop.run(workshop.script("sleep 0.1"), max_iterations=2, resume_args=["-c"], reboot_after_duration=0.05)
    assert sessions(workshop) == [1, 1]
    assert workshop.values("reboot.started", "reason") == ["duration_limit"]


def test_a_failure_is_not_resumed(workshop: Workshop) -> None:
    workshop.run(workshop.script(f"{ARGUMENTS}; exit 1"), max_iterations=2, resume_args=["-c"])
    assert arguments(workshop) == ["none", "none"]
    assert workshop.values("reboot.started", "reason") == ["error_recovery"]


def test_the_agent_can_ask_for_a_fresh_context(workshop: Workshop) -> None:
    agent = workshop.script(f"{ARGUMENTS}; test $(wc -l < arguments) -ne 2 || echo please ROTATE")
    workshop.run(agent, max_iterations=3, resume_args=["-c"], reboot_output=r"\bROTATE$")
    assert sessions(workshop) == [2, 1]
    assert workshop.values("reboot.started", "reason") == ["pattern_match"]


def test_what_a_resumed_session_used_before_is_not_counted_again(workshop: Workshop) -> None:
    running_total = (
        'echo \'{"type":"thread.started","thread_id":"t"}\'\n'
        "echo x >> count; n=$(($(wc -l < count) * 100))\n"
        'echo "{\\"type\\":\\"turn.completed\\",\\"usage\\":{\\"input_tokens\\":$n,\\"output_tokens\\":0}}"'
    )
    result = workshop.run(workshop.script(running_total, "codex"), max_iterations=3, resume_args=["resume"])
    assert workshop.values("usage.measured", "input_tokens") == [100, 100, 100]
    assert result.tokens == 300
