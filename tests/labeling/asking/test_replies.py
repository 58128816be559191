from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, strategies as st

from autointerp.labeling.asking.replies import (
    LABEL_SCHEMA,
    IntruderReply,
    LabelReply,
    RatingReply,
    UnreadableReply,
    parse_reply,
)

GOOD: dict[str, Any] = {"name": "red", "explanation": "x", "interpretable": True, "confidence": 0.5, "parts": ["a"]}


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(UnreadableReply):
        assert isinstance(parse_reply(text, LabelReply), LabelReply)


@given(st.text(max_size=50).filter(lambda t: "{" not in t and "<" not in t), st.text(max_size=50))
def test_the_object_is_found_whatever_stands_around(before: str, after: str) -> None:
    assert parse_reply(before + json.dumps(GOOD) + after, LabelReply) == LabelReply(**GOOD)


def test_objects_inside_others_are_not_taken_for_the_reply() -> None:
    with pytest.raises(UnreadableReply):
        parse_reply(json.dumps({"first": GOOD, "second": GOOD}), LabelReply)


@pytest.mark.parametrize(
    "wrapped",
    [{"reply": GOOD}, {"name": "reply", "arguments": GOOD}, {"name": "reply", "parameters": GOOD}, [GOOD]],
)
def test_a_wrapper_around_the_reply_is_taken_off(wrapped: Any) -> None:
    assert parse_reply(json.dumps(wrapped), LabelReply) == LabelReply(**GOOD)


def test_deep_nesting_is_refused_not_fatal() -> None:
    with pytest.raises(UnreadableReply):
        parse_reply('{"a":' * 3000, LabelReply)


def test_schema_and_model_agree() -> None:
    assert set(LABEL_SCHEMA["properties"]) == set(LabelReply.model_fields)


@pytest.mark.parametrize(
    ("written", "share"),
    [(0.8, 0.8), (1, 1.0), (80, 0.8), (100, 1.0), ("80%", 0.8), ("0.8", 0.8), ("80", 0.8), ("8/10", 0.8), (None, None)]
    + [("0,8", 0.8), ("80 percent", 0.8), ("8 out of 10", 0.8), ("high", 0.8), ("Very Low", 0.05), ("0.5%", 0.005)],
)
def test_a_share_is_read_however_it_is_written(written: Any, share: float | None) -> None:
    found = parse_reply(json.dumps(GOOD | {"confidence": written}), LabelReply).confidence
    assert found == (None if share is None else pytest.approx(share))
    if share is not None:
        assert parse_reply(json.dumps({"ratings": [written]}), RatingReply).ratings == [pytest.approx(share)]


@pytest.mark.parametrize(
    "written", [7, "7", -1, 101, "800%", True, "no idea", float("nan"), float("inf"), [0.5], "12/10"]
)
def test_a_share_without_one_meaning_is_refused(written: Any) -> None:
    with pytest.raises(UnreadableReply, match="confidence"):
        parse_reply(json.dumps(GOOD | {"confidence": written}), LabelReply)


def test_an_uninterpretable_feature_may_have_null_for_its_texts() -> None:
    nothing = {"name": None, "explanation": None, "interpretable": False, "confidence": None, "parts": None}
    found = parse_reply(json.dumps(nothing), LabelReply)
    assert (found.name, found.explanation, found.interpretable, found.confidence) == ("", "", False, None)


@pytest.mark.parametrize(
    "parts", [None, "red", ["a", None, 3], [{"image": 1, "part": "red"}], {"1": "red"}, ["x"] * 500]
)
def test_no_reply_is_refused_over_its_parts(parts: Any) -> None:
    assert parse_reply(json.dumps(GOOD | {"parts": parts}), LabelReply).name == "red"


@pytest.mark.parametrize("missing", ["name", "explanation", "interpretable"])
def test_a_reply_without_a_key_is_never_half_used(missing: str) -> None:
    with pytest.raises(UnreadableReply, match=missing):
        parse_reply(json.dumps({key: value for key, value in GOOD.items() if key != missing}), LabelReply)


@pytest.mark.parametrize(("written", "number"), [(3, 3), ("3", 3), ("Image 3", 3)])
def test_the_number_of_an_image_is_read_from_words(written: Any, number: int) -> None:
    assert parse_reply(json.dumps({"intruder": written}), IntruderReply).intruder == number


def test_the_last_object_counts_where_a_model_thinks_without_marks() -> None:
    draft = json.dumps(GOOD | {"name": "blue"})
    found = parse_reply(
        f"First I thought {draft}, but they are all red.\nFinal answer:\n{json.dumps(GOOD)}", LabelReply
    )
    assert found.name == "red"


def test_line_breaks_inside_strings_are_read() -> None:
    text = json.dumps(GOOD).replace('"x"', '"two\nlines"')
    assert parse_reply(text, LabelReply).explanation == "two lines"
