"""Attention from image tokens to text tokens: paths, and the arithmetic. test_word_maps.py holds it against models."""

from __future__ import annotations

import pytest
import torch

from autointerp.diffusion.families import FAMILIES, word_attention
from autointerp.diffusion.families.word_attention import mean_weights


@pytest.mark.parametrize(
    ("pipeline", "path", "block"),
    [
        ("FluxPipeline", "single_transformer_blocks.37.attn", "single_transformer_blocks.37"),
        ("StableDiffusion3Pipeline", "transformer_blocks.0.attn", "transformer_blocks.0"),
        ("PixArtSigmaPipeline", "transformer_blocks.1.attn2", "transformer_blocks.1"),
        (
            "StableDiffusionXLPipeline",
            "mid_block.attentions.0.transformer_blocks.9.attn2",
            "mid_block.attentions.0.transformer_blocks.9",
        ),
    ],
)
def test_modules_that_attend_to_the_text(pipeline: str, path: str, block: str) -> None:
    attention = FAMILIES[pipeline].load().word_attention
    assert attention is not None
    assert attention.is_at(path)
    assert attention.block(path) == block
    assert not attention.is_at(f"{path}.to_q")
    assert not attention.is_at(path.replace("attn2", "attn1").replace(".attn", ".attn1").replace("attn11", "attn1"))


def test_families_that_do_not_say_where_they_attend_are_known() -> None:
    """Word maps of these are refused; docs/pipelines.md lists them."""
    silent = {name for name, kind in FAMILIES.items() if kind.load().word_attention is None}
    like_flux = {"Flux2Pipeline", "Flux2KleinPipeline", "OvisImagePipeline", "LongCatImagePipeline"}
    others = {
        "ZImagePipeline",
        "QwenImagePipeline",
        "QwenImage21Pipeline",
        "ErnieImagePipeline",
        "Krea2Pipeline",
        "PRXPipeline",
        "CogView4Pipeline",
        "AuraFlowPipeline",
    }
    assert silent == like_flux | others | {"KolorsPipeline"}


@pytest.mark.parametrize("largest", [2**26, 1])
def test_mean_weights(monkeypatch: pytest.MonkeyPatch, largest: int) -> None:
    """Rows at once or one by one; a mask that is added; some keys alone."""
    monkeypatch.setattr(word_attention, "_LARGEST", largest)
    draw = torch.Generator().manual_seed(0)
    query, key = (torch.randn(3, 2, n, 5, generator=draw) for n in (4, 6))
    mask = torch.zeros(3, 1, 6)
    mask[1, :, 4:] = -10000.0
    found = mean_weights(query, key, slice(2, None), mask)
    assert found.shape == (3, 4, 4)
    for n in range(3):
        for place in range(4):
            shares = []
            for head in range(2):
                raw = [float(query[n, head, place] @ key[n, head, j]) / 5**0.5 + float(mask[n, 0, j]) for j in range(6)]
                powers = [torch.tensor(value, dtype=torch.float64).exp() for value in raw]
                shares.append([float(power / sum(powers)) for power in powers])
            expected = torch.tensor(shares).mean(0)[2:]
            torch.testing.assert_close(found[n, place], expected, atol=1e-6, rtol=1e-5)
    assert found[1, :, 2:].max() == 0
