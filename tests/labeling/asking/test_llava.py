"""A LLaVA's requests as embeddings give what its own processor and its own forward pass give."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from PIL import Image

from autointerp.labeling.asking.llava import LlavaInputs
from autointerp.labeling.asking.pictures import Picture
from training.shapes.vlm_model import new_processor, new_vlm
from training.shapes.vlm_text import new_tokenizer

PICTURES = [Picture.of(Image.effect_noise((60, 50), 90 + n).convert("RGB")) for n in range(3)]


@pytest.fixture(scope="module")
def parts() -> tuple[Any, Any]:
    torch.manual_seed(0)
    tokenizer = new_tokenizer()
    return new_vlm(tokenizer).eval(), new_processor(tokenizer)


def plain_logits(parts: tuple[Any, Any], text: str, pictures: list[Picture]) -> torch.Tensor:
    model, processor = parts
    images = [picture.image for picture in pictures] or None
    inputs = processor(text=[text], images=images, return_tensors="pt")
    return model(**{key: value for key, value in inputs.items() if key != "token_type_ids"}).logits[0, -1]


@torch.inference_mode()
def test_logits_are_those_of_the_plain_way_whatever_is_asked_together(parts: tuple[Any, Any]) -> None:
    inputs = LlavaInputs(*parts)
    requests = [
        ("a red circle <image> yes or no", PICTURES[:1]),
        ("a red circle <image> yes or no", PICTURES[1:2]),
        ("a blue star <image> yes or no", PICTURES[:1]),
        ("a red circle <image> and <image> both", PICTURES[1:]),
        ("no picture at all", []),
    ]
    assert inputs.fits(*requests[0])
    for _ in range(2):  # The second time, everything is known.
        logits, lengths = inputs.next_logits(*zip(*requests, strict=True))
        for (text, pictures), ours in zip(requests, logits, strict=True):
            assert torch.allclose(ours, plain_logits(parts, text, pictures), atol=1e-4)
        assert lengths[3] > lengths[0] + 30


@torch.inference_mode()
def test_each_picture_and_each_beginning_is_computed_once(
    parts: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _ = parts
    inputs, seen, plain = LlavaInputs(*parts), [], model.get_image_features

    def counted(pixel_values: torch.Tensor, **options: Any) -> Any:
        seen.append(len(pixel_values))
        return plain(pixel_values=pixel_values, **options)

    monkeypatch.setattr(model, "get_image_features", counted)
    texts = ["a red circle <image> yes or no"] * 4
    inputs.next_logits(texts, [[picture] for picture in (*PICTURES, PICTURES[0])])
    inputs.next_logits(["a blue star <image> yes or no"], [PICTURES[:1]])
    assert seen == [3]
    assert len(inputs._prompts) == 2


def test_a_tokenizer_that_writes_pieces_otherwise_takes_the_plain_way(
    parts: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = LlavaInputs(*parts)
    plain = inputs._token_ids
    monkeypatch.setattr(inputs, "_token_ids", lambda text, begins: plain(text, begins) + ([] if begins else [5]))
    assert not inputs.fits("a red circle <image> yes or no", PICTURES[:1])


def test_other_models_have_no_such_inputs(parts: tuple[Any, Any]) -> None:
    assert LlavaInputs.of(*parts) is not None
    assert LlavaInputs.of(parts[0], object()) is None
    assert LlavaInputs.of(torch.nn.Linear(1, 1), parts[1]) is None
