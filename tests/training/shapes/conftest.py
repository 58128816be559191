"""Pools of pictures, pairs and small models, which several tests of trainers share."""

from __future__ import annotations

import pytest
import torch

from autointerp.shapes.vlm import load_shapes_vlm
from training.shapes.__main__ import WEIGHTS
from training.shapes.turbo_pairs import Pairs, Shared
from training.shapes.vlm import Batch, Schedule, VlmTrainer
from training.shapes.vlm_pool import rendered_pool
from training.shapes.vlm_questions import Questions
from training.shapes.vlm_text import new_tokenizer

SMALL = Batch(labels=2, judged_tokens=100, views=6)


@pytest.fixture(scope="session")
def pool():
    return rendered_pool(160)


@pytest.fixture(scope="session")
def questions(pool):
    return Questions(pool)


@pytest.fixture(scope="session")
def tokenizer():
    return new_tokenizer()


@pytest.fixture(scope="session")
def trainer(pool):
    return VlmTrainer(pool, Schedule(steps=4, looking=1, aligning=1), SMALL)


@pytest.fixture(scope="session")
def vlm(trainer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("vlm")
    trainer.save(folder)
    return load_shapes_vlm(folder)


@pytest.fixture(scope="session")
def shared():
    return Shared(WEIGHTS / "model")


@pytest.fixture(scope="session")
def pairs():
    latents = torch.randn(40, 144, 24, generator=torch.Generator().manual_seed(5))
    return Pairs(0, torch.arange(0, 80, 2), latents)
