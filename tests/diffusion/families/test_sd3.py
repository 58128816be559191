"""Forms of the modules of Stable Diffusion 3."""

from __future__ import annotations

import pytest
import torch

from autointerp.diffusion.families.generic import GenericFamily
from autointerp.diffusion.families.sd3 import SD3
from autointerp.diffusion.layers import resolve_layer
from autointerp.errors import AutointerpError
from tests.diffusion.helpers import Models, by_hand, captured_of, settings_of

GENERIC = GenericFamily("AnyPipeline", "transformer")


def test_the_forms_of_sd3(tiny_model: Models) -> None:
    """Blocks return (text, image), the last (None, image), their attention (image, text)."""
    model = tiny_model("sd3")
    blocks = [f"transformer.transformer_blocks.{i}" for i in (0, 3)]
    names = [*blocks, *(f"{b}.attn" for b in blocks)]
    layers = [resolve_layer(model, h) for h in names]
    got, _ = captured_of(model, layers, (1,), settings_of(model, "sd3"))
    seen = by_hand(model, names, settings_of(model, "sd3"))
    assert seen[blocks[1]][1][1][0] is None
    for c in got:
        output = seen[c.layer.hookpoint][1][1]
        assert torch.equal(c.acts, output[0 if c.layer.hookpoint.endswith(".attn") else 1][2:])
    with pytest.raises(AutointerpError, match="has no update"):
        captured_of(model, [resolve_layer(model, names[2], signal="update")], (0,), settings_of(model))


def test_as_many_text_as_image_tokens_confuse_nothing() -> None:
    text, image = torch.randn(2, 16, 8), torch.randn(2, 16, 8)
    block = {"hidden_states": image, "encoder_hidden_states": text, "temb": torch.zeros(2, 8)}
    attention = {"hidden_states": image, "encoder_hidden_states": text}
    assert SD3.image_tokens(block, (text, image), 16, 16)[1] is image
    assert SD3.image_tokens(attention, (image, text), 16, 16)[1] is image
    new = torch.randn(2, 16, 8)
    assert torch.equal(SD3.put_image_tokens(block, (text, image), new)[1], new)
    assert torch.equal(SD3.put_image_tokens(attention, (image, text), new)[0], new)
    with pytest.raises(AutointerpError, match="not known"):
        SD3.image_tokens(block, (image, text), 16, 17)
    with pytest.raises(AutointerpError, match="returned 2 tensors of 16 tokens"):
        GENERIC.image_tokens({}, (text, image), 16, 16)
