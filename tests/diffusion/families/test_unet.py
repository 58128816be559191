"""Forms of the modules of a U-Net."""

from __future__ import annotations

import pytest
import torch

from autointerp.diffusion.families.generic import GenericFamily
from autointerp.diffusion.families.unet import SD
from autointerp.diffusion.layers import neurons_of, resolve_layer
from autointerp.errors import AutointerpError, UsageError
from tests.diffusion.helpers import Models, by_hand, captured_of, rows_of, settings_of

GENERIC = GenericFamily("AnyPipeline", "transformer")


def test_the_forms_of_a_u_net(tiny_model: Models) -> None:
    """Mid blocks and ResNets return a tensor, attentions a 1-tuple, down blocks (tensor, skips)."""
    model = tiny_model("sd")
    assert not any(h.startswith("unet.up_blocks.0.attentions") for h in model.family.hookpoints(model.configs))
    assert model.aliases["late"] == "unet.up_blocks.1.attentions.2"
    names = {
        "unet.down_blocks.0": lambda out: rows_of(out[0]),
        "unet.down_blocks.1.resnets.0": rows_of,
        "unet.mid_block": rows_of,
        "unet.mid_block.attentions.0": lambda out: rows_of(out[0]),
        "unet.mid_block.attentions.0.transformer_blocks.0": lambda out: out,
        "unet.up_blocks.0": rows_of,
        "unet.up_blocks.2.attentions.1": lambda out: rows_of(out[0]),
    }
    layers = [resolve_layer(model, h, signal="output") for h in names]
    assert [layer.grid for layer in layers] == [(4, 4), (4, 4), (2, 2), (2, 2), (2, 2), (4, 4), (8, 8)]
    got, _ = captured_of(model, layers, (2,), settings_of(model, "sd"))
    seen = by_hand(model, list(names), settings_of(model, "sd"))
    for c in got:
        output = seen[c.layer.hookpoint][3][1]
        assert torch.equal(c.acts, names[c.layer.hookpoint](output)[2:])
    for hookpoint in ("unet.down_blocks.0", "unet.up_blocks.2.resnets.0"):  # another grid, another width
        layer = resolve_layer(model, hookpoint, signal="update")
        with pytest.raises(AutointerpError, match="has no update"):
            captured_of(model, [layer], (0,), settings_of(model))
    with pytest.raises(UsageError, match="does not fit"):
        resolve_layer(model, "mid", size=72)
    with pytest.raises(UsageError, match="has no MLP"):
        neurons_of(model, layers[0])


def test_a_u_nets_output_is_put_back_in_its_form() -> None:
    states, skip = torch.randn(2, 8, 3, 4), torch.randn(2, 8, 6, 8)
    _, image = SD.image_tokens({}, (states,), 0, 12)
    assert torch.equal(image[0, 5], states[0, :, 1, 1])  # row by row
    assert torch.equal(SD.put_image_tokens({}, (states,), image)[0], states)
    down = SD.put_image_tokens({}, (states, (skip, states)), image + 1)
    assert torch.equal(down[0], states + 1)
    assert down[1][0] is skip
    assert down[1][1] is down[0]
    with pytest.raises(AutointerpError, match="not known"):
        SD.image_tokens({}, states, 0, 13)
    text = torch.randn(2, 5, 8)
    with pytest.raises(AutointerpError, match="0 tensors of 12"):
        GENERIC.image_tokens({}, torch.cat([text, image], 1), 5, 12)
    assert torch.equal(GENERIC.put_image_tokens({}, (text, image), image + 1)[1], image + 1)
