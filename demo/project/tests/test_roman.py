"""What the loop is to make pass."""

from __future__ import annotations

import pytest
from roman import add, from_roman, is_roman, to_roman


def test_writes_letters_side_by_side() -> None:
    assert to_roman(27) == "XXVII"


def test_writes_fours_and_nines_by_subtraction() -> None:
    assert to_roman(1994) == "MCMXCIV"


def test_writes_nothing_for_numbers_that_have_no_numeral() -> None:
    with pytest.raises(ValueError, match="1 to 3999"):
        to_roman(0)


def test_reads_letters_side_by_side() -> None:
    assert from_roman("XXVII") == 27


def test_reads_fours_and_nines_by_subtraction() -> None:
    assert from_roman("MCMXCIV") == 1994


def test_adds() -> None:
    assert add("XIX", "IV") == "XXIII"


def test_knows_a_numeral() -> None:
    assert is_roman("MCMXCIV")


def test_knows_what_is_none() -> None:
    assert not is_roman("ROMA")


def test_knows_that_four_ones_are_none() -> None:
    assert not is_roman("IIII")
