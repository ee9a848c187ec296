"""The files of `collector-config/`, as a user copies them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "collector-config"
COLLECTOR = FOLDER / "collector"
ALONE = ("agent.yaml", "gateway.yaml", "laptop.yaml")
"""The collector's files that are whole."""
OVERLAYS = {
    "overlays/gateway-remote-write.yaml": "gateway.yaml",
    "overlays/gateway-otlp-metrics.yaml": "gateway.yaml",
    "overlays/gateway-basic-auth.yaml": "gateway.yaml",
    "overlays/agent-basic-auth.yaml": "agent.yaml",
}
"""Those that are laid over one: each to the one below."""
WRITTEN = [path for path in FOLDER.rglob("*.yaml") if not {"rules", "dashboards"} & {path.parent.name}]
"""The files that are written by hand; rules and dashboards are generated."""

_VARIABLE = re.compile(r"\$\{env:(\w+)(?::-([^}]*))?\}")
_NAME = re.compile(r"\b(?:[A-Z]+(?:_[A-Z]+)+|TARGETS)\b")


class _Loader(yaml.SafeLoader):
    """YAML, and the tags with which a compose file says what to put aside."""


def _overridden(loader: Any, node: yaml.Node) -> Any:
    is_list = isinstance(node, yaml.SequenceNode)
    return loader.construct_sequence(node, deep=True) if is_list else loader.construct_mapping(node, deep=True)


_Loader.add_constructor("!reset", lambda loader, node: None)
_Loader.add_constructor("!override", _overridden)


def documents(path: Path) -> list[Any]:
    """The YAML documents of a file."""
    return list(yaml.load_all(path.read_text(encoding="utf-8"), _Loader))


def document(path: Path) -> Any:
    """The only one."""
    [only] = documents(path)
    return only


def environment(name: str) -> dict[str, str]:
    """The settings in one of Jaeger's files."""
    lines = (FOLDER / "jaeger" / name).read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


def variables(text: str) -> dict[str, str | None]:
    """The variables that a collector's file reads: name to default, None where there is none."""
    body = re.sub(r"^#.*$", "", text, flags=re.M)
    return {match[1]: match[2] for match in _VARIABLE.finditer(body)}


def said_of_variables(text: str) -> tuple[str, str]:
    """The comment at a file's head: what it says of variables that are required, and of the rest."""
    head = text.partition("\n\n")[0].partition("From the environment")[2]
    required, _, optional = head.partition("ptional")
    return required, optional


def names_in(text: str) -> set[str]:
    """The variables that a text names."""
    return set(_NAME.findall(text))


def strings(value: Any) -> Iterator[str]:
    """Every text in a document, keys included."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield str(key)
            yield from strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from strings(each)
    elif isinstance(value, str):
        yield value
