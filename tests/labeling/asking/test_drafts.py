from __future__ import annotations

import json

import pytest
from hypothesis import given, strategies as st

from autointerp.labeling.asking.drafts import answered_objects, find_objects, is_whole, last_words, split_thoughts

GOOD = '{"name": "red"}'
DRAFT = '{"name": "a draft"}'


@pytest.mark.parametrize(
    "text",
    [
        f"<think>maybe {DRAFT}</think>{GOOD}",
        f"maybe {DRAFT} but no\n</think>\n\n{GOOD}",
        f"<thinking>maybe {DRAFT}</thinking>\n{GOOD}",
        f"<THINK>{DRAFT}</THINK>{GOOD}",
        f"<think>{DRAFT}</think> and <think>{DRAFT}</think>{GOOD} so it is",
        f"<thought>{DRAFT}</thought>{GOOD}",
        f"<reasoning>{DRAFT}</reasoning><answer>{GOOD}</answer>",
        f"<seed:think>{DRAFT}</seed:think>{GOOD}",
        f"[THINK]{DRAFT}[/THINK]{GOOD}",
        f"◁think▷{DRAFT}◁/think▷{GOOD}",
        f"<|channel|>analysis<|message|>{DRAFT}<|end|><|start|>assistant<|channel|>final<|message|>{GOOD}<|return|>",
        f"<|channel|>final <|constrain|>json<|message|>{GOOD}",
        f"analysisThey could be {DRAFT}.assistantfinal{GOOD}",
        f"{DRAFT}</think><|begin_of_box|>{GOOD}<|end_of_box|>",
        f"{DRAFT}</think>\n```json\n{GOOD}\n```\nHope it helps!",
        f"<think>It is {GOOD}</think>",
        f"<think>It is\n```json\n{GOOD}\n```\n</think>\n",
        f"<think>never closed {DRAFT}, so {GOOD}",
        json.dumps(GOOD),
    ],
)
def test_the_answer_stands_after_the_thoughts(text: str) -> None:
    assert [found.value for found in answered_objects(text)][-1] == {"name": "red"}


@pytest.mark.parametrize(
    "text", [f"<think>maybe {DRAFT}, or not", f"{DRAFT} hm</think>", f"{DRAFT}</think>Sorry.", "", '"']
)
def test_a_draft_alone_is_no_answer(text: str) -> None:
    assert answered_objects(text) == []


def test_a_mark_inside_a_string_is_part_of_it() -> None:
    text = json.dumps({"name": "the tag </think> in red", "explanation": "<think>"})
    assert split_thoughts(text) == (text, "")


@given(st.text(alphabet='<>/think{}"[]|:ab \n', max_size=60))
def test_no_character_is_lost_or_doubled(text: str) -> None:
    answer, thoughts = split_thoughts(text)
    assert sorted(answer + thoughts) == sorted(text)


@given(st.dictionaries(st.text(), st.integers()), st.text(alphabet="ab \n`"), st.text(alphabet="ab \n`"))
def test_objects_are_found_where_they_stand(value: dict[str, int], before: str, after: str) -> None:
    written = json.dumps(value)
    (found,) = find_objects(before + written + after)
    assert found == (value, len(before), len(before) + len(written))


@pytest.mark.parametrize(
    ("text", "whole"),
    [(GOOD, True), (GOOD + " and then I", True), (GOOD[:-3], False), ('{"parts": [{"a": 1}], "name": "re', False)]
    + [(f"<think>{DRAFT}</think>{GOOD[:5]}", False), (f"<think>{DRAFT} and", False)],
)
def test_a_whole_answer_is_told_from_one_that_was_cut_off(text: str, whole: bool) -> None:
    assert is_whole(text) == whole


def test_last_words_end_the_text() -> None:
    assert last_words(f"so: {GOOD}\n```")
    assert not last_words(f"maybe {GOOD}, but then again")
