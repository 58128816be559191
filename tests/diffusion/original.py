"""Weights of a pipeline in the layout of the original single-file checkpoints: the inverse of what diffusers reads."""

from __future__ import annotations

import re
from typing import Any

import torch

Weights = dict[str, torch.Tensor]
RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
UNET = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
OPEN_CLIP = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}


def replaced(name: str, names: dict[str, str]) -> str:
    """`name` with the one of the prefixes that it begins with exchanged."""
    found = next((old for old in names if name.startswith(f"{old}.")), None)
    return name if found is None else names[found] + name[len(found) :]


def unet(module: Any) -> Weights:
    """Blocks are numbered through: the first input is block 0, a down- or upsampler the last of its level."""
    each = module.config["layers_per_block"] + 1
    found = {}
    for name, weight in module.state_dict().items():
        match = re.match(
            r"(down|up|mid)_block(?:s\.(\d+))?\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.*)", name
        )
        if match is None:
            new = replaced(name, UNET)
        else:
            side, level, part, number, inner = match.groups()
            first, n = int(level or 0) * each, int(number)
            inner = replaced(inner, RESNET) if part == "resnets" else inner
            if side == "mid":
                new = f"middle_block.{1 if part == 'attentions' else 2 * n}.{inner}"
            elif part == "downsamplers":
                new = f"input_blocks.{first + each}.0.op.{inner.removeprefix('conv.')}"
            elif part == "upsamplers":
                beside = 1 + hasattr(module.up_blocks[int(level)], "attentions")
                new = f"output_blocks.{first + each - 1}.{beside}.{inner}"
            else:
                block = f"input_blocks.{1 + first + n}" if side == "down" else f"output_blocks.{first + n}"
                new = f"{block}.{0 if part == 'resnets' else 1}.{inner}"
        found[f"model.diffusion_model.{new}"] = weight
    return found


def vae(module: Any) -> Weights:
    """Levels of the decoder are numbered from the last; attention is a convolution of one pixel."""
    last = len(module.config["block_out_channels"]) - 1
    found = {}
    for name, weight in module.state_dict().items():
        new = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
        new = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", new)
        new = re.sub(r"down_blocks\.(\d)\.resnets", r"down.\1.block", new)
        new = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", new)
        new = re.sub(r"up_blocks\.(\d)\.resnets", lambda m: f"up.{last - int(m[1])}.block", new)
        new = re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{last - int(m[1])}.upsample", new)
        side, middle, inner = new.partition(".mid_block.attentions.0.")
        if middle:
            new = f"{side}.mid.attn_1.{replaced(inner, ATTENTION)}"
            weight = weight[:, :, None, None] if weight.ndim == 2 else weight
        found[f"first_stage_model.{new}"] = weight
    return found


def clip(module: Any, prefix: str) -> Weights:
    """As transformers wrote it then."""
    names = {name: name if name.startswith("text_model.") else f"text_model.{name}" for name in module.state_dict()}
    return {f"{prefix}.transformer.{names[name]}": weight for name, weight in module.state_dict().items()}


def open_clip(module: Any, prefix: str) -> Weights:
    """Queries, keys and values are one matrix, and the projection is applied from the right."""
    weights, found = module.state_dict(), {}
    for name, weight in weights.items():
        new = name.removeprefix("text_model.")
        if new == "text_projection.weight":
            new, weight = "text_projection", weight.T
        elif new.startswith("embeddings."):
            new = {"token": "token_embedding.weight", "position": "positional_embedding"}[
                new.split(".")[1].split("_")[0]
            ]
        elif new.startswith("final_layer_norm."):
            new = new.replace("final_layer_norm", "ln_final")
        else:
            _, _, number, inner = new.split(".", 3)
            if inner.startswith(("self_attn.k_proj", "self_attn.v_proj")):
                continue
            if inner.startswith("self_attn.q_proj"):
                weight = torch.cat([weights[name.replace("q_proj", which)] for which in ("q_proj", "k_proj", "v_proj")])
                inner = f"attn.in_proj_{inner.rpartition('.')[2]}"
            inner = replaced(inner.replace("self_attn.out_proj", "attn.out_proj"), OPEN_CLIP)
            new = f"transformer.resblocks.{number}.{inner}"
        found[f"{prefix}.model.{new}"] = weight
    return found


def checkpoint(pipeline: Any) -> Weights:
    """All weights of a Stable Diffusion 1.x or SDXL pipeline."""
    if getattr(pipeline, "text_encoder_2", None) is None:
        texts = clip(pipeline.text_encoder, "cond_stage_model")
    else:
        texts = clip(pipeline.text_encoder, "conditioner.embedders.0")
        texts |= open_clip(pipeline.text_encoder_2, "conditioner.embedders.1")
    return {name: w.contiguous() for name, w in {**unet(pipeline.unet), **vae(pipeline.vae), **texts}.items()}
