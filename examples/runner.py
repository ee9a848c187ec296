"""A runner of one's own, with telemetry: an agent again and again, until it says DONE.

echo 'Fix one failing test. When all tests pass, say DONE.' > PROMPT.md
python examples/runner.py claude -p --output-format json
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import ralph_otel
from ralph_otel.agents import agent_name, parser_for


def main(command: list[str], most: int = 5) -> None:
    """Run it."""
    collector = ralph_otel.register()
    with collector.loop(Path.cwd().name, max_iterations=most, runner="my-runner") as loop:
        for _ in range(most):
            with loop.session(), loop.iteration() as iteration, iteration.agent(agent_name(command[0])) as agent:
                prompt = Path("PROMPT.md").read_bytes()
                done = subprocess.run(command, input=prompt, stdout=subprocess.PIPE, env=agent.environment())
                agent.exit_code = done.returncode
                if done.returncode:
                    agent.fail("agent_failed")
                    iteration.fail("agent_failed")
                if parser := parser_for(command[0]):  # tokens, cost and context, as the agent reports them
                    for event in parser.feed(done.stdout) + parser.close():
                        agent.emit(event)
            if b"DONE" in done.stdout:
                loop.stop("output_pattern")
                return
        loop.stop("max_iterations")


if __name__ == "__main__":
    main(sys.argv[1:] or ["claude", "-p", "--output-format", "json"])
