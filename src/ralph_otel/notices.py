"""What ralph-otel has to say to a person: one line each, through the `ralph_otel` logger.

A host that configures `logging` decides where they go; one that does not sees warnings on stderr, as Python does by
default. The same text is said once.
"""

from __future__ import annotations

import logging
import re
from typing import Any

logger = logging.getLogger("ralph_otel")
_MOST, _ALIKE = 200, 20
"""Lines that are said in all, and of those that begin alike: a thousand bad names must not hide everything else."""
_KIND = re.compile(r"[^:'\"/]*")
_said: set[str] = set()
_LONGEST = 20
"""Characters of a part of a path that are no key."""
_PORT = re.compile(r"""(\[[^]]*\]|[^:]*)(:\d*\W*)?""")
"""A host, perhaps with a port and what closes a quotation."""
_LONGEST_TEXT = 2000
"""Characters of a text that are looked at."""


def notice(text: str) -> None:
    """Say one line, without what is secret in addresses, unless it or too much has been said already."""
    text = public(text)
    if text in _said or len(_said) >= _MOST:
        return
    kind = _KIND.match(text)[0]  # type: ignore[index]  # it matches nothing, too
    alike = sum(said.startswith(kind) for said in _said)
    if alike < _ALIKE:
        _said.add(text)
        last = "; further ones like this are not said" if alike == _ALIKE - 1 else ""
        logger.warning("ralph-otel: %s%s", text, last)


def shown(value: Any, limit: int = 60) -> str:
    """A value as an error message may show it: short, on one line, with nothing a terminal would obey."""
    if isinstance(value, (dict, list)):
        return f"{type(value).__name__} of {len(value)}"
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 128:
        return f"an integer of {value.bit_length()} bits"
    text = ascii(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def public(text: str) -> str:
    """A text without what may be secret in the addresses in it, as far as they can be told from the rest."""
    text = text[:_LONGEST_TEXT]
    text = re.sub(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s,]+", lambda found: public_url(found[0]), text)
    text = re.sub(r"\burl: \S+", "url: …", text)  # as urllib3 says it, path and query alone
    return re.sub(r"[^\s,=/@:]+:[^\s,=/@]+@(?=[\w\[])", "…@", text)


def public_url(url: str) -> str:
    """An address without what may be secret in it: user, password, query, long parts of the path."""
    from urllib.parse import urlsplit  # a runner that has nothing to say need not import it

    try:
        parts = urlsplit(url if "://" in url else f"//{url}")
    except ValueError:
        return "(a URL that is none)"
    user, _, host = parts.netloc.rpartition("@")
    if "…" in host or _PORT.fullmatch(host) is None:  # cut off in the midst of a password, say
        host = "…"
    path = "/".join(part if len(part) <= _LONGEST else "…" for part in parts.path.split("/"))
    scheme = f"{parts.scheme}://" if parts.scheme else ""
    return f"{scheme}{'…@' if user else ''}{host}{path}{'?…' if parts.query else ''}"
