"""What a PromQL expression names: enough of its grammar to find series and labels, without a server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""\s+ | "(?:[^"\\]|\\.)*" | \[[^\]]*\] | offset\s+\S+
    | (?P<grouping>\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\))
    | \b(?:sum|min|max|count|avg|group|topk|quantile)\b(?=\s*(?:by|without)\b)
    | (?P<call>[A-Za-z_]+\s*\() | (?P<word>\b(?:and|or|unless|bool|group_left|group_right)\b)
    | (?P<name>[A-Za-z_:][\w:]*)?(?P<braces>\{(?:[^}"]|"(?:[^"\\]|\\.)*")*\})
    | (?P<bare>[A-Za-z_:][\w:]*) | [0-9.eE]+ | .""",
    re.VERBOSE | re.DOTALL,
)
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"')
_GROUPED = re.compile(r"\(([^)]*)\)")


@dataclass(frozen=True)
class Selector:
    """A selector of series: the metric's name ("" if only `__name__` says it), and label to operator and value."""

    name: str
    matchers: tuple[tuple[str, str, str], ...]


def selectors(expression: str) -> Iterator[Selector]:
    """Those in an expression."""
    for found in _TOKEN.finditer(expression):
        if found["braces"]:
            yield Selector(found["name"] or "", tuple(_MATCHER.findall(found["braces"])))
        elif found["bare"]:
            yield Selector(found["bare"], ())


def grouping_labels(expression: str) -> set[str]:
    """The labels by which an expression groups or matches."""
    labels = set()
    for found in _TOKEN.finditer(expression):
        if found["grouping"]:
            inside = _GROUPED.search(found["grouping"])
            labels |= {label.strip() for label in inside[1].split(",")} if inside else set()
    return labels - {""}
