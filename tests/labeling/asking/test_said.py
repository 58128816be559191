from __future__ import annotations

import json
from typing import Any

import pytest

from autointerp.labeling.asking.said import error_inside, said

SHAPES: list[Any] = [
    {"error": {"message": "it is full", "code": "full"}},
    [{"error": {"message": "it is full", "code": "full"}}],
    {"object": "error", "message": "it is full", "code": "full"},
    {"error": "it is full"},
    {"error": {"message": {"detail": "it is full"}}},
    {"detail": "it is full"},
    {"detail": [{"msg": "it is full"}]},
    {"message": "it is full"},
    {"errors": [{"code": 1, "message": "it is full"}]},
    {"error": {"message": "Provider returned error", "metadata": {"raw": '{"error": {"message": "it is full"}}'}}},
    '{"error": {"message": "it is full"}}',
    "it is full",
    b"it is full",
    "<!doctype html><html><body><h1>it is full</h1><script>x</script></body></html>",
    "<html><head><title>it is full</title></head></html>",
    "{it is full",
]


@pytest.mark.parametrize("body", SHAPES, ids=range(len(SHAPES)))
def test_the_words_are_found_in_any_shape(body: Any) -> None:
    found = said(500, body)
    assert "it is full" in found.words
    assert "it is full" in found.text
    assert "{" not in found.words.removeprefix("{it is")


@pytest.mark.parametrize("body", [None, "", [], {}, 7, True, {"error": None}, {"error": {}}, [[[]]], {"detail": []}])
def test_a_body_without_words_is_no_fault_of_its_own(body: Any) -> None:
    assert said(500, body).status == 500


def test_the_status_that_tells_more_counts() -> None:
    inside = {"error": {"message": "x", "code": 429}}
    assert said(200, inside).status == 429
    assert said(500, inside).status == 429
    assert said(403, inside).status == 403
    assert said(400, {"error": {"message": "x", "code": "1500"}}).status == 400
    assert said(200, {"error": "x"}).status == 0


def test_codes_of_all_depths_are_found() -> None:
    body = {"error": {"code": "A", "type": "b", "innererror": {"code": "C"}, "metadata": {"raw": '{"type": "d"}'}}}
    assert {"a", "b", "c", "d"} <= said(400, body).codes


@pytest.mark.parametrize("body", [*SHAPES[:2], SHAPES[3], {"choices": [{"error": {"code": 502}, "message": {}}]}])
def test_an_error_in_a_200_is_found(body: Any) -> None:
    assert error_inside(body) is not None


@pytest.mark.parametrize(
    "body",
    [
        {"choices": [{"message": {"content": "{}"}}]},
        {"choices": [{"message": {"content": "{}"}, "error": {"code": 1}}]},
        {"choices": [{"message": {"content": "{}"}}], "error": None},
        {"choices": []},
        {"choices": [None]},
        [],
        "text",
        None,
    ],
)
def test_an_answer_is_no_error(body: Any) -> None:
    assert error_inside(body) is None


def test_deep_and_long_bodies_are_read() -> None:
    deep: Any = "x"
    for _ in range(400):
        deep = [deep]
    assert said(500, json.dumps(deep)).status == 500
    assert len(said(500, "x" * 10**6).text) <= 10_000
