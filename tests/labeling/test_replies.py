from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from autointerp.labeling.replies import LABEL_SCHEMA, LabelReply, UnreadableReply, parse_reply

GOOD: dict[str, Any] = {"name": "red", "explanation": "x", "interpretable": True, "confidence": 0.5, "parts": ["a"]}


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_reply(text, LabelReply)
    except UnreadableReply:
        pass


@given(st.text(max_size=50).filter(lambda t: "{" not in t and "<" not in t), st.text(max_size=50))
def test_the_object_is_found_whatever_stands_around(before: str, after: str) -> None:
    assert parse_reply(before + json.dumps(GOOD) + after, LabelReply) == LabelReply(**GOOD)


def test_nested_objects_are_not_taken_for_the_reply() -> None:
    with pytest.raises(UnreadableReply):
        parse_reply(json.dumps({"reply": GOOD}), LabelReply)


def test_deep_nesting_is_refused_not_fatal() -> None:
    with pytest.raises(UnreadableReply):
        parse_reply('{"a":' * 3000, LabelReply)


def test_schema_and_model_agree() -> None:
    assert set(LABEL_SCHEMA["properties"]) == set(LabelReply.model_fields)
