from __future__ import annotations

import threading
from typing import Any

import pytest

from autointerp.errors import AutointerpError
from autointerp.labeling.asking.constraint import VERDICT
from autointerp.labeling.asking.deferred import DeferredVlm
from autointerp.labeling.asking.local import LocalChat
from autointerp.labeling.asking.local_vlm import Completion
from autointerp.labeling.asking.replies import DETECT_SCHEMA


class Model:
    """Answers with the number of requests of the batch."""

    name = "m@1"

    def complete(self, requests: Any, max_new_tokens: int = 700) -> list[Completion]:
        return [Completion(f"{len(requests)} in {max_new_tokens}", 1, 1, True) for _ in requests]

    def choose(self, requests: Any, choice: Any) -> list[Completion]:
        return [Completion(choice.texts[0], 1, 1, True) for _ in requests]


def request(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def test_the_first_request_loads_and_says_so_before() -> None:
    order: list[str] = []

    def load() -> Any:
        order.append("loaded")
        return Model()

    vlm = DeferredVlm("m@1", load, order.append)
    chat = LocalChat(vlm)
    assert (chat.model, order) == ("m@1", [])
    assert chat.ask(request("a"), DETECT_SCHEMA, "t").endswith("in 700")
    assert order == ["loading m@1", "loaded"]
    assert vlm.choose([request("b")], VERDICT)[0].text == VERDICT.texts[0]
    assert order == ["loading m@1", "loaded"]


def test_threads_load_it_once() -> None:
    loads: list[int] = []
    begun = threading.Barrier(4)

    def load() -> Any:
        loads.append(1)
        return Model()

    vlm = DeferredVlm("m", load, lambda text: None)

    def use() -> None:
        begun.wait()
        vlm.complete([request("a")])

    threads = [threading.Thread(target=use) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert loads == [1]


def test_a_model_that_cannot_be_loaded_fails_the_request_with_its_reason() -> None:
    def load() -> Any:
        raise AutointerpError("no weights", "fetch them")

    chat = LocalChat(DeferredVlm("m", load, lambda text: None))
    with pytest.raises(AutointerpError, match="no weights: fetch them"):
        chat.ask(request("a"), DETECT_SCHEMA, "t")
