"""Samples of active cells: against sorting everything, and unbiased over seeds."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from autointerp.crops.collect import CropCollector
from autointerp.crops.hashing import hashed
from autointerp.crops.levels import level_edges
from autointerp.crops.maps import decode_map
from autointerp.crops.nearest import NearestLatents
from autointerp.crops.records import CropRow, Quota
from autointerp.crops.sample import active_above
from autointerp.crops.split import split_of

from .test_collect import GRID, LATENTS, STEPS, TOKENS, run_of


def fed(run: list, seed: int, quota: Quota) -> CropCollector:
    collector = CropCollector(LATENTS, quota, seed, NearestLatents.none(LATENTS))
    for batch, codes in run:
        splits = [split_of(str(i)) for i in batch]
        collector.update([collector.reduce(c, batch, splits, GRID, s) for c, s in zip(codes, STEPS, strict=True)])
    return collector


def maps_of(run: list) -> dict[tuple[int, str], dict[int, np.ndarray]]:
    """The map of each image at the step of its maximum, by (feature, split)."""
    maps: dict[tuple[int, str], dict[int, np.ndarray]] = defaultdict(dict)
    for batch, codes in run:
        full = np.zeros((len(STEPS), len(batch) * TOKENS, LATENTS), np.float32)
        for step, code in enumerate(codes):
            np.add.at(
                full[step],
                (np.arange(full.shape[1])[:, None], code.latent_indices.numpy()),
                code.latent_acts.numpy(),
            )
        by_image = full.reshape(len(STEPS), len(batch), TOKENS, LATENTS)
        for place, image in enumerate(batch):
            for feature in range(LATENTS):
                mine = by_image[:, place, :, feature]
                if mine.any():
                    maps[feature, split_of(str(image))][image] = mine[mine.max(1).argmax()].astype(np.float16)
    return maps


def sampled(rows: list[CropRow]) -> dict[tuple[int, str], dict[int, float]]:
    found: dict[tuple[int, str], dict[int, float]] = defaultdict(dict)
    for row in rows:
        if row.sample_probability is not None:
            found[row.feature, row.split][row.image] = row.sample_probability
    return found


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    batches=st.integers(1, 6),
    levels=st.sampled_from([2, 5, 1000]),
    share=st.sampled_from([0.02, 0.2, 1.0]),
    n=st.integers(1, 5),
    tops=st.integers(0, 2),
)
def test_the_sample_is_that_of_sorting_everything(seed, batches, levels, share, n, tops) -> None:
    run = run_of(seed, batches, 4, levels, share)
    maps = maps_of(run)
    rows = list(fed(run, 3, Quota(tops, tops, 1, sample=n)).rows())
    assert len({(row.feature, row.image) for row in rows}) == len(rows)
    expected: dict[tuple[int, str], dict[int, float]] = defaultdict(dict)
    for feature in range(LATENTS):
        every = [heat for split in ("explain", "score") for heat in maps[feature, split].values()]
        if not every:
            continue
        above = float(active_above(max(float(heat.max()) for heat in every)))
        edge = max([e for e in level_edges() if e <= above], default=0.0)
        for split in ("explain", "score"):
            ordered = []
            for image, heat in maps[feature, split].items():
                count = int((heat >= edge).sum())
                draw = int(hashed(3, np.array([feature + 1]), np.array([image]))[0]) >> 32
                if count:
                    ordered.append((float(np.float32(draw / count)), image, count))
            ordered.sort()
            limit = ordered[n][0] / 2**32 if len(ordered) > n else np.inf
            for _, image, count in ordered[:n]:
                if (maps[feature, split][image] > above).any():
                    expected[feature, split][image] = min(1.0, count * limit)
    assert sampled(rows) == expected
    for row in rows:
        if row.sample_probability is not None:
            heat = decode_map(row.activation_map or b"").reshape(-1)
            assert np.array_equal(heat, maps[row.feature, row.split][row.image].astype(np.float32))
        # What is kept for the sample alone has no quantile, and comes behind what was drawn evenly.
        assert (row.role == "quantile" and row.quantile is None) <= (row.sample_probability is not None)


def test_active_cells_are_counted_without_bias() -> None:
    """Over seeds, the cells that a sample stands for are on average those that there are."""
    run = run_of(11, 10, 6, 1000, 0.5)
    maps = maps_of(run)
    truth, estimates = {}, defaultdict(list)
    for (feature, split), images in maps.items():
        most = max(float(h.max()) for s in ("explain", "score") for h in maps[feature, s].values())
        above = float(active_above(most))
        truth[feature, split] = sum(int((heat > above).sum()) for heat in images.values())
    for seed in range(300):
        found = sampled(list(fed(run, seed, Quota(0, 0, 0, sample=6)).rows()))
        for place, images in maps.items():
            most = max(float(h.max()) for s in ("explain", "score") for h in maps[place[0], s].values())
            above = float(active_above(most))
            estimates[place].append(sum(int((images[i] > above).sum()) / p for i, p in found[place].items()))
    off = [(np.mean(estimates[place]) - truth[place]) / (np.std(estimates[place]) / 300**0.5 + 1e-9) for place in truth]
    # Of standard errors; and the estimates do vary, so that this can fail.
    assert np.abs(off).max() < 4
    assert np.abs(np.mean(off)) < 1.5
    assert all(np.std(estimates[place]) > 0.5 for place in truth)


def test_a_sample_may_be_stopped_merged_and_in_any_order() -> None:
    run = run_of(5, 8, 4, 1000, 0.3)
    quota = Quota(2, 2, 1, sample=3, random_cells=9)
    plain = fed(run, 1, quota)
    first, second = fed(run[5:][::-1], 1, quota), fed(run[:5], 1, quota)
    second = CropCollector.from_state({name: array.copy() for name, array in second.state().items()})
    first.merge(second)
    assert list(first.rows()) == list(plain.rows())
    assert list(first.random_cells()) == list(plain.random_cells())
    for name, array in first.state().items():
        assert np.array_equal(array, plain.state()[name]), name
    needed = {row.image for row in plain.rows()} | {cell.image for cell in plain.random_cells()}
    assert needed <= plain.pictures_wanted()


def test_the_threshold_is_a_quarter_of_the_maximum_as_maps_hold_it() -> None:
    assert active_above(8.0) == 2.0
    assert active_above(np.array([4.0, 1e6], np.float32)) == pytest.approx([1.0, 65504 / 4])
