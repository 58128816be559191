"""Layers by alias and hookpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from autointerp.diffusion.describe import describe_model
from autointerp.diffusion.description import ModelDescription
from autointerp.diffusion.families.flux import FLUX
from autointerp.diffusion.layers import list_layers, mlp_of, resolve_layer
from autointerp.errors import UsageError
from tests.diffusion.helpers import NAMES, Models, by_hand, captured_of, settings_of


def test_layers_of_a_folder(model_folder: Path) -> None:
    layers = {layer.alias: layer for layer in list_layers(describe_model(str(model_folder)))}
    assert {a: layer.hookpoint for a, layer in layers.items()} == {
        "early": "transformer.transformer_blocks.0",
        "mid": "transformer.transformer_blocks.1",
        "late": "transformer.single_transformer_blocks.2",
    }
    assert layers["mid"].as_dict() == {
        "alias": "mid",
        "hookpoint": "transformer.transformer_blocks.1",
        "d_in": 64,
        "grid": [12, 12],
        "stream": "image",
        "signal": "output",
    }


def test_aliases_of_the_full_size_model_are_the_papers_sites() -> None:
    sizes: dict[str, Any] = {
        "num_layers": 19,
        "num_single_layers": 38,
        "num_attention_heads": 24,
        "attention_head_dim": 128,
    }
    configs: dict[str, dict[str, Any]] = {"transformer": sizes, "vae": {"block_out_channels": [128, 256, 512, 512]}}
    aliases = FLUX.aliases(configs)
    flux = ModelDescription("flux", "flux", "0", FLUX, configs, FLUX.defaults, aliases)
    assert aliases == {
        "early": "transformer.transformer_blocks.9",
        "mid": "transformer.transformer_blocks.18",
        "late": "transformer.single_transformer_blocks.18",
    }
    layer = resolve_layer(flux, "mid", size=1024)
    assert (layer.d_in, layer.grid) == (3072, (64, 64))
    assert len(list_layers(flux, all_hookpoints=True)) == 57


def test_a_layer_is_found_by_hookpoint_and_has_its_alias(model) -> None:
    layer = resolve_layer(model, "transformer.transformer_blocks.1", signal="update")
    assert (layer.alias, layer.name, layer.signal) == ("mid", "mid", "update")
    other = resolve_layer(model, "transformer.single_transformer_blocks.0")
    assert (other.alias, other.name) == (None, other.hookpoint)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("mdi", "did you mean 'mid'"),
        ("transformer.transformer_blocks.7", "did you mean 'transformer.transf"),
        ("", "known"),
    ],
)
def test_unknown_layers_name_the_near_one(model, name: str, hint: str) -> None:
    with pytest.raises(UsageError) as raised:
        resolve_layer(model, name)
    assert hint in raised.value.hint


def test_unknown_signals_and_sizes_are_usage_errors(model) -> None:
    with pytest.raises(UsageError, match="signal"):
        resolve_layer(model, "mid", signal="outputs")
    with pytest.raises(UsageError, match="multiple of 8"):
        resolve_layer(model, "mid", size=100)
    with pytest.raises(UsageError, match="size of 0"):
        resolve_layer(model, "mid", size=0)


@pytest.mark.parametrize("name", NAMES)
def test_a_map_is_the_input_and_the_output_of_the_mlp(tiny_model: Models, name: str) -> None:
    model = tiny_model(name)
    layer = mlp_of(model, resolve_layer(model, "mid"))
    settings = settings_of(model, guidance=1.0)
    ((before, after),) = by_hand(model, [layer.hookpoint], settings)[layer.hookpoint][:1]
    (read,), _ = captured_of(model, [layer], (0,), settings)
    assert read.acts.shape[-1] == layer.width == 2 * layer.d_in
    tokens = read.acts.shape[1]
    assert torch.equal(read.acts[..., : layer.d_in], before[:, -tokens:])
    assert torch.equal(read.acts[..., layer.d_in :], after[:, -tokens:])
