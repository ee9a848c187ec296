"""What goes wrong with the programs of the stack."""

from __future__ import annotations


class StackError(Exception):
    """A program cannot be had, started or asked; the text says which, why, and what would do."""


class CannotBuild(StackError):
    """A program is not there and cannot be built here: Go is missing or too old."""


class Refused(StackError):
    """A program has answered, but not with 200.

    Attributes:
        status: HTTP's.
    """

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status
