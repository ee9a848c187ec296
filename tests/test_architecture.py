"""The rooms of `src/ralph_otel/` import one way, and the probe's side needs the standard library only."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ralph_otel

ROOT = Path(__file__).parent.parent
PACKAGE = Path(ralph_otel.__file__).parent
LAYERS = (
    ("version", "notices", "escapes", "wording", "files", "own_files", "temporary", "configfile", "tracecontext"),
    ("events", "guard", "redaction", "model", "process_end", "inject"),
    ("hooks", "journal", "agents", "state", "subscription"),
    ("probe", "config", "runs", "processes"),
    ("runners", "operations", "catalog", "serving"),
    ("signals", "exporters", "shims"),
    ("recorder", "progress", "mixin", "reference"),
    ("loop",),
    ("collector", "replay", "watch", "views"),
    ("registration", "launch", "web"),
    ("instrumentor", "doctor"),
    ("cli",),
    ("__main__",),
)
"""A room may import what is in the lines above its own."""
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
PROBE_SIDE = {
    "version", "notices", "escapes", "files", "own_files", "configfile", "redaction", "tracecontext", "inject",
    "events", "hooks", "journal", "agents", "probe", "runners",
}  # fmt: skip
"""Runs in the environments of others: no package but us is sure to be there."""


def modules() -> Iterator[tuple[str, Path, ast.Module]]:
    """Each module with its room."""
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room != "__init__":  # the public face names everything, and imports nothing
            yield room, path, ast.parse(path.read_bytes())


def imports(tree: ast.AST) -> Iterator[str]:
    """The full names of what a module imports, wherever it does so; not what only a type checker sees."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        yield from imports(node)


@pytest.mark.parametrize("folder", ["src", "tests", "benchmarks", "stack", "scripts", "examples", "demo"])
def test_what_is_imported_from_the_package_itself_is_there(folder: str) -> None:
    """A type checker cannot tell: the public face looks up its names when they are used."""
    there = {path.name.removesuffix(".py") for path in PACKAGE.iterdir()} | set(ralph_otel.__all__)
    missing = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in (ROOT / folder).rglob("*.py")
        for name in imports(ast.parse(path.read_bytes()))
        if name.startswith("ralph_otel.") and name.split(".")[1] not in there
    ]
    assert missing == []


def test_every_room_is_in_a_layer_and_in_one_only() -> None:
    assert {room for room, _, _ in modules()} == set(LEVEL)
    assert len(LEVEL) == sum(map(len, LAYERS))


def test_a_room_imports_only_rooms_of_the_layers_below_it() -> None:
    upwards = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for room, path, tree in modules()
        for name in imports(tree)
        if name.startswith("ralph_otel.")
        and (other := name.split(".")[1]) != room
        and LEVEL.get(other, -1) >= LEVEL[room]
    ]
    assert upwards == []


def test_the_probes_side_imports_the_standard_library_and_itself_only() -> None:
    """When it is loaded; a runner's adapter takes from the runner what it needs once that is there."""
    foreign = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for room, path, tree in modules()
        for name in imports(ast.Module([node for node in tree.body if not is_definition(node)], []))
        if room in PROBE_SIDE and not allowed(name)
    ]
    assert foreign == []


def is_definition(node: ast.stmt) -> bool:
    """Whether what stands in it is not executed as the module is loaded."""
    return isinstance(node, (ast.FunctionDef, ast.ClassDef))


def allowed(name: str) -> bool:
    """Whether a module of the probe's side may import that."""
    top, _, rest = name.partition(".")
    return rest.split(".")[0] in PROBE_SIDE if top == "ralph_otel" else top in sys.stdlib_module_names
