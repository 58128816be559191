"""Pipelines of the real classes with random weights, saved and loaded as any model is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from autointerp.diffusion.loading import Model, load_model

from . import tiny

SIZE, TEXT_WIDTH, CHANNELS = 96, 32, 4
DEFAULTS = {"steps": 3, "guidance": 2.0, "size": SIZE, "max_sequence_length": 28, "capture_steps": [1]}


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from diffusers import AutoencoderTiny, FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
    from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

    from autointerp.shapes.train.tokenizers import clip_tokenizer, t5_tokenizer

    torch.manual_seed(0)
    clip, t5 = clip_tokenizer(), t5_tokenizer()
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(clip),
            hidden_size=TEXT_WIDTH,
            intermediate_size=TEXT_WIDTH,
            projection_dim=TEXT_WIDTH,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=clip.model_max_length,
            bos_token_id=clip.bos_token_id,
            eos_token_id=clip.eos_token_id,
            pad_token_id=clip.pad_token_id,
        )
    )
    text_2 = T5EncoderModel(
        T5Config(vocab_size=len(t5), d_model=TEXT_WIDTH, d_kv=16, d_ff=TEXT_WIDTH, num_layers=1, num_heads=2)
    )
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=4 * CHANNELS,
        num_layers=2,
        num_single_layers=4,
        attention_head_dim=32,
        num_attention_heads=2,
        joint_attention_dim=TEXT_WIDTH,
        pooled_projection_dim=TEXT_WIDTH,
        axes_dims_rope=(4, 14, 14),
    )
    with torch.no_grad():  # Untrained gates are near zero: images would hardly depend on the prompt.
        for name, weight in transformer.named_parameters():
            if "norm" in name and weight.ndim == 2 or name.startswith("proj_out"):
                weight.normal_(0, 0.1)
    widths = (8, 8, 8)
    vae = AutoencoderTiny(
        encoder_block_out_channels=widths,
        decoder_block_out_channels=widths,
        num_encoder_blocks=(1, 1, 1),
        num_decoder_blocks=(1, 1, 1),
        latent_channels=CHANNELS,
        shift_factor=0.0,
    )
    pipeline = FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=1.0),
        vae=vae,
        text_encoder=text,
        tokenizer=clip,
        text_encoder_2=text_2,
        tokenizer_2=t5,
        transformer=transformer,
    )
    folder = tmp_path_factory.mktemp("models") / "tiny-flux"
    pipeline.to(torch.float16).save_pretrained(folder)
    (folder / "autointerp.json").write_text(json.dumps(DEFAULTS))
    return folder


@pytest.fixture(scope="session")
def model(model_folder: Path):
    return load_model(str(model_folder), device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny pipeline by its family's name, made once."""
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = tiny.save(tiny.FAMILIES[name], tmp_path_factory.mktemp("tiny") / name)
        return made[name]

    return folder


@pytest.fixture(scope="session")
def tiny_model(tiny_folder: Callable[[str], Path]) -> Callable[[str], Model]:
    """A tiny pipeline by its family's name, loaded once; tests leave it as they found it."""
    loaded: dict[str, Model] = {}

    def model(name: str) -> Model:
        if name not in loaded:
            loaded[name] = load_model(str(tiny_folder(name)), device="cpu", dtype="float32")
        return loaded[name]

    return model
