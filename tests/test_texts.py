"""Text from outside can neither drive a terminal nor show as another text, and JSON keeps it whole."""

from __future__ import annotations

import json
import unicodedata

from hypothesis import given, strategies as st

from autointerp.texts import clean, to_json, visible

HIDDEN = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
ANY = st.text(st.characters(), max_size=60)


def hidden(text: str) -> list[str]:
    return [c for c in text if unicodedata.category(c) in HIDDEN]


def test_what_is_taken_out() -> None:
    assert clean("a\u202eb\u200b\x00c\n d", 100) == "abc d"
    assert clean("\x1b[31mred\x1b[0m", 100) == "[31mred[0m"
    assert clean("x" * 50, 10) == "x" * 10
    assert clean("ab cd", 3) == "ab"
    assert visible("a  b\tc\u2028d\x9be") == "a  b c de"
    assert visible("Crème brûlée 红 🟥") == "Crème brûlée 红 🟥"


@given(ANY)
def test_nothing_hidden_is_left(text: str) -> None:
    assert not hidden(visible(text))
    cleaned = clean(text, 20)
    assert len(cleaned) <= 20
    assert clean(cleaned, 20) == cleaned
    assert "  " not in cleaned


@given(ANY | st.lists(ANY) | st.dictionaries(ANY, ANY))
def test_json_holds_the_data_and_shows_nothing_hidden(value: object) -> None:
    for indent in (None, 2):
        written = to_json(value, indent=indent)
        assert json.loads(written) == value
        assert not hidden(written.replace("\n", ""))
