from __future__ import annotations

import json
from typing import Any

import pytest

from autointerp.labeling.asking.answers import NoCompletion, read_answer
from autointerp.labeling.asking.bodies import parse_body


@pytest.mark.parametrize("data", [b'{"a": 1}', b'\xef\xbb\xbf{"a": 1}', b'\n\n  {"a": 1}\n', b'{"a": 1}\r\n'])
def test_a_document_is_read(data: bytes) -> None:
    assert parse_body(data) == {"a": 1}


@pytest.mark.parametrize("data", [b"", b"<html>gateway</html>", b"{", b"data: [DONE]\n", b'{"a":' * 5000, b"\xff\xfe{"])
def test_what_is_no_json_is_no_completion(data: bytes) -> None:
    with pytest.raises(NoCompletion):
        parse_body(data)


def test_the_pieces_of_a_stream_are_put_together() -> None:
    pieces = [{"role": "assistant"}, {"reasoning_content": "hm"}, {"content": '{"name": '}, {"content": '"red"}'}]
    events: list[dict[str, Any]] = [{"choices": [{"delta": delta, "finish_reason": None}]} for delta in pieces]
    events += [{"choices": [{"delta": {}, "finish_reason": "stop"}]}]
    events += [{"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 5}}]
    lines = [": keep-alive", *(f"data: {json.dumps(event)}" for event in events), "data: [DONE]"]
    found = read_answer(parse_body("\n\n".join(lines).encode()))
    assert (found.text, found.tokens) == ('{"name": "red"}', (9, 5))


def test_an_error_in_a_stream_is_told() -> None:
    body = parse_body(b'data: {"error": {"message": "overloaded", "code": 529}}\n\n')
    with pytest.raises(NoCompletion, match="overloaded"):
        read_answer(body)
