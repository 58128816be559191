"""What names say: what belongs together, what is an alternative, and what cannot be read."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from autointerp.shapes.phrases import Meaning, read_name


def said(name: str) -> list[dict[str, tuple[str, ...]]]:
    return [dict(phrase.said) for phrase in read_name(name).alternatives]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("red circle", [{"color": ("red",), "shape": ("circle",)}]),
        ("circles, reddish", [{"color": ("red",), "shape": ("circle",)}]),
        ("red or crimson", [{"color": ("red",)}]),
        ("red, green, blue", [{"color": ("red",)}, {"color": ("green",)}, {"color": ("blue",)}]),
        ("red/blue", [{"color": ("red",)}, {"color": ("blue",)}]),
        ("red or circle", [{"color": ("red",)}, {"shape": ("circle",)}]),
        ("red or blue circle", [{"color": (c,), "shape": ("circle",)} for c in ("red", "blue")]),
        ("red circle and star", [{"color": ("red",), "shape": ("circle",)}, {"shape": ("star",)}]),
        ("circle or red square", [{"shape": ("circle",)}, {"color": ("red",), "shape": ("square",)}]),
        (
            "red and blue circles, top left",
            [{"color": (c,), "shape": ("circle",), "place": ("top left",)} for c in ("red", "blue")],
        ),
        ("edge inside dotted", [{"part": ("edge", "inside"), "texture": ("dotted",)}]),
    ],
)  # fmt: skip
def test_what_belongs_together_and_what_is_an_alternative(
    name: str, expected: list[dict[str, tuple[str, ...]]]
) -> None:
    assert said(name) == expected


def test_what_is_left_out() -> None:
    (phrase,) = read_name("red object but not circles").alternatives
    assert dict(phrase.said) == {"color": ("red",), "object": ("object",)}
    assert [dict(one.said) for one in phrase.without] == [{"shape": ("circle",)}]
    (phrase,) = read_name("non-striped circle").alternatives
    assert (dict(phrase.said), [dict(one.said) for one in phrase.without]) == (
        {"shape": ("circle",)},
        [{"texture": ("striped",)}],
    )


def test_what_lies_beside() -> None:
    (phrase,) = read_name("sky just above a red circle").alternatives
    assert phrase.said == (("background", ("sky",)),)
    assert phrase.beside is not None
    relation, of = phrase.beside
    assert (relation, dict(of.said)) == ("above", {"color": ("red",), "shape": ("circle",)})


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "no name"),
        ("a pattern of textures", "says nothing"),
        ("a zeppelin above a hexagon", "no word 'zeppelin', 'hexagon'"),
        ("circle above a square", "relation of two objects"),
        ("above a circle beside a star", "more than one relation"),
        ("red, not", "left out"),
    ],
)
def test_a_name_that_cannot_be_read_says_why(name: str, problem: str) -> None:
    meaning = read_name(name)
    assert problem in meaning.problem
    assert meaning.alternatives == ()


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    meaning = read_name(text)
    assert isinstance(meaning, Meaning)
    assert bool(meaning.problem) != bool(meaning.alternatives)
