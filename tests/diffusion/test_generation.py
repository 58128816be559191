"""Several sizes in a run, and which row of a batch is whose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from autointerp.diffusion.capture import Capture, LayerActivations, capturing
from autointerp.diffusion.edits import Edit, replace, zeroed
from autointerp.diffusion.generation import generate
from autointerp.diffusion.jobs import GenerationSettings, ImageJob
from autointerp.diffusion.layers import Layer, grid_at, resolve_layer
from autointerp.diffusion.model import Model
from autointerp.diffusion.passes import Pass
from autointerp.diffusion.splicing import UNCHANGED, splice_images
from autointerp.errors import UsageError


def captured_of(
    model: Model,
    jobs: list[ImageJob],
    layers: list[Layer],
    settings: GenerationSettings,
    batch_size: int,
    step: int = 1,
) -> tuple[dict[tuple[str, int], tuple[tuple[int, int], torch.Tensor]], list[Any]]:
    """(layer, image) -> (grid, acts), and the pictures."""
    found: dict[tuple[str, int], tuple[tuple[int, int], torch.Tensor]] = {}

    def keep(captured: LayerActivations) -> None:
        for job, acts in zip(captured.jobs, captured.acts, strict=True):
            found[captured.layer.hookpoint, job.index] = (captured.grid, acts.clone())

    made = generate(model, jobs, settings, Capture(layers, (step,), keep), batch_size)
    return found, [picture for _, pictures in made for picture in pictures]


@pytest.mark.parametrize("name", ["sd", "sdxl", "flux", "sd3", "pixart"])
def test_each_batch_has_the_grid_of_its_own_size(name: str, tiny_model: Callable[[str], Model]) -> None:
    model = tiny_model(name)
    settings = GenerationSettings.resolve(model.defaults, {"guidance": 5.0})
    layers = [resolve_layer(model, alias) for alias in ("mid", "late")]
    sizes = [None, "96x64", "96x64", 64]
    jobs = [ImageJob(n, f"a {n} red circle", 40 + n, size) for n, size in enumerate(sizes)]
    together, pictures = captured_of(model, jobs, layers, settings, 2)
    alone, _ = captured_of(model, jobs, layers, settings, 1)
    wanted = [(64, 64), (96, 64), (96, 64), (64, 64)]
    assert [picture.size for picture in pictures] == wanted
    for layer in layers:
        cell = model.family.cell_pixels(model.configs, layer.hookpoint)
        for n, (width, height) in enumerate(wanted):
            grid, acts = together[layer.hookpoint, n]
            assert grid == (height // cell, width // cell) == grid_at(model, layer, jobs[n].size)
            assert acts.shape == (grid[0] * grid[1], layer.d_in)
            assert torch.allclose(acts, alone[layer.hookpoint, n][1], rtol=1e-3, atol=1e-3)


def test_splices_of_several_sizes(tiny_model: Callable[[str], Model]) -> None:
    model = tiny_model("flux")
    layer = resolve_layer(model, "mid")
    jobs = [ImageJob(0, "a star", 1), ImageJob(1, "a star", 2, "96x64")]
    settings = GenerationSettings.resolve(model.defaults)
    found = list(splice_images(model, jobs, settings, {"zeroed": Edit(layer, replace(zeroed))}, [1]))
    assert [[p.size for p in spliced.pictures["zeroed"]] for _, spliced in found] == [[(64, 64)], [(96, 64)]]
    assert all(not torch.equal(s.errors["zeroed"], s.errors[UNCHANGED]) for _, s in found)


def test_a_size_that_does_not_fit_a_layer_is_refused(tiny_model: Callable[[str], Model]) -> None:
    model = tiny_model("sd")
    layer = resolve_layer(model, "mid")
    settings = GenerationSettings.resolve(model.defaults)
    jobs = [ImageJob(0, "", 0, "80x64")]  # fits the denoiser's cells of 8 px, not this layer's of 32
    with pytest.raises(UsageError, match="size of 80x64 does not fit .*a multiple of 32 does: 64"):
        list(generate(model, jobs, settings, Capture([layer], (1,), lambda c: None)))
    assert model.description.coarsest_cell == 32


@pytest.mark.parametrize("name", ["sd", "sdxl"])
def test_rows_of_a_doubled_batch_are_prompt_major(name: str, tiny_model: Callable[[str], Model]) -> None:
    """`num_images_per_prompt` > 1 under guidance: [negative; positive], inside each prompt by prompt.

    Against each image alone, without guidance: in the first step it starts from the same noise there, so the
    conditional branch sees the same.
    """
    model = tiny_model(name)
    layer = resolve_layer(model, "mid")
    settings = GenerationSettings.resolve(model.defaults, {"guidance": 5.0})
    prompts = ["a red circle on sand", "a blue star at night"]
    jobs = [ImageJob(n, prompts[n // 2], 70 + n) for n in range(4)]
    plain = GenerationSettings.resolve(model.defaults, {"guidance": 1.0})
    ours, _ = captured_of(model, jobs, [layer], plain, 1, step=0)
    theirs: list[LayerActivations] = []
    reading = capturing(Pass(model, tuple(jobs), settings), Capture([layer], (0,), theirs.append))
    with torch.inference_mode(), reading:
        model.pipeline(
            prompt=prompts,
            num_images_per_prompt=2,
            generator=[torch.Generator("cpu").manual_seed(job.seed) for job in jobs],
            num_inference_steps=settings.steps,
            guidance_scale=5.0,
            width=64,
            height=64,
            output_type="latent",
        )
    (captured,) = theirs
    for n in range(4):
        assert torch.allclose(captured.acts[n], ours[layer.hookpoint, n][1], rtol=1e-3, atol=1e-4)
    for a, b in ((0, 1), (0, 2), (1, 2), (2, 3)):  # no two rows could be taken for each other
        assert not torch.allclose(captured.acts[a], captured.acts[b], atol=1e-2)
