"""A run as a report: what happened, when and why it stopped, how it compares with the runs before.

`content` gathers, `document` puts it into words, tables and charts once, and three writers turn that into HTML,
Markdown or, straight from the content, JSON. Nothing in a report is taken from outside the journals, and whatever a
journal says is shown as text, never obeyed.
"""

from __future__ import annotations

from ralph_otel.views.report.content import Report, gather
from ralph_otel.views.report.html import html
from ralph_otel.views.report.markdown import markdown
from ralph_otel.views.report.plain import json_text

__all__ = ["WRITERS", "Report", "gather"]

WRITERS = {"html": html, "markdown": markdown, "json": json_text}
"""By format: what makes a `Report` a text."""
