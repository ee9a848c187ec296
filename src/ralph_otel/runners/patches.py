"""Replacing a name in somebody else's modules, and putting it back."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class Patches:
    """What was replaced, to be undone in one go."""

    def __init__(self) -> None:
        self._done: list[tuple[ModuleType | type, str, Any, Any]] = []

    def replace(self, owner: ModuleType | type, name: str, value: Any) -> None:
        """Give a name of a module or a class another value."""
        self._done.append((owner, name, getattr(owner, name), value))
        setattr(owner, name, value)

    def replace_everywhere(self, name: str, original: Any, value: Any) -> None:
        """Do so in every module that holds the original by that name: whoever imported it by name has a copy."""
        for module in list(sys.modules.values()):
            if isinstance(module, ModuleType) and vars(module).get(name) is original:
                self.replace(module, name, value)

    def undo(self) -> None:
        """Put everything back, except what somebody else has replaced since."""
        while self._done:
            owner, name, original, value = self._done.pop()
            if vars(owner).get(name) is value:
                setattr(owner, name, original)
