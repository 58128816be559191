"""Words and phrases that labels are made of."""

from __future__ import annotations

import pytest

from autointerp.shapes.lexicon import lexemes, regions_of, spoken
from autointerp.shapes.scenes import ATTRIBUTES
from autointerp.shapes.truth import SYNONYMS


def values(text: str) -> list[tuple[str, str]]:
    return [(word.kind, word.value) for word in lexemes(text) if word.role == "value"]


def test_every_word_of_the_world_and_every_synonym_is_known() -> None:
    for kind, words in ATTRIBUTES.items():
        for word in words:
            for said in spoken(word):
                assert values(said) == [(kind, word)], said
    for word, synonyms in SYNONYMS.items():
        assert {word, *synonyms} <= set(spoken(word))
        assert not any(lexeme.role == "unknown" for synonym in synonyms for lexeme in lexemes(synonym))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Upper-left corner", [("place", "top left")]),
        ("the middle of the picture", [("place", "center")]),
        ("left half", [("place", "left")]),
        ("left edges of a circle", [("side", "left"), ("shape", "circle")]),
        ("top left corner of an object", [("side", "top left"), ("object", "object")]),
        ("bottom of object", [("side", "bottom"), ("object", "object")]),
        ("bottom of the image", [("place", "bottom")]),
        ("left edge of the picture", [("border", "left")]),
        ("edge of the frame", [("border", "any")]),
        ("night sky", [("background", "night")]),
        ("polka dots", [("texture", "dotted")]),
    ],
)
def test_the_longest_phrase_is_one_lexeme(text: str, expected: list[tuple[str, str]]) -> None:
    assert values(text) == expected


def test_roles() -> None:
    roles = [word.role for word in lexemes("red, blue / zeppelin without 3 discs next to it")]
    assert roles == ["value", "and", "value", "or", "unknown", "not", "unknown", "value", "beside", "unknown"]
    assert lexemes("!? ...") == []


def test_sides_are_two_quadrants() -> None:
    assert regions_of("left") == ["top left", "bottom left"]
    assert regions_of("center") == ["center"]
