"""Which runner a command is whose files are known: by what it resolves to, never by its name alone.

Several runners have a command `ralph`. A command may also be wrapped, as in `timeout 1h npx ralph-tui run`: each of its
first words is looked at.
"""

from __future__ import annotations

import json
import mmap
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from ralph_otel.watch.orchestrator import Orchestrator
from ralph_otel.watch.ralph_claude_code import RalphClaudeCode
from ralph_otel.watch.ralph_tui import RalphTui
from ralph_otel.watch.source import Format

PACKAGES: dict[str, Callable[[], Format]] = {
    "@ralph-orchestrator/ralph-cli": Orchestrator,
    "ralph-tui": RalphTui,
}
"""By the name of the npm package that a command belongs to."""
SCRIPTS: tuple[tuple[re.Pattern[bytes], Callable[[], Format]], ...] = (
    (re.compile(rb"/ralph_loop\.sh\b|\.response_analysis\b"), RalphClaudeCode),
)
"""By what a script has in it."""
PROGRAMS: tuple[tuple[bytes, Callable[[], Format]], ...] = ((b"iteration.summary", Orchestrator),)
"""By what a compiled program has in it: the name of a row of its events."""
FETCHERS = ("npx", "bunx", "pnpx", "dlx", "exec", "x")
"""What runs the npm package that is named after it, wherever that is."""
FOLDER_OPTIONS = ("--cwd",)
"""Options that say in which folder the runner works."""
_WORDS = 8
_SCRIPT_SIZE = 4 << 20
_MAGIC = (b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")


def known(command: Sequence[str], path: str | None) -> Callable[[], Format] | None:
    """What reads the files of the runner that a command is; None where it is none of those.

    Args:
        command: the words.
        path: the PATH that they are looked for on.
    """
    fetched = False
    for word in command[:_WORDS]:
        if word.startswith("-") or "=" in word or not word.isprintable():
            continue
        if fetched and (make := PACKAGES.get(_unversioned(word))) is not None:
            return make
        fetched = fetched or Path(word).name in FETCHERS
        found = shutil.which(word, path=path) or word
        try:
            make = _of_file(Path(found).resolve(strict=True))
        except (OSError, RuntimeError, ValueError):
            continue
        if make is not None:
            return make
    return None


def folder(command: Sequence[str], here: Path) -> Path:
    """The folder that a command's runner works in: what an option of it says, else the working directory."""
    for word, following in zip(command, [*command[1:], ""], strict=True):
        option, equals, value = word.partition("=")
        if option in FOLDER_OPTIONS and (value or following):
            return here / (value if equals else following)
    return here


def _unversioned(package: str) -> str:
    """`@scope/name@1.2` without its version."""
    return package[:1] + package[1:].partition("@")[0]


def _of_file(file: Path) -> Callable[[], Format] | None:
    if not file.is_file():
        return None
    package = PACKAGES.get(_package(file))
    if package is not None:
        return package
    with file.open("rb") as opened:
        head = opened.read(4)
        if head[:2] == b"#!" or file.suffix == ".sh":
            text = head + opened.read(_SCRIPT_SIZE)
            return next((make for pattern, make in SCRIPTS if pattern.search(text)), None)
        if head in _MAGIC:
            with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return next((make for text, make in PROGRAMS if content.find(text) >= 0), None)
    return None


def _package(file: Path) -> str:
    """The name of the npm package that a file is in; "" where it is in none."""
    if "node_modules" not in file.parts:
        return ""
    for around in file.parents:
        if around.name == "node_modules":
            return ""
        try:
            package = json.loads((around / "package.json").read_bytes())
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(package, dict) and isinstance(package.get("name"), str):
            name: str = package["name"]
            return name
    return ""
