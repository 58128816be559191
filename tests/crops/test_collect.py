"""What the collector keeps, against sorting everything."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from autointerp.crops.collect import (
    NEIGHBOURS,
    POOL,
    QUANTILES,
    CropCollector,
    CropRow,
    Quota,
)
from autointerp.crops.hashing import hashed
from autointerp.crops.levels import level_edges
from autointerp.crops.maps import decode_map
from autointerp.crops.maxima import reduce_batch
from autointerp.crops.nearest import NearestLatents
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


def nearest_of(seed: int) -> NearestLatents:
    """Two nearest features of each, some of them none."""
    rng = np.random.default_rng(seed)
    index = np.stack([rng.permutation(np.delete(np.arange(LATENTS), i))[:2] for i in range(LATENTS)])
    cosine = np.sort(rng.integers(-1, 4, index.shape) / 4, axis=1)[:, ::-1]
    return NearestLatents(index.astype(np.int32), cosine.astype(np.float32))


def collector_of(top: int, reservoir: int, negatives: int, hard: int = 0, cells: int = 0) -> CropCollector:
    return CropCollector(LATENTS, Quota(top, reservoir, negatives, hard, cells), SEED, nearest_of(2))


def fed(collector: CropCollector, run: list) -> CropCollector:
    for batch, codes in run:
        splits = [split_of(str(i)) for i in batch]
        parts = [collector.reduce(c, batch, splits, GRID, s) for c, s in zip(codes, STEPS, strict=True)]
        collector.update(parts)
    return collector


def drawn_at(*parts: int) -> int:
    return int(hashed(SEED, *(np.array([part]) for part in parts))[0])


def naive(run: list, top: int, reservoir: int, negatives: int, hard: int) -> tuple[list[CropRow], dict]:
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
    best: list[dict[int, Any]] = []
    for feature in range(LATENTS):
        best.append({})
        for image, by_step in dense.items():
            found = [
                (-float(by_step[s][c, feature]), s, c) for s in STEPS for c in range(TOKENS) if by_step[s][c, feature]
            ]
            if found:
                best[feature][image] = min(found)
    nearest = nearest_of(2)
    rows: list[CropRow] = []
    stats: dict[Any, Any] = {}
    for feature in range(LATENTS):
        mine = best[feature]
        every = np.concatenate([dense[i][s][:, feature] for i in dense for s in STEPS])
        fired = every[every > 0].astype(np.float64)
        levels = np.histogram(fired, [*level_edges(), np.inf])[0]
        share = [sum(dense[i][s][:, feature].sum(dtype=np.float64) for i in dense) for s in STEPS]
        stats[feature] = (
            (every > 0).mean(), fired.mean() if len(fired) else 0.0, every.max(), len(mine), levels, share,
        )  # fmt: skip
        for split in SPLITS if mine else ():
            here = [i for i in mine if split_of(str(i)) == split]
            tops = sorted(here, key=lambda i: (mine[i][0], i))[:top]
            drawn = sorted(here, key=lambda i: (drawn_at(feature + 1, i) >> 32, i))
            extra = sorted((i for i in drawn[:reservoir] if i not in tops), key=lambda i: (mine[i][0], i))
            silent = [i for i in dense if split_of(str(i)) == split]
            silent.sort(key=lambda i: (drawn_at(0, i), i))
            silent = [i for i in silent[: POOL * negatives] if i not in mine][:negatives]
            harder = []
            for image in dense:
                near = [
                    (-float(np.float32(c) * np.float32(-best[g][image][0])), g)
                    for g, c in zip(nearest.index[feature].tolist(), nearest.cosine[feature].tolist(), strict=True)
                    if c > 0 and image in best[g]
                ]
                if near and image not in mine and split_of(str(image)) == split:
                    harder.append((min(near)[0], image, min(near)[1]))
            harder = [h for h in sorted(harder)[: hard + negatives] if h[1] not in silent][:hard] if hard else []
            chosen: list[tuple[Any, list[int]]] = [("top", tops), ("quantile", extra), ("negative", silent)]
            for role, images in chosen:
                for rank, image in enumerate(images):
                    if role == "negative":
                        rows.append(CropRow(feature, image, split, role, rank, 0.0))
                        continue
                    activation, step, (row, col) = -mine[image][0], mine[image][1], divmod(mine[image][2], GRID[1])
                    quantile = None
                    if role == "quantile":
                        quantile = min(int(QUANTILES * (activation / float(every.max()))), QUANTILES - 1)
                    rows.append(CropRow(feature, image, split, role, rank, activation, step, row, col, GRID, quantile))
            for rank, (_, image, neighbour) in enumerate(harder, len(silent)):
                rows.append(CropRow(feature, image, split, "negative", rank, 0.0, neighbour=neighbour))
        for crop in rows:
            if crop.feature == feature and crop.role != "negative":
                stats[feature, crop.image] = dense[crop.image][crop.step or 0][:, feature].reshape(GRID)
    stats["dense"] = dense
    return rows, stats


def naive_neighbours(dense: dict[int, dict[int, np.ndarray]]) -> list[list[tuple[int, float]]]:
    """Of every cell there is."""
    on = np.concatenate([dense[i][s] for i in dense for s in STEPS]) > 0
    both = on.astype(int).T @ on.astype(int)
    result: list[list[tuple[int, float]]] = []
    for f in range(LATENTS):
        found = [
            (-both[f, g] / (both[f, f] + both[g, g] - both[f, g]), g)
            for g in range(LATENTS)
            if g != f and both[f, g] >= 2
        ]
        result.append([(g, -share) for share, g in sorted(found)[:NEIGHBOURS]])
    return result


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    batches=st.integers(1, 6),
    size=st.integers(1, 5),
    levels=st.sampled_from([2, 5, 1000]),
    share=st.sampled_from([0.02, 0.2, 1.0]),
    kept=st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 2), st.integers(0, 3)),
)
def test_rows_are_those_of_sorting_everything(seed, batches, size, levels, share, kept) -> None:
    run = run_of(seed, batches, size, levels, share)
    expected, truth = naive(run, *kept)
    top, reservoir, negatives, hard = kept
    collector = fed(collector_of(top, reservoir, negatives, hard, 10_000), run)
    rows = list(collector.rows())
    assert [row._replace(activation_map=None) for row in rows] == expected
    for row in rows:
        if row.role != "negative":
            assert np.array_equal(decode_map(row.activation_map or b""), truth[row.feature, row.image])
    stats = collector.stats()
    for feature in range(LATENTS):
        density, mean, most, images, levels, by_step = truth[feature]
        assert stats.density[feature] == density
        assert stats.maximum[feature] == most
        assert stats.images[feature] == images
        assert stats.mean[feature] == pytest.approx(mean, abs=1e-6)
        assert stats.histogram[feature].tolist() == levels.tolist()
        for step, total in zip(STEPS, by_step, strict=True):
            share = stats.steps[step][feature] if step in stats.steps else 0
            assert share == pytest.approx(total / max(sum(by_step), 1e-9), abs=1e-6)
    assert stats.neighbours == naive_neighbours(truth["dense"])
    assert {row.image for row in rows} <= collector.pictures_wanted()


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000), levels=st.sampled_from([2, 1000]), share=st.sampled_from([0.05, 1.0]), data=st.data()
)
def test_order_shards_and_restarts_change_nothing(seed, levels, share, data) -> None:
    run = run_of(seed, 6, 4, levels, share)
    new = lambda: collector_of(3, 3, 2, 2, cells=20)  # noqa: E731
    plain = fed(new(), run)
    # Another order, in shards, one of them stopped and started again, with candidates settled at any time.
    mixed = data.draw(st.permutations(run))
    cut, stop = data.draw(st.integers(0, 6)), data.draw(st.integers(0, 6))
    first, second = new(), new()
    for i, batch in enumerate(mixed[:cut]):
        if i == stop:
            first = CropCollector.from_state({n: a.copy() for n, a in first.state().items()})
        fed(first, [batch])
        if data.draw(st.booleans()):
            first.pictures_wanted()
    fed(second, mixed[cut:])
    first.merge(second)
    assert list(first.rows()) == list(plain.rows())
    for name, array in first.state().items():
        assert np.array_equal(array, plain.state()[name]), name
    for name, figure in vars(plain.stats()).items():
        ours = getattr(first.stats(), name)
        if isinstance(figure, np.ndarray):
            assert np.array_equal(ours, figure), name
        elif isinstance(figure, dict):
            assert ours.keys() == figure.keys()
            assert all(np.array_equal(ours[s], figure[s]) for s in figure)
        else:
            assert ours == figure, name


def test_waiting_candidates_are_sorted_in_before_they_pile_up() -> None:
    collector = collector_of(2, 2, 1)
    collector._best._patience = 16
    run = run_of(3, 12, 4, 1000)
    fed(collector, run)
    assert collector._best._waiting.length < 16 + 4 * LATENTS
    expected = list(fed(collector_of(2, 2, 1), run).rows())
    assert list(collector.rows()) == expected


def test_what_is_kept_does_not_grow_with_the_images() -> None:
    kept = []
    for batches in (40, 160):
        collector = fed(collector_of(2, 2, 1), run_of(1, batches, 5, 1000))
        kept.append(sum(a.nbytes for n, a in collector.state().items() if not n.endswith((".cells", ".values"))))
    assert kept[0] == kept[1]


def test_images_of_different_grids_keep_their_own() -> None:
    """A wide picture's cells are told from a tall one's, and each crop says which grid it lies in."""
    rng = np.random.default_rng(4)
    collector = collector_of(4, 4, 1)
    grids = {0: (3, 4), 1: (4, 3), 2: (2, 6), 3: (5, 5)}
    dense = {}
    for image, grid in grids.items():
        code = random_code(rng, 1, grid[0] * grid[1], LATENTS, 3, 1000)
        collector.update([collector.reduce(code, [image], [split_of(str(image))], grid, 0)])
        full = np.zeros((grid[0] * grid[1], LATENTS), np.float32)
        np.add.at(full, (np.arange(len(full))[:, None], code.latent_indices.numpy()), code.latent_acts.numpy())
        dense[image] = full
    again = CropCollector.from_state({n: a.copy() for n, a in collector.state().items()})
    rows = [row for row in again.rows() if row.role != "negative"]
    assert {row.image for row in rows} == set(grids)
    for row in rows:
        assert row.grid == grids[row.image]
        assert row.row is not None
        assert row.col is not None
        heat = decode_map(row.activation_map or b"")
        assert np.array_equal(heat, dense[row.image][:, row.feature].reshape(row.grid))
        assert heat[row.row, row.col] == heat.max() == row.activation
    assert again.stats().density.sum() == pytest.approx(sum((d > 0).sum() for d in dense.values()) / again.cells_seen)


def test_what_cannot_be_kept_brings_no_map() -> None:
    """Once a feature's crops are full, an image below all of them costs its figures alone."""
    collector = collector_of(1, 0, 0)
    collector._best._patience = 1
    strong = SparseCode(torch.full((TOKENS, 1), 8.0), torch.zeros(TOKENS, 1, dtype=torch.int64))
    weak = SparseCode(torch.full((TOKENS, 1), 2.0), torch.zeros(TOKENS, 1, dtype=torch.int64))
    for image in (0, 1):
        collector.update([collector.reduce(strong, [image], [SPLITS[image]], GRID, 0)])
    dropped = collector.reduce(weak, [2], [SPLITS[0]], GRID, 0)
    assert dropped.maxima.length.tolist() == [0]
    assert not len(dropped.maxima.cells)
    assert dropped.maxima.active.tolist() == [TOKENS]
    # As strong as the one that is there, but of a later image; and stronger.
    assert collector.reduce(strong, [3], [SPLITS[0]], GRID, 0).maxima.length.tolist() == [0]
    stronger = SparseCode(strong.latent_acts * 2, strong.latent_indices)
    kept = collector.reduce(stronger, [4], [SPLITS[0]], GRID, 0)
    assert kept.maxima.length.tolist() == [TOKENS]


def test_an_image_is_never_in_both_splits_and_once_a_feature() -> None:
    rows = list(fed(collector_of(3, 6, 2, 2), run_of(8, 8, 5, 5, 0.1)).rows())
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
        CropCollector(4, Quota(1, 1, 1), 0).merge(CropCollector(4, Quota(1, 1, 1), 1))
