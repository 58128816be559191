"""Activations come with the picture that they became, on the grid that is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autointerp import Workspace
from autointerp.diffusion.words import WordReader
from autointerp.errors import UsageError
from autointerp.experiments.scene_batches import attributes_of, scene_batches, scene_reader, truth_of
from autointerp.experiments.subjects import captured, pictures_of
from autointerp.project.context import Context


def test_batches_hold_what_a_capture_gives_and_the_model_is_left_as_it_was(labeled: Path) -> None:
    ctx = Context(Workspace(labeled))
    layers, jobs = [ctx.layer("early"), ctx.layer("mid")], pictures_of(ctx, 10)
    reader = scene_reader(ctx, layers)
    batches = list(scene_batches(ctx, reader, jobs, layers, [0, 1], with_input=True))
    assert [len(batch.jobs) for batch in batches] == [8, 2]
    seen: dict[tuple[str, int], list[torch.Tensor]] = {}

    def keep(read: Any) -> None:
        seen.setdefault((read.layer.name, read.step), []).append(read.acts.clone())

    pictures = [p for _, made in captured(ctx, jobs, layers, [0, 1], keep) for p in made]
    for layer in layers:
        for step in (0, 1):
            held = torch.cat([batch.acts[layer, step] for batch in batches])
            assert torch.allclose(held, torch.cat(seen[layer.name, step]), atol=1e-4)
    assert np.array_equal(np.asarray(batches[1].pictures[1]), np.asarray(pictures[9]))
    assert batches[0].inputs[0].shape[:2] == (8, 144)
    # The input of the first step is noise, of which the second step has less.
    assert not torch.allclose(batches[0].inputs[0], batches[0].inputs[1])
    assert not ctx.model.denoiser._forward_pre_hooks
    assert not batches[0].words


def test_word_maps_come_with_each_layer_and_step(labeled: Path) -> None:
    ctx = Context(Workspace(labeled))
    layers, jobs = [ctx.layer("early"), ctx.layer("late")], pictures_of(ctx, 10)
    reader, words = scene_reader(ctx, layers), WordReader(ctx.description)
    batches = list(scene_batches(ctx, reader, jobs, layers, [0, 1], words=words))
    plain = list(scene_batches(ctx, reader, jobs, layers, [0, 1]))
    for batch, bare in zip(batches, plain, strict=True):
        assert set(batch.words) == {(layer, step) for layer in layers for step in (0, 1)}
        for maps in batch.words.values():
            assert [one.words for one in maps] == [words.read(job.prompt).words for job in batch.jobs]
        for picture, plainly in zip(batch.pictures, bare.pictures, strict=True):
            assert np.array_equal(np.asarray(picture), np.asarray(plainly))
    early, late = (batches[1].words[layer, 1][1].maps for layer in layers)
    assert not np.allclose(early, late)
    assert not np.allclose(batches[1].words[layers[1], 0][1].maps, late)


def test_the_truth_of_cells(labeled: Path) -> None:
    ctx = Context(Workspace(labeled))
    layer = ctx.layer("mid")
    reader = scene_reader(ctx, [layer])
    (batch,) = scene_batches(ctx, reader, pictures_of(ctx, 4), [layer], [0])
    found = truth_of(reader, batch.facts, (12, 12))
    assert set(found) == set(attributes_of(reader))
    covered = np.stack([fact.cells["part"] >= 0 for fact in batch.facts]).reshape(4, -1)
    # Stray cells belong to no object.
    assert (found["object"] == 0).sum() <= covered.sum()
    assert not (found["object"].astype(bool) == 0)[~covered].any()
    assert truth_of(reader, batch.facts, (6, 6))["color"].shape == (4, 36)


def test_a_model_of_the_open_world_has_no_truth(labeled: Path) -> None:
    ctx = Context(Workspace(labeled), size=48)
    with pytest.raises(UsageError, match="is not known: use a shapes model"):
        scene_reader(ctx, [ctx.layer("mid")])
