"""Requests as embeddings, for any class of model whose language model gets nothing else of the pictures."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from PIL import Image

from autointerp.labeling.asking.constraint import VERDICT
from autointerp.labeling.asking.embedded import EmbeddedInputs
from autointerp.labeling.asking.local_vlm import LocalVlm
from autointerp.labeling.asking.messages import image_part, text_part
from autointerp.labeling.asking.pictures import Picture
from benchmarks.random_vlms import CLASSES, TINY

PICTURES = [Image.effect_noise((60 + n, 50), 90 + n).convert("RGB") for n in range(4)]


@pytest.fixture(scope="module", params=CLASSES)
def vlm(request: pytest.FixtureRequest) -> LocalVlm:
    torch.manual_seed(0)
    return CLASSES[request.param](TINY)


@pytest.fixture
def inputs(vlm: LocalVlm) -> EmbeddedInputs:
    return EmbeddedInputs(vlm._model, vlm._processor)


def messages(label: str, *pictures: int) -> list[dict[str, Any]]:
    content = [part for n in pictures for part in (text_part("Image:"), image_part(PICTURES[n], "pixels"))]
    return [{"role": "system", "content": f"Is it {label}?"}, {"role": "user", "content": content}]


def given(vlm: LocalVlm, *requests: list[dict[str, Any]]) -> tuple[list[str], list[list[Picture]]]:
    return vlm._read(requests)


REQUESTS = [messages("red", 0), messages("red", 1), messages("blue", 0), messages("red", 1, 2, 3)]


def test_answers_are_those_of_the_plain_way(vlm: LocalVlm) -> None:
    plain, ours = (LocalVlm(vlm._model, vlm._processor, "m") for _ in range(2))
    plain._embedded = None
    ours._embedded = EmbeddedInputs.of(vlm._model, vlm._processor)
    assert ours.complete(REQUESTS, 8) == plain.complete(REQUESTS, 8)
    texts, pictures = given(vlm, *REQUESTS)
    with torch.inference_mode():
        assert ours._exact(texts, pictures) is ours._embedded
    for one, other in zip(ours.choose(REQUESTS, VERDICT), plain.choose(REQUESTS, VERDICT), strict=True):
        assert (one.text, one.input_tokens) == (other.text, other.input_tokens)
        assert one.shares == pytest.approx(other.shares, abs=1e-4)


@torch.inference_mode()
def test_each_picture_and_each_beginning_is_computed_once(
    vlm: LocalVlm, inputs: EmbeddedInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[int] = []
    plain = inputs._new_features

    def counted(images: Any) -> Any:
        computed.append(len(images))
        return plain(images)

    monkeypatch.setattr(inputs, "_new_features", counted)
    for request in (*REQUESTS, *REQUESTS):
        inputs.next_logits(*given(vlm, request))
    assert computed == [1, 1, 2], "one, another, and the two that are new in the last request"
    assert len(inputs._prompts) == 2


@torch.inference_mode()
@pytest.mark.parametrize(
    "more",
    [
        {"position_ids": torch.zeros(3, 1, 9, dtype=torch.long)},
        {"attention_mask": {"full_attention": None}},
        {"deepstack_visual_embeds": [1]},
    ],
    ids=["positions in two dimensions", "a mask of its own", "features of other layers"],
)
def test_a_language_model_that_gets_more_takes_the_plain_way(
    vlm: LocalVlm, inputs: EmbeddedInputs, more: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts, pictures = given(vlm, REQUESTS[0])
    assert inputs.fits(texts[0], pictures[0])
    other, plain = EmbeddedInputs(vlm._model, vlm._processor), EmbeddedInputs._given
    monkeypatch.setattr(EmbeddedInputs, "_given", lambda self, of: {**plain(self, of), **more})
    assert not other.fits(texts[0], pictures[0])
    assert not other.fits("no picture", [])


@torch.inference_mode()
def test_one_picture_and_several_are_decided_each_for_itself(
    vlm: LocalVlm, inputs: EmbeddedInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts, pictures = given(vlm, *REQUESTS)
    assert inputs.fits(texts[0], pictures[0])
    monkeypatch.setattr(inputs, "_is_exact", lambda text, some: False)
    assert inputs.fits(texts[1], pictures[1])
    assert not inputs.fits(texts[3], pictures[3])


@torch.inference_mode()
def test_a_model_that_cannot_be_run_so_takes_the_plain_way(vlm: LocalVlm, monkeypatch: pytest.MonkeyPatch) -> None:
    texts, pictures = given(vlm, REQUESTS[0])
    for error, raised in ((TypeError("no logits_to_keep"), None), (RuntimeError("out of memory"), RuntimeError)):
        inputs = EmbeddedInputs(vlm._model, vlm._processor)

        def fail(*_: Any, error: Exception = error) -> Any:
            raise error

        monkeypatch.setattr(inputs, "next_logits", fail)
        if raised is None:
            assert not inputs.fits(texts[0], pictures[0])
        else:
            with pytest.raises(raised, match="out of memory"):
                inputs.fits(texts[0], pictures[0])


def test_a_processor_without_an_image_token_has_no_such_inputs(vlm: LocalVlm) -> None:
    assert EmbeddedInputs.of(vlm._model, vlm._processor) is not None
    assert EmbeddedInputs.of(vlm._model, object()) is None
