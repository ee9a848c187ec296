"""Roman numerals, with five faults for the loop to find."""

from __future__ import annotations

VALUES = {"M": 1000, "D": 500, "C": 100, "L": 50, "X": 10, "V": 5, "I": 1}


def to_roman(number: int) -> str:
    """A number as a Roman numeral."""
    text = ""
    for letter, value in VALUES.items():
        text += letter * (number // value)
        number %= value
    return text


def from_roman(text: str) -> int:
    """A Roman numeral as a number."""
    return sum(VALUES[letter] for letter in text)


def add(first: str, second: str) -> str:
    """The sum of two Roman numerals."""
    return first + second


def is_roman(text: str) -> bool:
    """Whether a text is a Roman numeral."""
    return set(text) <= set(VALUES)
