"""What `label` leaves in the database, against the same images generated and encoded once more."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

NAME = "shapes-turbo.mid.topk"
GRID = 12


@dataclass(frozen=True)
class Again:
    """All 40 images once more, in batches of another size: maxima and counts by image and latent."""

    maximum: np.ndarray
    active: np.ndarray
    cell: np.ndarray
    values: np.ndarray
    """Every activation that is kept, [images, cells, latents]."""


@pytest.fixture(scope="module")
def again(labeled: Path) -> Again:
    from autointerp.dictionaries.storage import load_dictionary
    from autointerp.diffusion.capture import Capture
    from autointerp.diffusion.generation import generate
    from autointerp.project.context import Context
    from autointerp.project.workspace import WorkspaceFolder

    ctx = Context(WorkspaceFolder(labeled))
    layer = ctx.layer("mid")
    dictionary = load_dictionary(labeled / "dictionaries" / NAME)
    values = np.zeros((40, GRID * GRID, 64), np.float32)

    def consume(captured: Any) -> None:
        for job, acts in zip(captured.jobs, captured.acts, strict=True):
            code = dictionary.encode(acts)
            rows = np.arange(GRID * GRID)[:, None]
            # An unused slot adds 0 to latent 0, so that adding is right and setting would not be.
            np.add.at(values[job.index], (rows, code.latent_indices.numpy()), code.latent_acts.numpy())

    jobs = ctx.prompts.jobs(0, 40, 0)
    for _ in generate(ctx.model, jobs, ctx.generation, Capture([layer], ctx.capture_steps, consume), batch_size=5):
        pass
    return Again(values.max(1), (values > 0).sum(1), values.argmax(1), values)


def split_of(prompt: str) -> str:
    """Written once more on purpose: labels of old workspaces depend on it."""
    value = int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:8], "big")
    return "score" if value < 0.4 * 2**64 else "explain"


def crops(query: Callable[..., list[Any]], path: Path) -> list[Any]:
    return query(
        path,
        "SELECT f.latent_index, i.image_index, c.role, c.split, c.activation, c.row, c.col, c.rank, c.step, c.timestep,"
        " c.box_left, c.box_top, c.box_right, c.box_bottom, i.width, i.height, i.prompt, c.activation_map, c.neighbour,"
        " c.quantile IS NULL AND c.role = 'quantile'"
        " FROM crops c JOIN features f ON f.id = c.feature_id JOIN images i ON i.id = c.image_id"
        " ORDER BY f.latent_index, c.role, c.split, c.rank",
    )


def test_every_latent_is_a_feature_with_its_figures(labeled: Path, query: Callable[..., Any], again: Again) -> None:
    found = query(
        labeled, "SELECT latent_index, density, max_activation, mean_activation, state FROM features ORDER BY 1"
    )
    assert [row[0] for row in found] == list(range(64))
    # Noise of another batch size may move a cell across the k-th place.
    density = again.active.sum(0) / (40 * GRID * GRID)
    assert np.allclose([row[1] for row in found], density, atol=2e-3)
    assert np.allclose([row[2] for row in found], again.maximum.max(0), rtol=1e-2, atol=1e-2)
    total = again.values.sum((0, 1))
    mean = np.divide(total, again.active.sum(0), out=np.zeros(64), where=total > 0)
    assert np.allclose([row[3] for row in found], mean, rtol=5e-2, atol=1e-2)
    for _, share, most, _, state in found:
        assert state == ("dead" if most == 0 else "dense" if share > 0.5 else "live")
    assert 0 < sum(row[1] for row in found) <= 2.001


def test_crops_are_where_the_feature_fires_most(labeled: Path, query: Callable[..., Any], again: Again) -> None:
    firing = [row for row in crops(query, labeled) if row[2] != "negative"]
    assert len(firing) > 100
    for latent, image, _, _, act, row, col, _, step, timestep, *_ in firing:
        assert act == pytest.approx(again.maximum[image, latent], rel=2e-2, abs=2e-2)
        assert again.values[image, row * GRID + col, latent] == pytest.approx(act, rel=2e-2, abs=2e-2)
        assert step == 1
        assert timestep is not None


def test_top_crops_are_the_strongest_of_their_split(labeled: Path, query: Callable[..., Any], again: Again) -> None:
    prompts = dict(query(labeled, "SELECT image_index, prompt FROM images"))
    found: dict[tuple[int, str], list[Any]] = {}
    for crop in crops(query, labeled):
        if crop[2] == "top":
            found.setdefault((crop[0], crop[3]), []).append(crop)
    # An image that no crop needs is not stored, so its split is taken from its prompt.
    from autointerp.shapes.captions import ShapesPrompts

    splits = [split_of(job.prompt) for job in ShapesPrompts().jobs(0, 40, 0)]
    assert {splits[i] for i in prompts} == {"explain", "score"}
    for (latent, split), kept in found.items():
        acts = sorted((again.maximum[i, latent] for i in range(40) if splits[i] == split), reverse=True)
        fired = [a for a in acts if a > 0][:3]
        assert len(kept) == len(fired)
        assert [c[7] for c in kept] == list(range(len(kept)))
        assert np.allclose([c[4] for c in kept], fired, rtol=2e-2, atol=2e-2)


def test_one_crop_a_feature_and_image_and_disjoint_splits(labeled: Path, query: Callable[..., Any]) -> None:
    found = crops(query, labeled)
    assert len({(c[0], c[1]) for c in found}) == len(found)
    by_split = {s: {(c[1], c[16]) for c in found if c[3] == s} for s in ("explain", "score")}
    assert by_split["explain"]
    assert by_split["score"]
    for part in (0, 1):
        assert not {x[part] for x in by_split["explain"]} & {x[part] for x in by_split["score"]}
    assert all(split_of(c[16]) == c[3] for c in found)
    kinds = {"top": 3, "quantile": 2, "negative": 3, "hard": 5, "sample": 16}
    for kind, most in kinds.items():
        counted: dict[Any, int] = {}
        for c in found:
            if kind == ("hard" if c[18] is not None else "sample" if c[19] else c[2]):
                counted[c[0], c[3]] = counted.get((c[0], c[3]), 0) + 1
        assert max(counted.values()) == most


def test_negatives_are_silent_whole_images(labeled: Path, query: Callable[..., Any], again: Again) -> None:
    found = [c for c in crops(query, labeled) if c[2] == "negative"]
    assert len(found) > 50
    for latent, image, _, _, act, row, col, _, step, timestep, *box, width, height, _, heat, _, _ in found:
        assert act == 0
        assert (row, col, step, timestep, heat) == (None,) * 5
        assert box == [0, 0, width, height]
        assert again.maximum[image, latent] < 2e-2


def test_hard_negatives_are_where_a_like_feature_fires(labeled: Path, query: Callable[..., Any], again: Again) -> None:
    from autointerp.dictionaries.storage import load_dictionary

    directions = load_dictionary(labeled / "dictionaries" / NAME).directions.numpy()
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    cosines = unit @ unit.T - 2 * np.eye(len(unit))
    hard = [c for c in crops(query, labeled) if c[18] is not None]
    assert len(hard) > 50
    assert {c[2] for c in hard} == {"negative"}
    for latent, image, *_, neighbour, _ in hard:
        nearest = np.argsort(-cosines[latent])[:8]
        assert neighbour in nearest
        assert cosines[latent, neighbour] > 0
        assert again.maximum[image, latent] < 2e-2 < again.maximum[image, neighbour]


def test_figures_of_a_feature_are_those_of_its_cells(labeled: Path, query: Callable[..., Any], again: Again) -> None:
    from autointerp.crops.levels import LEVELS, level_edges

    found = query(labeled, "SELECT latent_index, histogram, steps, neighbours FROM features ORDER BY 1")
    on = (again.values > 0).reshape(-1, 64)
    both = on.astype(int).T @ on.astype(int)
    for latent, histogram, steps, neighbours in found:
        cells = again.values[:, :, latent][again.values[:, :, latent] > 0]
        counts = json.loads(histogram)
        levels = np.zeros(LEVELS)
        if counts:
            levels[counts["first"] : counts["first"] + len(counts["counts"])] = counts["counts"]
        # Noise of another batch size may move a cell across an edge, or across the k-th place.
        assert np.abs(levels - np.histogram(cells, [*level_edges(), np.inf])[0]).sum() <= 12
        if not counts:
            continue
        assert json.loads(steps) == {"1": 1.0}
        for other, share in json.loads(neighbours).items():
            exact = both[latent, int(other)] / (
                both[latent, latent] + both[int(other), int(other)] - both[latent, int(other)]
            )
            assert share == pytest.approx(exact, abs=0.1)
    assert sum(len(json.loads(row[3])) for row in found) > 50


def test_boxes_lie_inside_and_hold_their_cell(labeled: Path, query: Callable[..., Any]) -> None:
    from autointerp.crops.geometry import cell_box
    from autointerp.crops.maps import decode_map

    for c in crops(query, labeled):
        left, top, right, bottom, width, height = c[10:16]
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        if c[2] == "negative":
            continue
        inner = cell_box((c[5], c[6]), (GRID, GRID), (width, height))
        assert left <= inner[0]
        assert top <= inner[1]
        assert right >= inner[2]
        assert bottom >= inner[3]
        heat = decode_map(c[17])
        assert heat.shape == (GRID, GRID)
        assert heat.max() == heat[c[5], c[6]] == pytest.approx(c[4], rel=1e-3)


def test_every_picture_decodes_and_is_needed(labeled: Path, query: Callable[..., Any]) -> None:
    found = query(labeled, "SELECT id, picture, width, height, prompt, prompt_hash, seed, image_index FROM images")
    used = {i for (i,) in query(labeled, "SELECT image_id FROM crops UNION SELECT image_id FROM cells")}
    assert {row[0] for row in found} == used
    for _, data, width, height, prompt, digest, seed, index in found:
        picture = Image.open(io.BytesIO(data))
        picture.load()
        assert picture.format == "WEBP"
        assert picture.size == (width, height)
        assert digest == hashlib.sha256(prompt.encode()).hexdigest()
        assert seed == index


def test_labels_and_scores_belong_together(labeled: Path, query: Callable[..., Any]) -> None:
    live = {i for (i,) in query(labeled, "SELECT id FROM features WHERE state = 'live'")}
    labels = query(labeled, "SELECT feature_id, status, name, explanation, confidence, id FROM labels")
    assert {row[0] for row in labels} == live
    assert len(labels) == len(live)
    for _, status, name, explanation, confidence, _ in labels:
        assert status in ("ok", "uninterpretable")
        assert 0 <= confidence <= 1
        assert bool(name) == (status == "ok")
        assert explanation or status != "ok"
    scores = query(
        labeled, "SELECT label_id, method, value, ci_low, ci_high, note, judge_id FROM scores WHERE NOT shuffled"
    )
    assert sorted(row[0] for row in scores) == sorted(row[5] for row in labels if row[1] == "ok")
    for _, method, value, low, high, note, judge in scores:
        assert method == "embedding"
        assert judge is None
        assert note if value is None else 0 <= low <= value <= high <= 1
    assert any(row[2] is not None for row in scores)


def test_the_dictionary_row_is_its_folder(labeled: Path, query: Callable[..., Any]) -> None:
    ((name, digest, d_in, latents, k, fvu, l0, grid),) = query(
        labeled, "SELECT name, weights_sha256, d_in, num_latents, k, fvu, l0, grid_rows FROM dictionaries"
    )
    folder = labeled / "dictionaries" / name
    assert hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest() == digest
    config = json.loads((folder / "cfg.json").read_text())
    assert (config["kind"], config["d_in"], config["num_latents"], config["k"]) == ("topk", d_in, latents, k)
    assert 0 < fvu < 1.5
    assert 0 < l0 <= k == 2
    assert grid == GRID
    runs = query(labeled, "SELECT kind, status, done, total FROM runs ORDER BY id")
    assert not query(labeled, "SELECT 1 FROM checkpoints")
    assert runs == [("fit", "done", 13, 13), ("harvest", "done", 40, 40)]
