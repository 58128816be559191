"""A pipeline class without an entry."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from autointerp.diffusion.families import GenericFamily, NoDenoisingError
from autointerp.diffusion.families.generic import Seen
from autointerp.diffusion.layers import list_layers, resolve_layer
from autointerp.diffusion.loading import load_model
from autointerp.errors import AutointerpError, UsageError
from tests.diffusion import tiny
from tests.diffusion.helpers import by_hand, captured_of, hooks_on, rows_of, settings_of
from tests.diffusion.tiny_open import alt_diffusion


def test_any_other_pipeline_works_by_hookpoint(tmp_path: Path) -> None:
    folder = tiny.save(alt_diffusion, tmp_path / "other")
    model = load_model(str(folder), device="cpu", dtype="float32")
    assert model.family.name == "generic"
    assert list_layers(model) == []
    with pytest.raises(UsageError, match="has no aliases") as raised:
        resolve_layer(model, "mid")
    assert "--layer unet." in raised.value.hint
    layers = [resolve_layer(model, f"unet.mid_block.{path}") for path in ("attentions.0", "attentions.0.norm")]
    got, with_capture = captured_of(model, layers, (0, 2), settings_of(model))
    _, without = captured_of(model, [], (), settings_of(model))
    assert all(np.array_equal(a, b) for a, b in zip(with_capture, without, strict=True))
    seen = by_hand(model, [layer.hookpoint for layer in layers], settings_of(model))
    for c in got:
        output = seen[c.layer.hookpoint][c.step][1]
        assert torch.equal(c.acts, rows_of(output[0] if isinstance(output, tuple) else output))
    for path, says in {
        "mid_block.attentions.9": "no hookpoint",
        "mid_block.attentions.0.transformer_blocks.0.attn2.to_k": "fires no image tokens",
        "time_embedding": "the width of",
    }.items():
        with pytest.raises(AutointerpError) as failed:
            captured_of(model, [resolve_layer(model, f"unet.{path}")], (0,), settings_of(model))
        assert says in str(failed.value)
        assert "\n" not in str(failed.value)
        assert hooks_on(model) == 0


SMALL: dict[str, tuple[int | None, ...]] = {"joint": (20,), "first": (1,), "two": (4, 16)}
LARGE: dict[str, tuple[int | None, ...]] = {"joint": (40,), "first": (1,), "two": (4, 36)}


@pytest.mark.parametrize(
    ("path", "changing", "says"),
    [
        ("two", ("two",), "transformer.two of OtherPipeline returns another number of tokens at later steps"),
        ("joint", (), "has image tokens and others in one tensor"),
        ("first", (), "fires no image tokens"),
        ("absent", (), "fires no image tokens"),
    ],
)
def test_a_place_is_refused_where_its_tokens_are_not_the_images_alone(
    path: str, changing: tuple[str, ...], says: str
) -> None:
    """As Qwen-Image 2.1 shortens its sequence, Krea 2 joins streams, and ERNIE-Image has [tokens, images, width]."""
    family = GenericFamily("OtherPipeline", "transformer")
    family.seen[1.0] = Seen({}, 1, 0, (SMALL, LARGE))
    family.check_place("transformer.two", (16, 36))
    family.seen[1.0] = Seen({}, 1, 0, (SMALL, LARGE), frozenset(changing))
    with pytest.raises(AutointerpError) as refused:
        family.check_place(f"transformer.{path}", (16, 36))
    assert says in str(refused.value)


def test_a_prediction_of_unknown_sign_is_none_of_which_an_error_is_known() -> None:
    family = GenericFamily("OtherPipeline", "transformer")
    with pytest.raises(NoDenoisingError, match="what OtherPipeline makes of the prediction"):
        family.prediction((torch.ones(1),))
    family.sign = -1
    assert family.prediction((torch.ones(1),)).tolist() == [-1]
    assert family.answer(torch.ones(1))[0].tolist() == [-1]
