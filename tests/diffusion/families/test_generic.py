"""A pipeline class without an entry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autointerp.diffusion.layers import list_layers, resolve_layer
from autointerp.diffusion.loading import load_model
from autointerp.errors import AutointerpError, UsageError
from tests.diffusion import tiny
from tests.diffusion.helpers import by_hand, captured_of, hooks_on, rows_of, settings_of


def lcm() -> Any:
    """A pipeline class without an entry."""
    from diffusers import LatentConsistencyModelPipeline, LCMScheduler

    parts = tiny.sd("DDIMScheduler", timestep_spacing="leading").components
    config = {**parts["unet"].config, "time_cond_proj_dim": 16, "_use_default_values": []}
    unet = type(parts["unet"]).from_config(config)
    parts |= {"unet": unet, "scheduler": LCMScheduler.from_config(parts["scheduler"].config)}
    return LatentConsistencyModelPipeline(**parts, requires_safety_checker=False)


def test_any_other_pipeline_works_by_hookpoint(tmp_path: Path) -> None:
    folder = tiny.save(lcm, tmp_path / "lcm")
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
