"""Hot loops hardly wait for the device: reads that make the host wait are counted."""

from __future__ import annotations

import pytest
import torch

from autointerp.crops.collect import CropCollector, Quota
from autointerp.dictionaries.fitting import make_trainer
from autointerp.dictionaries.kinds import FITTED
from autointerp.dictionaries.protocol import Dictionary
from autointerp.dictionaries.rounds import Round
from autointerp.diffusion.generation import generate
from autointerp.diffusion.jobs import GenerationSettings, ImageJob
from autointerp.diffusion.layers import resolve_layer
from autointerp.diffusion.loading import load_model
from autointerp.diffusion.model import Model
from autointerp.stages.harvest.batches import JobBatch
from autointerp.stages.harvest.gathering import PassReader, gather_crops
from tests.dictionaries.fits import config, synthetic
from tests.pretend_gpu.device import Counting

DEVICE = "pretend:0"
KINDS = [name for name, kind in FITTED.items() if not (kind.of_hidden_units or kind.transcodes)]


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model("shapes", device=DEVICE, dtype="float32")


def places_of(count: int) -> torch.Tensor:
    return torch.stack([torch.arange(count), *[torch.zeros(count, dtype=torch.int64)] * 3], 1)


def fitted(kind: str, d_in: int) -> Dictionary:
    acts = synthetic(512, 0)[0].repeat(1, -(-d_in // 32))[:, :d_in].contiguous()
    trainer = make_trainer(config(kind, tokens=512, rounds=1), d_in)
    trainer.train_round(Round(acts, places_of(len(acts))))
    return trainer.dictionary().to(DEVICE)


@pytest.mark.parametrize("kind", KINDS)
def test_capture_encoding_and_reduction_wait_once_a_layer_step_and_dictionary(model: Model, kind: str) -> None:
    settings = GenerationSettings.resolve(model.defaults, {"steps": 3})
    steps = (1, 2)
    layers = [resolve_layer(model, alias) for alias in ("early", "mid")]
    dictionaries = {layer: fitted(kind, layer.d_in) for layer in layers}
    batches = [[ImageJob(n, f"a red circle {n}", n) for n in range(start, start + 4)] for start in (0, 4)]

    def gathered() -> list[PassReader]:
        quota = Quota(top=6, reservoir=4, negatives=4, cells=64)
        readers = [
            PassReader(learned, layer, steps, CropCollector(learned.num_latents, quota, 0, None))
            for layer, learned in dictionaries.items()
        ]
        list(gather_crops(model, settings, [JobBatch(4 * n, tuple(jobs)) for n, jobs in enumerate(batches)], readers))
        return readers

    gathered()  # What is made once is made.
    with Counting() as plain:
        for jobs in batches:
            list(generate(model, jobs, settings, batch_size=len(jobs)))
    with Counting() as counted:
        found = gathered()
    more = counted.reads - plain.reads
    # A batch also reads its timesteps once, and at its end whether all was finite.
    assert more.total() <= len(batches) * (len(steps) * len(layers) + 2), more
    assert all(reader.collector.cells_seen for reader in found)


def reads_of_a_round(kind: str, count: int) -> int:
    """Reads of the second round of so many activations."""
    trainer = make_trainer(config(kind, tokens=8 * count, rounds=2), 32, DEVICE)
    given = Round(synthetic(count, 0)[0].to(DEVICE), places_of(count))
    trainer.train_round(given)
    with Counting() as counted:
        trainer.train_round(given)
    return counted.reads.total()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "itda"])
def test_training_waits_at_the_end_of_a_round_alone(kind: str) -> None:
    assert reads_of_a_round(kind, 2048) <= reads_of_a_round(kind, 512)


def test_growing_waits_twice_a_batch() -> None:
    """Which activations become atoms is known when they are read, and the next batch is coded with these."""
    batches = (2048 - 512) // 256
    assert reads_of_a_round("itda", 2048) - reads_of_a_round("itda", 512) <= 2 * batches
