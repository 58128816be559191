"""Pairs of noise and the picture that the teacher makes of it."""

from __future__ import annotations

import numpy as np
import torch

from autointerp.shapes.oracle import Oracle
from autointerp.shapes.scenes import held_out
from training.shapes.__main__ import WEIGHTS
from training.shapes.measure import Sampling, generate
from training.shapes.transformer import pack
from training.shapes.turbo_pairs import (
    CHECKS,
    PAIRS,
    PairMaker,
    chunk_path,
    load_pairs,
    load_transformer,
    make_pairs,
    noise_seed,
    run_model,
    turbo_noise,
    turbo_scene,
    unpack,
    wholly_right,
)

MODEL = WEIGHTS / "model"


def test_neither_pairs_nor_checks_use_held_out_captions():
    for stream in (PAIRS, CHECKS):
        captions = [turbo_scene(stream, 0, n).caption for n in range(400)]
        assert not any(held_out(caption) for caption in captions)
        assert len(set(captions)) > 390
    assert turbo_scene(PAIRS, 0, 3) != turbo_scene(CHECKS, 0, 3)
    # Neither shares noise with the other, nor another seed's.
    ends = [noise_seed(stream, seed, n) for stream in (PAIRS, CHECKS) for seed in (0, 1) for n in (0, 999_999)]
    assert ends == sorted(set(ends))


def test_unpack_undoes_pack():
    latents = torch.randn(2, 6, 24, 24)
    assert torch.equal(unpack(pack(latents)), latents)


def test_a_run_is_what_the_pipeline_does(shared):
    """The same noise, words, guidance and steps: a pair holds what `shapes` paints."""
    from diffusers import FluxPipeline

    scenes = [turbo_scene(PAIRS, 0, n) for n in (0, 1)]
    captions = [scene.caption for scene in scenes]
    words, empty = shared.encode(captions), shared.encode([""])
    latents = run_model(load_transformer(MODEL), turbo_noise(PAIRS, 0, [0, 1]), words, 2, empty, 1.5, bfloat16=False)
    ours = shared.paint(latents, bfloat16=False)
    pipeline = FluxPipeline.from_pretrained(MODEL, torch_dtype=torch.float32)
    theirs = generate(pipeline, captions, Sampling(2, 1.5, 32, noise_seed(PAIRS, 0, 0), torch.float32))
    assert np.abs(ours.astype(int) - theirs).max() <= 1


def test_pairs_are_those_the_oracle_reads_right_and_a_stopped_command_goes_on(tmp_path, shared):
    maker = PairMaker(MODEL, Oracle.load(), compiled=False)
    make_pairs(tmp_path, maker, 20, chunk=10)
    pairs = load_pairs(tmp_path, 0, 20, chunk=10)
    assert 10 < len(pairs) <= 20
    assert pairs.latents.shape[1:] == (144, 24)
    scenes = [turbo_scene(PAIRS, 0, int(n)) for n in pairs.indices]
    assert wholly_right(maker.oracle, shared.paint(pairs.latents), scenes).all()
    # Another caption's picture is not right, so the filter can fail.
    assert not wholly_right(maker.oracle, shared.paint(pairs.latents), scenes[1:] + scenes[:1]).any()

    untouched, gone = chunk_path(tmp_path, 0, 0), chunk_path(tmp_path, 0, 1)
    kept, lost = untouched.stat().st_mtime_ns, gone.read_bytes()
    gone.unlink()
    make_pairs(tmp_path, maker, 20, chunk=10)
    assert gone.read_bytes() == lost
    assert untouched.stat().st_mtime_ns == kept
    assert len(load_pairs(tmp_path, 0, 10, chunk=10)) < len(pairs)
