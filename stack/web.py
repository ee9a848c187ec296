"""HTTP to a program on this machine."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

from stack.errors import Refused, StackError

_TIMEOUT = 30.0
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""A proxy that the environment names knows nothing of 127.0.0.1."""

Parameters = Mapping[str, str | float | Sequence[str]]


def get(url: str, parameters: Parameters | None = None) -> bytes:
    """What a URL answers.

    Raises:
        Refused: it does not answer with 200.
        StackError: it does not answer.
    """
    full = f"{url}?{urllib.parse.urlencode(parameters, doseq=True)}" if parameters else url
    try:
        with _opener.open(full, timeout=_TIMEOUT) as answer:
            body: bytes = answer.read()
    except urllib.error.HTTPError as error:
        with error:
            said = error.read(500).decode(errors="replace").strip()
        raise Refused(f"{full} answers {error.code}: {said}", error.code) from error
    except OSError as error:
        raise StackError(f"{full} does not answer: {error}") from error
    return body


def get_json(url: str, parameters: Parameters | None = None) -> Any:
    """The same, as JSON."""
    return json.loads(get(url, parameters))


def answers(url: str) -> bool:
    """Whether it answers with 200."""
    try:
        get(url)
    except StackError:
        return False
    return True
