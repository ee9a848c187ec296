"""A script in place of a coding agent: no model, no network. The demo calls it `claude`.

It does what an agent does in a loop, from a list: each call makes the next edit in the working directory, commits it,
and prints what `claude -p --output-format stream-json` would print. Its tokens and its costs are made up.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

STEPS: list[tuple[str, str, str] | None] = [
    (
        "Write fours and nines by subtraction",
        """    for letter, value in VALUES.items():
        text += letter * (number // value)
""",
        """    parts = VALUES | {"CM": 900, "CD": 400, "XC": 90, "XL": 40, "IX": 9, "IV": 4}
    for letters, value in sorted(parts.items(), key=lambda part: -part[1]):
        text += letters * (number // value)
""",
    ),
    (
        "Read fours and nines by subtraction",
        """    return sum(VALUES[letter] for letter in text)
""",
        """    values = [VALUES[letter] for letter in text]
    return sum(-value if value < max(values[at:]) else value for at, value in enumerate(values))
""",
    ),
    (
        "Add the numbers, not the letters",
        """    return first + second
""",
        """    return to_roman(from_roman(first) + from_roman(second))
""",
    ),
    None,  # the service is overloaded: loops meet that, too
    (
        "Refuse numbers that have no numeral",
        """    text = ""
""",
        """    if not 1 <= number <= 3999:
        raise ValueError(f"a number from 1 to 3999 has a numeral, not {number}")
    text = ""
""",
    ),
    (
        "A numeral is what is written so",
        """    return set(text) <= set(VALUES)
""",
        """    return bool(text) and set(text) <= set(VALUES) and to_roman(from_roman(text)) == text
""",
    ),
]
"""What is changed, the text before and after; None: a failure."""
MODEL = "scripted-no-model"
WINDOW = 200_000


def main() -> None:
    """Do the next step."""
    sys.stdin.read()  # the prompt
    number = count_call()
    usage = {"input_tokens": 40, "output_tokens": 600 + 150 * number, "cache_read_input_tokens": 9_000 * (number + 5)}
    say(type="system", subtype="init", session_id=f"scripted-{number}", model=MODEL)
    tell(number, usage, {"type": "text", "text": "This is a scripted agent: there is no model behind it."})
    time.sleep(float(os.environ.get("DEMO_THINKING", "1.2")))

    step = STEPS[number - 1] if number <= len(STEPS) else None
    if step is None:
        finish(number, usage, "(scripted) The service is overloaded.", is_error=True, api_error_status=529)
        sys.exit(1)
    title, old, new = step
    call = {"id": f"edit-{number}", "name": "Edit", "input": {"file_path": "roman.py"}}
    tell(number, usage, {"type": "tool_use", **call})
    edit(title, old, new)
    say(type="user", message={"content": [{"type": "tool_result", "tool_use_id": call["id"], "content": "ok"}]})
    finish(number, usage, f"(scripted) {title}.", is_error=False)


def count_call() -> int:
    """How often it has been called in this project, this time included."""
    path = Path(".git/scripted-agent-calls")
    number = int(path.read_text()) + 1 if path.exists() else 1
    path.write_text(str(number))
    return number


def edit(title: str, old: str, new: str) -> None:
    """Change the file, and commit that."""
    path = Path("roman.py")
    path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    subprocess.run(["git", "commit", "--quiet", "--all", "--message", title], check=True, stdout=sys.stderr)


def say(**record: Any) -> None:
    """Print one line of stream-json."""
    print(json.dumps(record), flush=True)


def tell(number: int, usage: dict[str, int], content: dict[str, Any]) -> None:
    """A message of the agent."""
    message = {"id": f"message-{number}", "model": MODEL, "content": [content], "usage": usage}
    say(type="assistant", session_id=f"scripted-{number}", message=message)


def finish(number: int, usage: dict[str, int], result: str, **outcome: Any) -> None:
    """The last line: how it went, and what it is said to have cost."""
    cost = round(0.01 + usage["output_tokens"] * 25e-6 + usage["cache_read_input_tokens"] * 5e-7, 4)
    model = {
        "inputTokens": usage["input_tokens"],
        "outputTokens": usage["output_tokens"],
        "cacheReadInputTokens": usage["cache_read_input_tokens"],
        "costUSD": cost,
        "contextWindow": WINDOW,
    }
    say(
        type="result",
        subtype="success",
        num_turns=2,
        session_id=f"scripted-{number}",
        result=result,
        total_cost_usd=cost,
        usage=usage,
        modelUsage={MODEL: model},
        **outcome,
    )


if __name__ == "__main__":
    main()
