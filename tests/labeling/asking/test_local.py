from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from autointerp.errors import AutointerpError, UsageError
from autointerp.labeling.asking.constraint import VERDICT
from autointerp.labeling.asking.ledger import MemoryLedger
from autointerp.labeling.asking.local import BatchSize, LocalChat
from autointerp.labeling.asking.local_vlm import Completion, LocalVlm, length_of
from autointerp.labeling.asking.messages import image_part, text_part
from autointerp.labeling.asking.protocol import AskFailed, BudgetReached
from autointerp.labeling.asking.replies import DETECT_SCHEMA, LABEL_SCHEMA


def messages(color: str, images: int = 1) -> list:
    picture = Image.new("RGB", (40, 40), color)
    content = [part for _ in range(images) for part in (text_part("Image:"), image_part(picture))]
    return [{"role": "system", "content": "Say what it is."}, {"role": "user", "content": content}]


class Scripted(LocalVlm):
    """A model that answers by script, and says what came together."""

    def __init__(self, answer=lambda messages: Completion('{"answers": [true]}', 10, 3, True)) -> None:
        self.name = "scripted"
        self.batches: list[int] = []
        self.seen: list = []
        self.chosen = 0
        self._answer, self.gate = answer, threading.Event()
        self.gate.set()

    def complete(self, requests, max_new_tokens=700):
        self.gate.wait(10)
        self.batches.append(len(requests))
        self.seen += requests
        return [self._answer(request) for request in requests]

    def choose(self, requests, choice):
        assert choice == VERDICT
        self.chosen += 1
        return self.complete(requests)


def until(chat: LocalChat, asked: int, waiting: int) -> None:
    """Wait until so many requests were asked, of which so many wait for a batch."""
    ends = time.monotonic() + 10
    while True:
        with chat._lock:
            if (chat.calls, len(chat._queue)) == (asked, waiting):
                return
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_what_waits_is_answered_together_and_recorded() -> None:
    model, ledger = Scripted(), MemoryLedger()
    model.gate.clear()
    chat = LocalChat(model, "local-vlm", ledger, batch=3)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(chat.ask, messages("#000000"), DETECT_SCHEMA, "t")]
        until(chat, 1, 0)
        asked += [pool.submit(chat.ask, messages(f"#0000{n:02x}"), DETECT_SCHEMA, "t") for n in range(1, 7)]
        until(chat, 7, 6)
        model.gate.set()
        assert {one.result(10) for one in asked} == {'{"answers": [true]}'}
    assert sum(model.batches) == 7
    assert max(model.batches) == 3
    assert len(ledger.calls) == 7
    assert all(c.cost == 0.0 and (c.input_tokens, c.output_tokens) == (10, 3) for c in ledger.calls)
    assert "JSON schema" in model.seen[0][0]["content"]
    again = LocalChat(model, "local-vlm", ledger, batch=3)
    again.ask(messages("#000003"), DETECT_SCHEMA, "t")
    assert again.calls == 0
    assert sum(model.batches) == 7


def test_shapes_vlm_is_not_told_the_schema() -> None:
    model = Scripted()
    LocalChat(model, "shapes-vlm").ask(messages("red"), DETECT_SCHEMA, "t")
    assert model.seen[0][0]["content"] == "Say what it is."


@pytest.mark.parametrize(
    ("completion", "reason"),
    [(Completion("  ", 5, 0, True), "empty answer"), (Completion('{"answers": [tr', 5, 9, False), "cut off")],
)
def test_an_answer_that_is_none_fails_its_request_alone(completion: Completion, reason: str) -> None:
    ledger = MemoryLedger()
    chat = LocalChat(Scripted(lambda request: completion), ledger=ledger)
    with pytest.raises(AskFailed, match=reason):
        chat.ask(messages("red"), DETECT_SCHEMA, "t")
    assert ledger.calls[0].answer == ""
    assert reason in ledger.calls[0].error


def test_an_error_reaches_everyone_who_waits_for_it() -> None:
    def broken(request: object) -> Completion:
        raise UsageError("an image cannot be read", "")

    chat = LocalChat(Scripted(broken), batch=4)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(chat.ask, messages(f"#0000{n:02x}"), DETECT_SCHEMA, "t") for n in range(4)]
        for one in asked:
            with pytest.raises(UsageError):
                one.result(10)


def test_memory_that_runs_out_is_one_line_for_all_that_wait() -> None:
    def full(request: object) -> Completion:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")

    with pytest.raises(AutointerpError, match="not enough memory for 1 requests to scripted"):
        LocalChat(Scripted(full)).ask(messages("red"), DETECT_SCHEMA, "t")


def test_calls_are_bounded() -> None:
    chat = LocalChat(Scripted(), max_calls=1)
    chat.ask(messages("red"), DETECT_SCHEMA, "t")
    chat.ask(messages("red"), DETECT_SCHEMA, "t")
    with pytest.raises(BudgetReached, match="1 calls"):
        chat.ask(messages("blue"), DETECT_SCHEMA, "t")


def test_the_oldest_request_is_answered_with_those_that_are_like_it() -> None:
    model = Scripted()
    chat = LocalChat(model, "shapes-vlm", batch=2)
    schema = LABEL_SCHEMA
    model.gate.clear()
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(chat.ask, messages("red"), schema, "t")]
        until(chat, 1, 0)
        for count in (3, 1, 3, 1):
            asked.append(pool.submit(chat.ask, messages(f"#{count}0000{len(asked)}", count), schema, "t"))
            until(chat, len(asked), len(asked) - 1)
        model.gate.set()
        for one in asked:
            one.result(10)
    assert [length_of(request)[0] for request in model.seen] == [1, 3, 3, 1, 1]


def test_a_batch_holds_few_pictures_and_a_large_request_goes_alone() -> None:
    model = Scripted()
    chat = LocalChat(model, "shapes-vlm", batch=BatchSize(8, pictures=4))
    model.gate.clear()
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(chat.ask, messages("red"), LABEL_SCHEMA, "t")]
        until(chat, 1, 0)
        for count in (2, 2, 2, 6):
            asked.append(pool.submit(chat.ask, messages(f"#{count}0000{len(asked)}", count), LABEL_SCHEMA, "t"))
            until(chat, len(asked), len(asked) - 1)
        model.gate.set()
        for one in asked:
            one.result(10)
    assert model.batches == [1, 2, 1, 1]
    assert [length_of(request)[0] for request in model.seen] == [1, 2, 2, 2, 6]


def test_verdicts_on_one_picture_are_chosen_and_others_are_written() -> None:
    model = Scripted()
    chat = LocalChat(model, "shapes-vlm")
    chat.ask(messages("red"), DETECT_SCHEMA, "t")
    chat.ask(messages("red", 2), DETECT_SCHEMA, "t")
    chat.ask(messages("red"), LABEL_SCHEMA, "t")
    assert model.chosen == 1
    assert len(model.batches) == 3


def test_several_batches_are_answered_at_the_same_time() -> None:
    together = threading.Barrier(2)

    def answer(request: object) -> Completion:
        together.wait(10)  # Breaks unless two batches are under way.
        return Completion("{}", 1, 1, True)

    chat = LocalChat(Scripted(answer), "shapes-vlm", batch=BatchSize(1, batches=2))
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(chat.ask, messages(color), LABEL_SCHEMA, "t") for color in ("red", "blue")]
        assert [one.result(10) for one in asked] == ["{}", "{}"]


def test_the_model_runs_in_its_own_few_threads_whoever_asks() -> None:
    # A thread in which a model has run keeps memory for a whole batch; 48 of them made gigabytes.
    ran: set[str] = set()

    def answer(request: object) -> Completion:
        ran.add(threading.current_thread().name)
        return Completion("{}", 1, 1, True)

    chat = LocalChat(Scripted(answer), "shapes-vlm", batch=BatchSize(1, batches=2))
    with ThreadPoolExecutor(16, thread_name_prefix="asks") as pool:
        list(pool.map(lambda n: chat.ask(messages(f"#0000{n:02x}"), LABEL_SCHEMA, "t"), range(48)))
    assert 1 <= len(ran) <= 2
    assert not any(name.startswith("asks") for name in ran)


def test_requests_that_wait_fail_when_the_work_is_given_up() -> None:
    model = Scripted()
    model.gate.clear()
    chat = LocalChat(model, "shapes-vlm", batch=1)
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(chat.ask, messages(color), LABEL_SCHEMA, "t") for color in ("red", "green", "blue")]
        until(chat, 3, 2)
        chat.give_up()
        model.gate.set()
        errors = [one.exception(10) for one in asked]
    assert sum(isinstance(error, AutointerpError) and "given up" in error.message for error in errors) == 2
    assert model.batches == [1]
    with pytest.raises(AutointerpError, match="given up"):
        chat.ask(messages("pink"), LABEL_SCHEMA, "t")
