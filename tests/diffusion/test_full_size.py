"""Full-size models on the meta device, without weights: every alias has the width and grid that it says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from autointerp.diffusion.arguments import named
from autointerp.diffusion.describe import describe_model
from autointerp.diffusion.layers import list_layers, resolve_layer
from benchmarks.full_size import FLUX, MODELS, SD15, SDXL, TURBO, Configs, FullSize


def unet_call(text: int, pooled: int | None = None) -> Callable[[int], dict[str, Any]]:
    def call(size: int) -> dict[str, Any]:
        given = {"sample": torch.empty(2, 4, size // 8, size // 8), "timestep": torch.empty(())}
        given["encoder_hidden_states"] = torch.empty(2, 77, text)
        added = {"text_embeds": torch.empty(2, pooled), "time_ids": torch.empty(2, 6)} if pooled else None
        return {**given, "added_cond_kwargs": added}

    return call


def flux_call(size: int) -> dict[str, Any]:
    count = (size // 16) ** 2
    return {
        "hidden_states": torch.empty(1, count, 64),
        "encoder_hidden_states": torch.empty(1, 256, 4096),
        "pooled_projections": torch.empty(1, 768),
        "timestep": torch.empty(1),
        "img_ids": torch.empty(count, 3),
        "txt_ids": torch.empty(256, 3),
    }


def sd3_call(size: int) -> dict[str, Any]:
    return {
        "hidden_states": torch.empty(2, 16, size // 8, size // 8),
        "encoder_hidden_states": torch.empty(2, 333, 4096),
        "pooled_projections": torch.empty(2, 2048),
        "timestep": torch.empty(2),
    }


def pixart_call(size: int) -> dict[str, Any]:
    return {
        "hidden_states": torch.empty(2, 4, size // 8, size // 8),
        "encoder_hidden_states": torch.empty(2, 300, 4096),
        "timestep": torch.empty(2),
        "added_cond_kwargs": {"resolution": None, "aspect_ratio": None},
    }


UNET, BLOCKS = "unet.{}", "transformer.transformer_blocks.{}"
SINGLE = "transformer.single_transformer_blocks.{}"
Sites = dict[str, tuple[str, int, int]]
# name -> a call of the denoiser, and alias -> (hookpoint, width, side of the grid)
EXPECTED: dict[str, tuple[Callable[[int], dict[str, Any]], Sites]] = {
    "sd-1.5": (
        unet_call(768),
        {
            "early": (UNET.format("down_blocks.2.attentions.1"), 1280, 16),
            "mid": (UNET.format("mid_block.attentions.0"), 1280, 8),
            "late": (UNET.format("up_blocks.1.attentions.2"), 1280, 16),
        },
    ),
    "sdxl": (
        unet_call(2048, 1280),
        {
            "early": (UNET.format("down_blocks.2.attentions.1"), 1280, 32),
            "mid": (UNET.format("mid_block.attentions.0"), 1280, 32),
            "late": (UNET.format("up_blocks.0.attentions.0"), 1280, 32),
            "later": (UNET.format("up_blocks.0.attentions.1"), 1280, 32),
        },
    ),
    "sdxl-turbo": (
        unet_call(2048, 1280),
        {
            "early": (UNET.format("down_blocks.2.attentions.1"), 1280, 16),
            "mid": (UNET.format("mid_block.attentions.0"), 1280, 16),
            "late": (UNET.format("up_blocks.0.attentions.0"), 1280, 16),
            "later": (UNET.format("up_blocks.0.attentions.1"), 1280, 16),
        },
    ),
    "flux.1-schnell": (
        flux_call,
        {
            "early": (BLOCKS.format(9), 3072, 64),
            "mid": (BLOCKS.format(18), 3072, 64),
            "late": (SINGLE.format(18), 3072, 64),
        },
    ),
    "sd-3.5-medium": (
        sd3_call,
        {
            "early": (BLOCKS.format(6), 1536, 64),
            "mid": (BLOCKS.format(12), 1536, 64),
            "late": (BLOCKS.format(18), 1536, 64),
        },
    ),
    "pixart-sigma": (
        pixart_call,
        {
            "early": (BLOCKS.format(7), 1152, 64),
            "mid": (BLOCKS.format(14), 1152, 64),
            "late": (BLOCKS.format(21), 1152, 64),
        },
    ),
}


def _changed(configs: Configs, **unet: Any) -> Configs:
    return {**configs, "unet": {**configs["unet"], **unet}}


_TURBO_HEADS = {"attention_head_dim": [5, 10, 20, 20], "cross_attention_dim": 1024, "use_linear_projection": True}
_KOLORS_TEXT = {"encoder_hid_dim": 4096, "encoder_hid_dim_type": "text_proj"}
_KOLORS_TEXT |= {"projection_class_embeddings_input_dim": 4096 + 6 * 256}
# The same U-Nets in other models.
MORE = {
    "sd-turbo": FullSize(
        "StableDiffusionPipeline",
        "UNet2DConditionModel",
        {**_changed(SD15, **_TURBO_HEADS), "scheduler": TURBO["scheduler"]},
        {},
        512,
    ),
    "lcm": FullSize(
        "LatentConsistencyModelPipeline",
        "UNet2DConditionModel",
        _changed(SD15, sample_size=96, time_cond_proj_dim=256),
        {},
        768,
    ),
    "kolors": FullSize("KolorsPipeline", "UNet2DConditionModel", _changed(SDXL, **_KOLORS_TEXT), {}, 1024),
}
EXPECTED["sd-turbo"] = unet_call(1024), EXPECTED["sd-1.5"][1]
EXPECTED["kolors"] = unet_call(4096, 4096), EXPECTED["sdxl"][1]
EXPECTED["lcm"] = (
    unet_call(768),
    {alias: (hookpoint, width, side * 3 // 2) for alias, (hookpoint, width, side) in EXPECTED["sd-1.5"][1].items()},
)


def written(folder: Path, pipeline: str, configs: Configs) -> Path:
    """A model's folder as far as a description reads it: no weights."""
    index: dict[str, Any] = {"_class_name": pipeline}
    for part, config in configs.items():
        (folder / part).mkdir(parents=True)
        file = "scheduler_config.json" if part == "scheduler" else "config.json"
        (folder / part / file).write_text(json.dumps(config))
        index[part] = ["diffusers", "X"]
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


@pytest.mark.parametrize("name", EXPECTED)
def test_every_alias_has_the_width_and_grid_it_says(tmp_path: Path, name: str) -> None:
    """Said from the configuration alone; then a call of the real class is run through with hooks on it."""
    import diffusers

    (call, expected), full = EXPECTED[name], {**MODELS, **MORE}[name]
    size = full.size
    description = describe_model(str(written(tmp_path / name, full.pipeline, full.configs)))
    native = None if "flux" in name else size  # FLUX's files do not tell.
    assert native is None or description.defaults.size == native
    found = {layer.alias: (layer.hookpoint, layer.d_in, *layer.grid) for layer in list_layers(description, size)}
    assert found == {alias: (h, width, side, side) for alias, (h, width, side) in expected.items()}
    seen: dict[str, tuple[int, ...]] = {}
    family = description.family
    with torch.device("meta"), torch.inference_mode():
        model = getattr(diffusers, full.denoiser)(**full.configs[family.denoiser])
        given = call(size)
        # Everything that can be named exists and fires as many image tokens of that width as its layer says.
        for layer in list_layers(description, size, all_hookpoints=True):

            def hook(module: Any, args: Any, kwargs: Any, output: Any, layer: Any = layer) -> None:
                text = given["encoder_hidden_states"].shape[1]
                count = layer.grid[0] * layer.grid[1]
                _, after = family.image_tokens(named(module, args, kwargs), output, text, count)
                seen[layer.hookpoint] = tuple(after.shape[1:])

            module = model.get_submodule(layer.hookpoint.partition(".")[2])
            module.register_forward_hook(hook, with_kwargs=True)
        model(**given)
    for layer in list_layers(description, size, all_hookpoints=True):
        rows, cols = layer.grid
        assert seen[layer.hookpoint] == (rows * cols, layer.d_in), layer.hookpoint


def test_turbo_is_told_from_its_base(tmp_path: Path) -> None:
    base = describe_model(str(written(tmp_path / "base", "StableDiffusionXLPipeline", SDXL))).defaults
    turbo = describe_model(str(written(tmp_path / "turbo", "StableDiffusionXLPipeline", TURBO))).defaults
    assert (base.steps, base.guidance, base.size, base.signal, base.k) == (30, 5.0, 1024, "update", 10)
    assert (turbo.steps, turbo.guidance, turbo.size, turbo.capture_steps) == (1, 0.0, 512, (0,))
    dev = {**FLUX, "transformer": {**FLUX["transformer"], "guidance_embeds": True}}
    described = describe_model(str(written(tmp_path / "dev", "FluxPipeline", dev)))
    assert (described.defaults.steps, described.defaults.guidance) == (28, 3.5)
    assert described.family.call(described.configs, 3.5, 2) == ({"guidance_scale": 3.5}, 1, 0)


def test_sd_turbo_and_latent_consistency_models_have_few_steps(tmp_path: Path) -> None:
    turbo = describe_model(str(written(tmp_path / "turbo", MORE["sd-turbo"].pipeline, MORE["sd-turbo"].configs)))
    assert turbo.distilled is not None
    assert (turbo.defaults.steps, turbo.defaults.guidance, turbo.defaults.capture_steps) == (1, 0.0, (0,))
    lcm = describe_model(str(written(tmp_path / "lcm", MORE["lcm"].pipeline, MORE["lcm"].configs)))
    assert (lcm.defaults.steps, lcm.defaults.guidance, lcm.defaults.capture_steps) == (4, 8.0, (0, 2, 3))
    assert lcm.family.call(lcm.configs, 8.0, 2) == ({"guidance_scale": 8.0}, 1, 0)


def test_a_configuration_of_another_class_says_so_in_a_line(tmp_path: Path) -> None:
    from autointerp.errors import AutointerpError

    with pytest.raises(AutointerpError, match="not that of a StableDiffusionPipeline") as raised:
        describe_model(str(written(tmp_path / "odd", "StableDiffusionPipeline", {**SD15, "unet": {"num_layers": 3}})))
    assert "\n" not in str(raised.value)


def test_the_neurons_of_a_u_net_are_those_of_its_last_transformer_block(tmp_path: Path) -> None:
    from autointerp.diffusion.layers import neurons_of

    description = describe_model(str(written(tmp_path / "sdxl", "StableDiffusionXLPipeline", SDXL)))
    units = neurons_of(description, resolve_layer(description, "mid"))
    assert units.hookpoint == "unet.mid_block.attentions.0.transformer_blocks.9.ff.net.0"
    assert units.d_in == 5120
