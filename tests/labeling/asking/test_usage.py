from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from autointerp.labeling.asking.usage import read_usage

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["usage", "prompt_tokens", "completion_tokens", "total_tokens", "choices", "message", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 1000, "completion_tokens": 50, "total_tokens": 1050}, (1000, 50)),
        ({"prompt_tokens": "1000", "completion_tokens": "50"}, (1000, 50)),
        ({"prompt_tokens": 1000.0, "completion_tokens": None}, (1000, 0)),
        ({"prompt_tokens": 1000, "total_tokens": 1050}, (1000, 50)),
        ({"completion_tokens": 50, "total_tokens": 1050}, (1000, 50)),
        # Thoughts that only the total counts were paid for.
        ({"prompt_tokens": 1000, "completion_tokens": 50, "total_tokens": 2500}, (1000, 1500)),
        ({"input_tokens": 1000, "output_tokens": 50}, (1000, 50)),
        ({"promptTokenCount": 1000, "candidatesTokenCount": 50, "totalTokenCount": 1400}, (1000, 400)),
        ({"prompt_tokens": 1000, "completion_tokens": 50, "completion_tokens_details": None}, (1000, 50)),
        (
            {"prompt_tokens": 1000, "completion_tokens": 50, "prompt_tokens_details": {"cached_tokens": None}},
            (1000, 50),
        ),
        ({"prompt_tokens": {"total": 1000}, "completion_tokens": {"total": 50}}, (1000, 50)),
        ({"prompt_tokens": -4, "completion_tokens": True}, (0, 0)),
        ([{"prompt_tokens": 1000, "completion_tokens": 50}], (1000, 50)),
        ({"usage": {"prompt_tokens": 1000, "completion_tokens": 50}}, (1000, 50)),
        (None, (0, 0)),
        ({}, (0, 0)),
        ("many", (0, 0)),
        ({"prompt_tokens": "many", "completion_tokens": float("nan")}, (0, 0)),
    ],
)
def test_counts_are_read_however_they_are_written(usage: Any, tokens: tuple[int, int]) -> None:
    assert read_usage({"choices": [], "usage": usage}) == tokens


@pytest.mark.parametrize(
    "body",
    [
        {"choices": [{"usage": {"prompt_tokens": 9, "completion_tokens": 5}}]},
        {"x_groq": {"usage": {"prompt_tokens": 9, "completion_tokens": 5}}, "usage": None},
        {"prompt_eval_count": 9, "eval_count": 5, "message": {"content": "x"}},
        {"usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 5}},
    ],
)
def test_counts_are_found_where_servers_put_them(body: Any) -> None:
    assert read_usage(body) == (9, 5)


@given(JSON)
def test_any_json_gives_counts_that_are_not_negative(body: Any) -> None:
    given_, made = read_usage(body)
    assert min(given_, made) >= 0
