"""Training of the diffusion transformer: packed latents, a kept pool, and a pipeline that diffusers loads."""

from __future__ import annotations

import pytest
import torch
from diffusers import AutoencoderTiny, DiffusionPipeline
from transformers import CLIPTextModel, T5EncoderModel

from autointerp.shapes.scenes import held_out
from training.shapes.__main__ import WEIGHTS
from training.shapes.transformer import TransformerTrainer, pack, pool_latents, pool_scene

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def vae() -> AutoencoderTiny:
    return AutoencoderTiny.from_pretrained(WEIGHTS / "model" / "vae").float()


def test_latents_are_packed_in_patches_row_by_row() -> None:
    latents = torch.arange(2 * 3 * 4 * 6).float().view(2, 3, 4, 6)
    packed = pack(latents)
    assert packed.shape == (2, 6, 12)
    # The second patch of the first row: columns 2 and 3, channel after channel.
    assert packed[0, 1].tolist() == latents[0, :, :2, 2:4].flatten().tolist()
    assert packed[1, 3].tolist() == latents[1, :, 2:, :2].flatten().tolist()


def test_no_scene_of_the_pool_is_held_out() -> None:
    assert not any(held_out(pool_scene(0, i).caption) for i in range(50))


@pytest.mark.slow
def test_a_step_learns_and_the_pipeline_is_saved_whole(vae: AutoencoderTiny, tmp_path) -> None:
    latents = pool_latents(tmp_path / "latents.safetensors", vae, 0, 4)
    assert torch.equal(pool_latents(tmp_path / "latents.safetensors", vae, 0, 4), latents)
    assert 0.5 < float(latents.float().std()) < 1.5
    folder = WEIGHTS / "model"
    encoders = (
        CLIPTextModel.from_pretrained(folder / "text_encoder").float(),
        T5EncoderModel.from_pretrained(folder / "text_encoder_2").float(),
    )
    trainer = TransformerTrainer(latents, vae, encoders, steps=2, batch=4)
    before = [p.detach().clone() for p in trainer.model.parameters()]
    assert trainer.step(0).startswith("loss ")
    trainer.step(1)
    assert sum(not torch.equal(a, b) for a, b in zip(before, trainer.model.parameters(), strict=True)) > 10
    trainer.save(tmp_path / "model")
    pipeline = DiffusionPipeline.from_pretrained(tmp_path / "model")
    assert type(pipeline).__name__ == "FluxPipeline"
    assert (tmp_path / "model" / "autointerp.json").is_file()
