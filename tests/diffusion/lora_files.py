"""LoRAs of tiny pipelines, written by diffusers as its training scripts do. They need peft."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

Fill = Callable[[str, torch.Tensor], torch.Tensor]
"""(name of a matrix, the matrix) -> what it becomes."""


def denoiser_of(pipeline: Any) -> str:
    """The name of the part that denoises."""
    return "unet" if hasattr(pipeline, "unet") else "transformer"


def save_lora(
    pipeline: Any, folder: Path, targets: Sequence[str], parts: Sequence[str] = ("denoiser",), fill: Fill | None = None
) -> Path:
    """Write a LoRA of some modules of some parts, with random matrices if not told otherwise; the parts are changed."""
    import peft

    draw = torch.Generator().manual_seed(0)
    layers = {}
    for part in parts:
        name = denoiser_of(pipeline) if part == "denoiser" else part
        wanted = list(targets) if part == "denoiser" else ["q_proj", "v_proj"]
        config = peft.LoraConfig(r=2, lora_alpha=2, target_modules=wanted)
        model = peft.inject_adapter_in_model(config, getattr(pipeline, name))
        with torch.no_grad():
            for key, weight in model.named_parameters():
                if "lora_" in key:
                    weight.copy_(fill(key, weight) if fill else torch.randn(weight.shape, generator=draw))
        layers[f"{name}_lora_layers"] = peft.get_peft_model_state_dict(model)
    type(pipeline).save_lora_weights(str(folder), **layers)
    return folder / "pytorch_lora_weights.safetensors"
