"""What the collector keeps, against sorting everything."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from autointerp.crops.collect import (
    POOL,
    QUANTILES,
    CropCollector,
    CropRow,
    _hash,
    dump_state,
    load_state,
)
from autointerp.crops.maps import decode_map
from autointerp.crops.maxima import BatchMaxima, combine, reduce_batch
from autointerp.crops.split import SPLITS, split_of
from autointerp.dictionaries.protocol import SparseCode

GRID, LATENTS, STEPS, SEED = (3, 4), 7, (1, 4), 5
TOKENS = GRID[0] * GRID[1]


def random_code(
    rng: np.random.Generator, images: int, tokens: int, latents: int, k: int, levels: int, share: float = 1.0
) -> SparseCode:
    """A code with few distinct activations, so that ties abound, and with unused slots; `share` of slots may fire."""
    indices = np.stack([rng.permutation(latents)[:k] for _ in range(images * tokens)])
    acts = rng.integers(0, levels + 1, indices.shape).astype(np.float32) / 4
    acts[(acts <= 0.25) | (rng.random(acts.shape) > share)] = 0
    indices[acts == 0] = 0
    return SparseCode(torch.from_numpy(acts), torch.from_numpy(indices))


def run_of(
    seed: int, batches: int, size: int, levels: int, share: float = 1.0
) -> list[tuple[list[int], list[SparseCode]]]:
    """Batches of (image indices in no order, a code a step)."""
    rng = np.random.default_rng(seed)
    images = rng.permutation(batches * size).reshape(batches, size).tolist()
    return [(batch, [random_code(rng, size, TOKENS, LATENTS, 3, levels, share) for _ in STEPS]) for batch in images]


def maxima_of(batch: list[int], codes: list[SparseCode]) -> BatchMaxima:
    return combine([reduce_batch(c, batch, GRID, s, LATENTS) for c, s in zip(codes, STEPS, strict=True)])


def splits_of(images: np.ndarray) -> list:
    return [split_of(str(i)) for i in images]


def fed(collector: CropCollector, run: list) -> CropCollector:
    for batch, codes in run:
        maxima = maxima_of(batch, codes)
        collector.update(maxima, splits_of(maxima.images))
    return collector


def naive(run: list, top: int, reservoir: int, negatives: int) -> tuple[list[CropRow], dict]:
    """Dense codes, plain loops and sorts."""
    dense: dict[int, dict[int, np.ndarray]] = defaultdict(dict)
    for batch, codes in run:
        for code, step in zip(codes, STEPS, strict=True):
            full = np.zeros((len(batch) * TOKENS, LATENTS), np.float32)
            for t in range(len(full)):
                for a, i in zip(code.latent_acts[t].tolist(), code.latent_indices[t].tolist(), strict=True):
                    if a > 0:
                        full[t, i] = a
            for place, image in enumerate(batch):
                dense[image][step] = full[place * TOKENS : (place + 1) * TOKENS]
    rows: list[CropRow] = []
    stats: dict[Any, Any] = {}
    for feature in range(LATENTS):
        best = {}
        every = np.concatenate([dense[i][s][:, feature] for i in dense for s in STEPS])
        fired = every[every > 0].astype(np.float64)
        for image, by_step in dense.items():
            found = [
                (-float(by_step[s][c, feature]), s, c) for s in STEPS for c in range(TOKENS) if by_step[s][c, feature]
            ]
            if found:
                best[image] = min(found)
        stats[feature] = ((every > 0).mean(), fired.mean() if len(fired) else 0.0, every.max(), len(best))
        for split in SPLITS if best else ():
            here = [i for i in best if split_of(str(i)) == split]
            tops = sorted(here, key=lambda i: (best[i][0], i))[:top]
            drawn = sorted(here, key=lambda i: (int(_hash(SEED, np.array([feature + 1]), np.array([i]))[0]), i))
            extra = sorted((i for i in drawn[:reservoir] if i not in tops), key=lambda i: (best[i][0], i))
            silent = [i for i in dense if split_of(str(i)) == split]
            silent.sort(key=lambda i: (int(_hash(SEED, np.array([0]), np.array([i]))[0]), i))
            silent = [i for i in silent[: POOL * negatives] if i not in best][:negatives]
            chosen: list[tuple[Any, list[int]]] = [("top", tops), ("quantile", extra), ("negative", silent)]
            for role, images in chosen:
                for rank, image in enumerate(images):
                    if role == "negative":
                        rows.append(CropRow(feature, image, split, role, rank, 0.0))
                        continue
                    activation, step, cell = -best[image][0], best[image][1], best[image][2]
                    quantile = None
                    if role == "quantile":
                        quantile = min(int(QUANTILES * (activation / float(every.max()))), QUANTILES - 1)
                    rows.append(
                        CropRow(feature, image, split, role, rank, activation, step, *divmod(cell, GRID[1]), quantile)
                    )
        for row in rows:
            if row.feature == feature and row.role != "negative":
                stats[feature, row.image] = dense[row.image][row.step or 0][:, feature].reshape(GRID)
    return rows, stats


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    batches=st.integers(1, 6),
    size=st.integers(1, 5),
    levels=st.sampled_from([2, 5, 1000]),
    share=st.sampled_from([0.02, 0.2, 1.0]),
    top=st.integers(0, 4),
    reservoir=st.integers(0, 4),
    negatives=st.integers(0, 2),
)
def test_rows_are_those_of_sorting_everything(seed, batches, size, levels, share, top, reservoir, negatives) -> None:
    run = run_of(seed, batches, size, levels, share)
    expected, truth = naive(run, top, reservoir, negatives)
    collector = fed(CropCollector(LATENTS, top, reservoir, negatives, SEED), run)
    rows = list(collector.rows())
    assert [row._replace(activation_map=None) for row in rows] == expected
    for row in rows:
        if row.role != "negative":
            assert np.array_equal(decode_map(row.activation_map or b""), truth[row.feature, row.image])
    stats = collector.stats()
    for feature in range(LATENTS):
        density, mean, most, images = truth[feature]
        assert stats.density[feature] == density and stats.maximum[feature] == most
        assert stats.images[feature] == images and stats.mean[feature] == pytest.approx(mean, abs=1e-6)
    assert {row.image for row in rows} <= collector.pictures_wanted()


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000), levels=st.sampled_from([2, 1000]), share=st.sampled_from([0.05, 1.0]), data=st.data()
)
def test_order_shards_and_restarts_change_nothing(seed, levels, share, data) -> None:
    run = run_of(seed, 6, 4, levels, share)
    new = lambda: CropCollector(LATENTS, 3, 3, 2, SEED)  # noqa: E731
    plain = fed(new(), run)
    # Another order, in shards, one of them stopped and started again, with candidates settled at any time.
    mixed = data.draw(st.permutations(run))
    cut, stop = data.draw(st.integers(0, 6)), data.draw(st.integers(0, 6))
    first, second = new(), new()
    for i, batch in enumerate(mixed[:cut]):
        if i == stop:
            first = CropCollector.from_state(load_state(dump_state(first.state())))
        fed(first, [batch])
        if data.draw(st.booleans()):
            first.pictures_wanted()
    fed(second, mixed[cut:])
    first.merge(second)
    assert list(first.rows()) == list(plain.rows())
    for name, array in first.state().items():
        assert np.array_equal(array, plain.state()[name]), name
    for ours, theirs in zip(vars(first.stats()).values(), vars(plain.stats()).values(), strict=True):
        assert np.array_equal(ours, theirs)


def test_waiting_candidates_are_sorted_in_before_they_pile_up() -> None:
    collector = CropCollector(LATENTS, 2, 2, 1, SEED)
    collector._best._patience = 16
    run = run_of(3, 12, 4, 1000)
    fed(collector, run)
    assert collector._best._count < 16 + 4 * LATENTS
    expected = list(fed(CropCollector(LATENTS, 2, 2, 1, SEED), run).rows())
    assert list(collector.rows()) == expected


def test_what_is_kept_does_not_grow_with_the_images() -> None:
    kept = []
    for batches in (40, 160):
        collector = fed(CropCollector(LATENTS, 2, 2, 1, SEED), run_of(1, batches, 5, 1000))
        kept.append(sum(a.nbytes for n, a in collector.state().items() if not n.endswith((".cells", ".values"))))
    assert kept[0] == kept[1]


def test_an_image_is_never_in_both_splits_and_once_a_feature() -> None:
    rows = list(fed(CropCollector(LATENTS, 3, 6, 2, SEED), run_of(8, 8, 5, 5, 0.1)).rows())
    assert {"top", "quantile", "negative"} == {row.role for row in rows}
    assert len({(row.feature, row.image) for row in rows}) == len(rows)
    assert all(row.split == split_of(str(row.image)) for row in rows)


def test_a_code_that_does_not_fit_is_refused() -> None:
    code = SparseCode(torch.ones(24, 2), torch.zeros(24, 2, dtype=torch.int64))
    with pytest.raises(ValueError, match="is not that of"):
        reduce_batch(code, [0], GRID, 0, LATENTS)
    with pytest.raises(ValueError, match="twice"):
        reduce_batch(code, [3, 3], GRID, 0, LATENTS)
    with pytest.raises(ValueError, match="indices outside"):
        reduce_batch(SparseCode(code.latent_acts, code.latent_indices + LATENTS), [0, 1], GRID, 0, LATENTS)
    with pytest.raises(ValueError, match="no numbers"):
        reduce_batch(SparseCode(code.latent_acts * float("nan"), code.latent_indices), [0, 1], GRID, 0, LATENTS)


def test_collectors_of_different_settings_do_not_merge() -> None:
    with pytest.raises(ValueError, match="different settings"):
        CropCollector(4, 1, 1, 1, 0).merge(CropCollector(4, 1, 1, 1, 1))
