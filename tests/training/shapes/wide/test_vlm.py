"""The third training teaches the language model in both worlds, leaves the eyes, and goes on after a stop."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from autointerp.shapes.vlm import FOLDER
from training.shapes.loop import load_checkpoint, save_checkpoint
from training.shapes.vlm import PROMPT_TOKENS
from training.shapes.vlm_pool import Pool
from training.shapes.wide.growth import grown
from training.shapes.wide.pool import WidePool, wide_pool, world_of_both
from training.shapes.wide.vlm import SPARSE, WideModule, WidePlan, WideTrainer
from training.shapes.wide.words import WORDS


@pytest.fixture(scope="module")
def pools(tmp_path_factory):
    world, as_wide = world_of_both(tmp_path_factory.mktemp("runs"), FOLDER.parent, 160, 0)
    return world, WidePool.joined([as_wide, wide_pool(72, 1)])


def new_trainer(pools):
    world, pool = pools
    vlm, tokenizer = grown(FOLDER)
    torch.manual_seed(0)
    model = WideModule(vlm, tokenizer, len(world.concepts))
    plan = WidePlan(6, 3, 4, full_labels=1, full_judged_tokens=120, wide_labels=2, apart=2, wide_judged=2,
                    aligning=1, naming=1, named_tokens=(900, 900), sparse_tokens=600, telling=1, told=3,
                    judged=2)  # fmt: skip
    return WideTrainer(world, pool, model, tokenizer, plan)


def test_the_world_comes_first_and_is_the_same_twice(pools):
    world, pool = pools
    assert np.array_equal(world.pictures, pool.pictures[: len(world)])
    assert not pool.wide[: len(world)].any()
    assert pool.wide[len(world) :].all()
    red = Pool(world.pictures, world.cells).cells["color"] == 0
    assert np.array_equal(red, pool.cells.where([("", "red")], np.arange(len(world))))


def test_words_are_aligned_first_then_named_then_all_is_asked(pools):
    trainer = new_trainer(pools)
    before = {name: p.detach().clone() for name, p in trainer.model.vlm.named_parameters()}
    assert set(trainer.step(0).split()[::2]) == {"words"}
    changed = {name for name, p in trainer.model.vlm.named_parameters() if not torch.equal(before[name], p)}
    assert changed
    assert not any(".layers." in name for name in changed)
    named, told, asked = (trainer.step(n) for n in (1, 2, 3))
    assert all(what in named for what in ("wide naming", "wide judging", "sparse naming"))
    assert "apart" not in named
    assert all(what in told for what in ("wide naming", "wide judging", "apart", "apart found"))
    assert "fits" not in told
    assert all(what in asked for what in ("wide naming", "wide judging", "sparse naming", "apart", "fits"))


def test_questions_of_few_patches_are_many_for_their_tokens(pools, monkeypatch):
    trainer, asked = new_trainer(pools), []
    monkeypatch.setattr(
        trainer, "_loss", lambda questions, rng, patches: asked.append((questions, patches)) or (torch.ones(()),) * 2
    )
    trainer.plan = replace(trainer.plan, sparse_tokens=3000)
    rng = np.random.default_rng(4)
    for _ in range(12):
        trainer._sparse(rng)
    assert {patches for _, patches in asked} == set(SPARSE)
    for questions, patches in asked:
        images = len(questions[0].crops) + len(questions[0].negatives)
        tokens = PROMPT_TOKENS + images * (patches + 3)
        assert 3000 - tokens < len(questions) * tokens <= 3000


def test_the_language_model_learns_and_goes_on_after_a_stop(pools, tmp_path):
    trainer = new_trainer(pools)
    eyes = [p.clone() for p in trainer.model.eyes.parameters()]
    words = trainer.model.vlm.get_input_embeddings().weight.detach().clone()
    trainer.step(0)
    save_checkpoint(tmp_path, trainer, 1)
    trainer.step(1)
    assert all(torch.equal(a, b) for a, b in zip(eyes, trainer.model.eyes.parameters(), strict=True))
    assert not torch.equal(words, trainer.model.vlm.get_input_embeddings().weight)
    again = new_trainer(pools)
    assert load_checkpoint(tmp_path, again) == 1
    again.step(1)
    pairs = zip(trainer.model.vlm.parameters(), again.model.vlm.parameters(), strict=True)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in pairs)


def test_what_is_found_out_about_features_to_tell_apart(pools):
    trainer = new_trainer(pools)
    (question,) = trainer._drawn_apart(np.random.default_rng(3), 1)
    shares = trainer._so_far_in(question.own)
    assert shares.shape == (len(question.own), len(WORDS))
    hold = trainer.marks.pool.cells.atoms_at(*np.array([(s.picture, *s.cell) for s in question.own]).T)
    assert np.allclose(shares[-1], hold[:, : len(WORDS)].mean(0))
    assert np.array_equal(shares[0], hold[0, : len(WORDS)])
