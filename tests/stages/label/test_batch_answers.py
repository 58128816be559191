"""Lines of a batch's results become calls; what cannot be read becomes none, or one without an answer."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from types import SimpleNamespace

import pytest

from autointerp.db.queries.batches import SubmittedBatch
from autointerp.labeling.asking.chat import ChatClient
from autointerp.progress import NullProgress
from autointerp.stages.label.batch_answers import BatchAnswers

REQUESTS = {"a": "label", "b": "repair"}


class Notes(NullProgress):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


def completion(text):
    message = {"role": "assistant", "content": text}
    return {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-mini",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100},
    }


def line(key, body=None, status=200, error=None):
    response = None if body is None else {"status_code": status, "body": body}
    return json.dumps({"custom_id": key, "response": response, "error": error}).encode()


def read(*lines, status="completed", errors=()):
    """The calls of a batch with these lines of output and of errors, by request, and what was noted."""
    files = {"out": b"\n".join(lines) + b"\n", "err": b"\n".join(errors)}
    client = ChatClient("gpt-4o-mini", "http://localhost:1/v1", "NO_KEY")
    api = SimpleNamespace(client=client, content=lambda file: files[file])
    progress = Notes()
    submitted = SubmittedBatch(1, "f", "batch", REQUESTS, datetime.now(timezone.utc))
    batch = SimpleNamespace(output_file_id="out", error_file_id="err" if errors else None, status=status)
    results = BatchAnswers(api, progress).read(submitted, batch)
    calls = results.calls
    assert {call.request_hash for call in calls if call.answer is None} == set(results.faults)
    assert len({call.request_hash for call in calls}) == len(calls)
    return {call.request_hash: call for call in calls}, progress.notes


def test_answers_are_read_with_their_tokens_at_half_the_price():
    calls, notes = read(line("a", completion("red")), line("b", completion("blue")))
    assert [(calls[key].answer, calls[key].purpose) for key in "ab"] == [("red", "label"), ("blue", "repair")]
    assert (calls["a"].input_tokens, calls["a"].output_tokens, calls["a"].error) == (1000, 100, "")
    price = ChatClient("gpt-4o-mini", "http://localhost:1/v1", "NO_KEY").budget.price
    if price is not None:
        assert calls["a"].cost == pytest.approx(price.of(1000, 100) / 2)
    assert notes == []


def test_the_first_line_of_a_request_counts_and_foreign_ones_do_not():
    calls, _ = read(line("a", completion("red")), line("a", completion("green")), line("z", completion("no")))
    assert set(calls) == {"a", "b"}
    assert calls["a"].answer == "red"
    # A batch that is completed holds no answer to the other request, and never will.
    assert (calls["b"].answer, calls["b"].error) == (None, "the batch holds no answer")


def test_requests_that_were_never_run_have_no_call():
    expired = line("b", error={"code": "batch_expired", "message": "too late"})
    calls, _ = read(line("a", completion("red")), errors=[expired], status="expired")
    assert set(calls) == {"a"}


def test_refusals_are_calls_without_an_answer():
    refused = line("b", {"error": {"message": "no\n pictures"}}, status=400)
    calls, _ = read(line("a", {"no": "completion"}), errors=[refused])
    assert (calls["a"].answer, calls["a"].error) == (None, "unreadable response: completion (in a batch)")
    assert (calls["b"].answer, calls["b"].error) == (None, "no pictures (in a batch)")


@pytest.mark.parametrize("broken", [b"{", b"[]", b'"a"', b"{}", b"17"])
def test_lines_that_are_no_results_are_noted(broken):
    calls, notes = read(broken, line("a", completion("red")), line("b", completion("blue")))
    assert set(calls) == {"a", "b"}
    assert notes == ["a line of out cannot be read"]


@pytest.mark.parametrize(
    "changed",
    [
        {"service_tier": "on_demand", "x_groq": {"id": "q"}},
        {"object": "chat.completion.batch", "created": None, "system_fingerprint": 5},
        {"choices": [{"finish_reason": "FINISHED", "message": {"content": [{"type": "text", "text": "red"}]}}]},
        {"choices": [{"message": {"role": "model", "content": "red", "tool_calls": None}, "logprobs": "none"}]},
    ],
)
def test_no_paid_answer_is_lost_over_what_a_server_adds_or_leaves_out(changed):
    calls, notes = read(line("a", completion("red") | changed), line("b", completion("blue")))
    assert (calls["a"].answer, calls["a"].error, calls["a"].input_tokens) == ("red", "", 1000)
    assert notes == []


def test_a_line_whose_answer_is_of_no_use_is_paid_and_kept_as_an_answer():
    cut = completion("") | {"choices": [{"finish_reason": "length", "message": {"content": ""}}]}
    calls, _ = read(line("a", cut), line("b", {"usage": {"input_tokens": 1000, "output_tokens": 100}}))
    assert calls["a"].answer == calls["b"].answer == ""
    assert "cut off" in calls["a"].error
    assert calls["b"].error == "the response holds no answer"
    assert calls["a"].cost == calls["b"].cost
    assert calls["a"].cost


def test_a_body_may_stand_in_the_line_itself_and_an_error_may_be_a_text():
    bare = json.dumps({"custom_id": "a", "response": completion("red")}).encode()
    refused = json.dumps({"custom_id": "b", "response": None, "error": "the model is\noverloaded"}).encode()
    calls, _ = read(bare, errors=[refused])
    assert calls["a"].answer == "red"
    assert (calls["b"].answer, calls["b"].error) == (None, "the model is overloaded (in a batch)")
