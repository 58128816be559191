"""A transformers VLM on this machine stands where a server stands: same requests, same ledger, batches of threads."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from PIL import Image

from autointerp.errors import AutointerpError, UsageError
from autointerp.labeling.attempts import AskFailed
from autointerp.labeling.chat import BudgetReached, MemoryLedger
from autointerp.labeling.local import Completion, LocalChat, LocalVlm
from autointerp.labeling.messages import image_part, text_part
from autointerp.labeling.replies import DETECT_SCHEMA
from autointerp.shapes.train.vlm import new_processor, new_vlm
from autointerp.shapes.train.vlm_text import new_tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaVA as transformers saves one, untrained."""
    torch.manual_seed(0)
    path, tokenizer = tmp_path_factory.mktemp("llava"), new_tokenizer()
    model = new_vlm(tokenizer)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(path)
    new_processor(tokenizer).save_pretrained(path)
    return path


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
        self._answer, self.gate = answer, threading.Event()
        self.gate.set()

    def complete(self, requests, max_new_tokens=700):
        self.gate.wait(10)
        self.batches.append(len(requests))
        self.seen += requests
        return [self._answer(request) for request in requests]


def test_a_model_of_transformers_answers_in_batches_as_alone(folder: Path) -> None:
    vlm = LocalVlm.load(str(folder))
    requests = [messages("red"), messages("blue", 3), [{"role": "user", "content": "hello"}]]
    together = vlm.answer(requests, max_new_tokens=9)
    assert together == [vlm.answer([one], max_new_tokens=9)[0] for one in requests]
    one = vlm.complete([requests[1]], max_new_tokens=9)[0]
    assert one.input_tokens > 3 * 37 and one.output_tokens <= 9 and vlm.complete([]) == []
    assert vlm.name == str(folder)


def test_what_cannot_be_loaded_is_one_line(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    for name, said in (
        (tmp_path, "no vision-language model|cannot"),
        (tmp_path / "none", "there is no|neither|not wholly"),
    ):
        with pytest.raises(AutointerpError, match=said) as found:
            LocalVlm.load(str(name), local_files_only=True)
        assert "\n" not in str(found.value)
    from transformers import AutoProcessor

    def needs(*args: object, **kwargs: object) -> None:
        raise ImportError("Qwen2VLVideoProcessor requires the Torchvision library but it was not found".lower())

    monkeypatch.setattr(AutoProcessor, "from_pretrained", needs)
    with pytest.raises(AutointerpError, match="needs torchvision"):
        LocalVlm.load(str(folder))


def test_a_processor_without_a_chat_template_is_refused(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        if "chat_template" not in file.name:
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(AutointerpError, match="no chat template"):
        LocalVlm.load(str(tmp_path))


def test_what_waits_is_answered_together_and_recorded() -> None:
    model, ledger = Scripted(), MemoryLedger()
    model.gate.clear()
    chat = LocalChat(model, "local-vlm", ledger, batch=3)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(chat.ask, messages(f"#0000{n:02x}"), DETECT_SCHEMA, "t") for n in range(7)]
        while len(chat._queue) < 6:
            pass
        model.gate.set()
        assert {one.result(10) for one in asked} == {'{"answers": [true]}'}
    assert sum(model.batches) == 7 and max(model.batches) == 3 and len(ledger.calls) == 7
    assert all(c.cost is None and (c.input_tokens, c.output_tokens) == (10, 3) for c in ledger.calls)
    assert "JSON schema" in model.seen[0][0]["content"]
    again = LocalChat(model, "local-vlm", ledger, batch=3)
    again.ask(messages("#000003"), DETECT_SCHEMA, "t")
    assert again.calls == 0 and sum(model.batches) == 7


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
    assert ledger.calls[0].answer == "" and reason in ledger.calls[0].error


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
