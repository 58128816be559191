from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image

from autointerp.errors import AutointerpError
from autointerp.labeling.asking.constraint import Choice
from autointerp.labeling.asking.local_vlm import LocalVlm, _threads
from autointerp.labeling.asking.messages import image_part, text_part
from training.shapes.vlm_model import new_processor, new_vlm
from training.shapes.vlm_text import new_tokenizer


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


def test_a_model_of_transformers_answers_in_batches_as_alone(folder: Path) -> None:
    vlm = LocalVlm.load(str(folder))
    requests = [messages("red"), messages("blue", 3), [{"role": "user", "content": "hello"}]]
    together = vlm.answer(requests, max_new_tokens=9)
    assert together == [vlm.answer([one], max_new_tokens=9)[0] for one in requests]
    one = vlm.complete([requests[1]], max_new_tokens=9)[0]
    assert one.input_tokens > 3 * 37
    assert one.output_tokens <= 9
    assert vlm.complete([]) == []
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


@pytest.mark.parametrize("llava", [True, False])
def test_a_choice_is_what_is_written_after_the_opening(folder: Path, llava: bool) -> None:
    vlm = LocalVlm.load(str(folder))
    if not llava:
        vlm._embedded = None  # As for any other class of model.
    requests = [messages("red"), messages("blue"), [{"role": "user", "content": "hello"}], messages("lime", 2)]
    choice = Choice('{"answers": [', ("true", "false"), "]}")
    found = vlm.choose(requests, choice)
    words = [vlm.tokenizer.get_vocab()[word] for word in choice.texts]
    for request, one in zip(requests, found, strict=True):
        texts, pictures = vlm._read([request])
        images = [[picture.image for picture in some] for some in pictures]
        inputs = vlm._processor(
            text=[texts[0] + choice.opening], images=images if any(images) else None, return_tensors="pt"
        )
        inputs.pop("token_type_ids", None)
        with torch.inference_mode():
            logits = vlm._model(**inputs).logits[0, -1, words]
        assert one.text == f'{{"answers": [{choice.texts[int(logits.argmax())]}]}}'
        assert one.input_tokens == inputs["input_ids"].shape[1]
        assert one.finished
    assert vlm.choose([], choice) == []


def test_embeddings_give_the_answers_of_the_plain_way(folder: Path) -> None:
    vlm, plain = LocalVlm.load(str(folder)), LocalVlm.load(str(folder))
    plain._embedded = None
    requests = [messages("red"), messages("blue", 3), messages("lime", 2)]
    assert vlm.complete(requests, 9) == plain.complete(requests, 9)


def test_a_reply_is_closed_where_its_form_ends(folder: Path) -> None:
    class Short:
        """Any three tokens, then a full stop that the model does not write."""

        def allowed(self, reply: Sequence[int]) -> frozenset[int]:
            return frozenset(range(10, 40))

        def closing(self, reply: Sequence[int]) -> str | None:
            return "." if len(reply) == 3 else None

    vlm = LocalVlm.load(str(folder))
    vlm.form = Short()
    for one in vlm.complete([messages("red"), messages("blue", 2)], 9):
        assert one.output_tokens == 3
        assert one.text.endswith(".")
        assert one.finished


def test_a_limit_of_threads_ends_with_the_last_block_that_has_it() -> None:
    before = torch.get_num_threads()
    with _threads(1):
        with _threads(1):
            pass
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
