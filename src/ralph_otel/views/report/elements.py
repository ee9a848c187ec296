"""HTML and SVG as trees of the standard library, so that every text is escaped by whoever writes the tree.

What a browser would not show, or would turn a line around with, becomes visible: `\\x1b`, `\\u202e`.
"""

from __future__ import annotations

from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from ralph_otel.wording import printable

Child = Element | str
"""What may be in an element."""


def element(tag: str, *children: Child, **attributes: str | float | None) -> Element:
    """An element with what is in it.

    Args:
        tag: its name.
        children: elements and texts, in order.
        attributes: by name, `class_` for class, `_` for `-`; None: there is none.
    """
    node = Element(tag)
    for name, value in attributes.items():
        if value is not None:
            node.set(name.rstrip("_").replace("_", "-"), printable(_text(value)))
    for child in children:
        add(node, child)
    return node


def add(node: Element, child: Child) -> None:
    """Put an element or a text at an element's end."""
    if isinstance(child, Element):
        node.append(child)
    elif len(node):
        node[-1].tail = (node[-1].tail or "") + printable(child)
    else:
        node.text = (node.text or "") + printable(child)


def written(node: Element) -> str:
    """The tree as HTML."""
    return ElementTree.tostring(node, encoding="unicode", method="html")


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")
