"""Messages between the server and its workers: whole, or not at all."""

from __future__ import annotations

import io

import pytest

from autointerp.web.workers.wire import Message, read_message, write_message


def test_a_message_comes_back_with_its_files_and_after_it_the_next() -> None:
    stream = io.BytesIO()
    first = Message({"ticket": "a", "text": "ü\n\u202e"}, {"0.webp": b"\x00\xff" * 50, "empty": b""})
    write_message(stream, first)
    write_message(stream, Message({"ticket": "b"}))
    stream.seek(0)
    assert read_message(stream) == first
    assert read_message(stream) == Message({"ticket": "b"})
    assert read_message(stream) is None


def test_a_message_that_was_cut_is_none() -> None:
    stream = io.BytesIO()
    write_message(stream, Message({"a": 1}, {"x": b"12345"}))
    whole = stream.getvalue()
    for size in range(len(whole)):
        assert read_message(io.BytesIO(whole[:size])) is None


def test_what_is_not_finite_is_not_sent() -> None:
    stream = io.BytesIO()
    with pytest.raises(ValueError, match="JSON compliant"):
        write_message(stream, Message({"a": float("nan")}))
    assert stream.getvalue() == b""
