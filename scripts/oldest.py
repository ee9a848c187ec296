"""Constraints by which pip installs the oldest versions that `pyproject.toml` allows: `make oldest`.

Each lower bound of a dependency becomes the version. The tools of the tests stay at the versions of `constraints.txt`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*(?:>=\s*([^\s,;]+))?")
"""A requirement's name, and its lower bound if it has one."""


def oldest(dependencies: Iterable[str]) -> Iterator[str]:
    """Requirements such as `click>=8.1.7,<9`, as `click==8.1.7`.

    Raises:
        SystemExit: one has no lower bound.
    """
    for dependency in dependencies:
        found = REQUIREMENT.match(dependency)
        if found is None or found[2] is None:
            raise SystemExit(f"pyproject.toml: {dependency!r} has no lower bound; write one, such as name>=1.2")
        yield f"{found[1]}=={found[2]}"


def pinned(tools: Iterable[str], constraints: str) -> Iterator[str]:
    """The lines of a constraints file that are about one of these requirements."""
    names = {normal(found[1]) for tool in tools if (found := REQUIREMENT.match(tool))}
    for line in constraints.splitlines():
        if normal(line.partition("==")[0]) in names:
            yield line


def normal(name: str) -> str:
    """A distribution's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> None:
    """Print them."""
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    constraints = Path("constraints.txt").read_text(encoding="utf-8")
    for line in oldest(project["dependencies"]):
        print(line)
    for line in pinned(project["optional-dependencies"]["dev"], constraints):
        print(line)


if __name__ == "__main__":
    main()
