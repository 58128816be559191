"""Capture alone: generation with hooks whose consumer does nothing, against generation without.

On the tiny SDXL with random weights and on shapes. Where there is a GPU, also on FLUX.1 and SDXL at full size with
random weights, at 1024 px in bfloat16: there a TopK dictionary of 65,536 latents encodes what one layer gives.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.pairs import Row, interleave

PAIRS, QUICK_PAIRS, GPU_PAIRS = 30, 1, 20
SDXL_IMAGES, SHAPES_IMAGES, QUICK_IMAGES = 8, 2, 1
LATENTS, K = 65_536, 64


def seconds(model: Any, jobs: Sequence[Any], settings: Any, batch_size: int, capture: Any = None) -> dict[str, float]:
    """Wall time of one generation, pictures included."""
    import torch

    from autointerp.diffusion.generation import generate

    def wait() -> None:
        if model.device.startswith("cuda"):
            torch.cuda.synchronize()

    wait()
    begun = time.perf_counter()
    made = sum(len(pictures) for _, pictures in generate(model, jobs, settings, capture=capture, batch_size=batch_size))
    wait()
    if made != len(jobs):
        raise RuntimeError("the pipeline gave too few pictures")
    return {"seconds": time.perf_counter() - begun}


def compared(
    model: Any, settings: Any, layers: Sequence[Any], steps: Sequence[int], consumer: Any, images: int, pairs: int
) -> tuple[list[float], list[float]]:
    """Seconds with capture and without, pair by pair, after one run of each that does not count."""
    from autointerp.diffusion.capture import Capture
    from autointerp.diffusion.jobs import ImageJob

    jobs = [ImageJob(i, "large red solid circle center, small blue star", i) for i in range(images)]
    capture = Capture(layers, steps, consumer)
    seen = 0

    def counted(captured: Any) -> None:
        nonlocal seen
        seen += 1
        consumer(captured)

    seconds(model, jobs, settings, images, Capture(layers, steps, counted))
    seconds(model, jobs, settings, images)
    if seen != len(layers) * len(steps):
        raise RuntimeError(f"{seen} captures came, not {len(layers) * len(steps)}")
    ours, other = interleave(
        pairs, lambda: seconds(model, jobs, settings, images, capture), lambda: seconds(model, jobs, settings, images)
    )
    return [x["seconds"] for x in ours], [x["seconds"] for x in other]


def rows_of(name: str, model: Any, guidance: float, steps: int, images: int, pairs: int) -> list[Row]:
    """One layer at its own steps, as a harvest reads it; and every alias at every step."""
    from autointerp.diffusion.jobs import GenerationSettings
    from autointerp.diffusion.layers import list_layers, resolve_layer

    settings = GenerationSettings.resolve(model.defaults, {"guidance": guidance, "steps": steps})
    found = []
    for what, layers, at in (
        ("mid, its steps", [resolve_layer(model, "mid")], model.defaults.capture_at(steps)),
        ("all aliases, all steps", list_layers(model), range(steps)),
    ):
        ours, other = compared(model, settings, layers, list(at), lambda captured: None, images, pairs)
        figure = f"{name}, {images} images: {what} / no hooks"
        found.append(Row.of("capture", figure, "s", ours, other))
    return found


def random_model(family: Any, build: Callable[[], Any], device: str, dtype: Any) -> Any:
    """A pipeline made in memory, as a loaded model."""
    import torch

    from autointerp.diffusion.description import ModelDescription
    from autointerp.diffusion.model import Model

    default = torch.get_default_dtype()
    torch.manual_seed(0)
    try:
        torch.set_default_dtype(dtype)
        with torch.device(device):
            pipeline = build()
    finally:
        torch.set_default_dtype(default)
    pipeline.set_progress_bar_config(disable=True)
    parts = {part: getattr(pipeline, part) for part in family.components}
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            part.to(device, dtype).eval().requires_grad_(False)
    configs = {name: dict(part.config) for name, part in parts.items()}
    defaults = family.defaults.updated(family.read_defaults(configs), "random weights")
    described = ModelDescription(family.name, "", "random", family, configs, defaults, family.aliases(configs))
    return Model(described, pipeline, device, dtype)


def encoder(layer: Any, latents: int, k: int, device: str) -> Any:
    """A consumer that encodes what it gets by a TopK dictionary of random directions."""
    import torch

    from autointerp.dictionaries.sae import TopK

    draw = torch.Generator(device).manual_seed(0)
    W = torch.randn(layer.d_in, latents, generator=draw, device=device) / layer.d_in**0.5
    zeros = torch.zeros(latents, device=device), torch.zeros(layer.d_in, device=device)
    dictionary = TopK(W, zeros[0], W.T.contiguous(), zeros[1], k)

    def consume(captured: Any) -> None:
        code = dictionary.encode(captured.acts.reshape(-1, layer.d_in), captured.step)
        if code.latent_acts.shape != (captured.acts.shape[0] * captured.acts.shape[1], k):
            raise RuntimeError("the code has another shape")

    return consume


def encoded(name: str, model: Any, overrides: dict[str, Any], latents: int, k: int, pairs: int) -> Row:
    """Capture and TopK encoding at `mid` at its default steps, one image a batch, against bare generation."""
    from autointerp.diffusion.jobs import GenerationSettings
    from autointerp.diffusion.layers import resolve_layer

    settings = GenerationSettings.resolve(model.defaults, overrides)
    layer = resolve_layer(model, "mid", size=settings.size)
    steps = model.defaults.capture_at(settings.steps)
    ours, other = compared(model, settings, [layer], steps, encoder(layer, latents, k, model.device), 1, pairs)
    tokens = layer.grid[0] * layer.grid[1]
    figure = f"{name}, {settings.size} px, {settings.steps} steps, {tokens} tokens, {latents} latents: encode / bare"
    return Row.of("capture", figure, "s", ours, other)


def full_size(pairs: int) -> list[Row]:
    """FLUX.1 and SDXL at full size with random weights on a GPU, one after the other."""
    import gc

    import torch

    from autointerp.diffusion.families.flux import FLUX
    from autointerp.diffusion.families.unet import SDXL
    from benchmarks import pipelines

    rows = []
    for name, family, build, overrides in (
        ("FLUX.1", FLUX, pipelines.flux, {"size": 1024, "steps": 4}),
        ("SDXL", SDXL, pipelines.sdxl, {"size": 1024, "steps": 30}),
    ):
        model = random_model(family, build, "cuda", torch.bfloat16)
        rows.append(encoded(f"{name} on {torch.cuda.get_device_name()}", model, overrides, LATENTS, K, pairs))
        del model
        gc.collect()
        torch.cuda.empty_cache()
    return rows


def run(quick: bool, pairs: int | None = None) -> list[Row]:
    """Time both, pair by pair."""
    import torch

    from autointerp.diffusion.loading import load_model
    from tests.diffusion import tiny

    count = pairs or (QUICK_PAIRS if quick else PAIRS)
    many, few = (QUICK_IMAGES,) * 2 if quick else (SDXL_IMAGES, SHAPES_IMAGES)
    with tempfile.TemporaryDirectory() as folder:
        model = load_model(str(tiny.save(tiny.sdxl, Path(folder) / "sdxl")), device="cpu", dtype="float32")
    rows = rows_of("tiny SDXL", model, tiny.GUIDED["sdxl"], 3, many, count)
    shapes = load_model("shapes", device="cpu", dtype="float32")
    rows += rows_of("shapes", shapes, shapes.defaults.guidance, 2 if quick else 8, few, count)
    if torch.cuda.is_available() and not quick:
        rows += full_size(pairs or GPU_PAIRS)
    return rows
