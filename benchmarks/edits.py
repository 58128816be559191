"""Several edits of one image in one batch, against as many bare generations in one batch.

Each row of the batch has its own edit: an SAE feature that is added in a box of cells, another that is scaled to
nothing, and cells that are replaced by another picture's, by turns. What edits may cost is 1.15 times.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from benchmarks.pairs import Row, interleave

PAIRS, QUICK_PAIRS = 20, 1
EDITS, QUICK_EDITS = 16, 3
LATENTS, K = 384, 12


def edits_of(model: Any, layer: Any, settings: Any, count: int) -> list[Any]:
    """An edit for each of `count` images, of the three kinds by turns."""
    import torch

    from autointerp.dictionaries.sae import TopK
    from autointerp.diffusion.edits import Edit, add_vector, put_cells, scale_feature
    from autointerp.diffusion.jobs import ImageJob
    from autointerp.diffusion.recording import record
    from autointerp.experiments.steering import read_latent

    draw = torch.Generator().manual_seed(0)
    W = torch.randn(layer.d_in, LATENTS, generator=draw) / layer.d_in**0.5
    dictionary = TopK(W, torch.zeros(LATENTS), W.T.contiguous(), torch.zeros(layer.d_in), K)
    (other,) = record(model, [ImageJob(0, "small blue star, night background", 1)], settings, [layer])
    rows, cols = layer.grid
    mask = torch.zeros(rows, cols, dtype=torch.bool)
    mask[rows // 4 : rows // 2, cols // 4 : cols // 2] = True
    inside = mask.reshape(-1)
    values = {step: acts[inside] for (_, step), acts in other.acts.items()}
    found = []
    for i in range(count):
        direction = dictionary.directions[i]
        change = (
            add_vector(3 * direction),
            scale_feature(read_latent(dictionary, i), direction, 0.0),
            put_cells(values),
        )[i % 3]
        found.append(Edit(layer, change, cells=mask, images=(i,)))
    return found


def compared(model: Any, settings: Any, edits: Sequence[Any], pairs: int) -> tuple[list[float], list[float]]:
    """Seconds of the edited batch and of the bare one, pair by pair, after one run of each that does not count."""
    from autointerp.diffusion.generation import generate
    from autointerp.diffusion.jobs import ImageJob

    jobs = [ImageJob(i, "large red solid circle center, sand background", 5) for i in range(len(edits))]

    def seconds(some: Sequence[Any]) -> dict[str, float]:
        begun = time.perf_counter()
        made = list(generate(model, jobs, settings, batch_size=len(jobs), edits=some))
        if [len(pictures) for _, pictures in made] != [len(jobs)]:
            raise RuntimeError("the pictures did not come in one batch")
        return {"seconds": time.perf_counter() - begun}

    seconds(edits)
    seconds(())
    ours, other = interleave(pairs, lambda: seconds(edits), lambda: seconds(()))
    return [x["seconds"] for x in ours], [x["seconds"] for x in other]


def run(quick: bool, pairs: int | None = None) -> list[Row]:
    """Time both, pair by pair, on shapes-turbo."""
    from autointerp.diffusion.jobs import GenerationSettings
    from autointerp.diffusion.layers import resolve_layer
    from autointerp.diffusion.loading import load_model

    model = load_model("shapes-turbo", device="cpu", dtype="float32")
    settings = GenerationSettings.resolve(model.defaults, {"steps": 1 if quick else None})
    count = QUICK_EDITS if quick else EDITS
    edits = edits_of(model, resolve_layer(model, "mid"), settings, count)
    ours, other = compared(model, settings, edits, pairs or (QUICK_PAIRS if quick else PAIRS))
    return [Row.of("edits", f"shapes-turbo, {count} edits of one image in one batch / {count} bare", "s", ours, other)]
