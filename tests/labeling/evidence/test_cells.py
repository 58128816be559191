"""What cells show without words, and the reader that weighs it with an embedder's similarities."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autointerp.errors import AutointerpError
from autointerp.labeling.evidence.cells import STATISTICS, PartReader, cell_statistics
from autointerp.labeling.evidence.windows import WindowEmbedder

from ..conftest import ColorEmbedder, World

STEP, SPREAD, NEAREST, FARTHEST = 0, 1, 2, -1


def halves() -> Image.Image:
    """Black and white halves that meet in the middle of the fourth of eight columns."""
    picture = Image.new("RGB", (64, 64), (0, 0, 0))
    picture.paste((255, 255, 255), (28, 0, 64, 64))
    return picture


def test_a_flat_picture_has_no_statistics() -> None:
    assert not cell_statistics(Image.new("RGB", (64, 64), (9, 80, 200)), (8, 8)).any()


def test_an_edge_steps_and_spreads_and_what_is_far_does_not() -> None:
    found = cell_statistics(halves(), (8, 8))
    assert found.shape == (8, 8, STATISTICS)
    edge, beside, far = found[4, 3], found[4, 4], found[4, 6]
    assert edge[STEP] > 6
    assert edge[SPREAD] > 5
    assert edge[FARTHEST] > 5
    assert beside[STEP] > 5
    assert beside[SPREAD] == 0
    assert beside[NEAREST] == 0
    assert not far.any()


def test_a_pattern_spreads_without_a_step() -> None:
    board = Image.fromarray((np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)).convert("RGB")
    found = cell_statistics(board, (8, 8))
    assert found[..., SPREAD].min() > 5
    assert found[..., STEP].max() < 0.1


def test_statistics_do_not_depend_on_the_picture_s_size() -> None:
    large = halves().resize((256, 256), Image.Resampling.NEAREST)
    assert np.allclose(cell_statistics(large, (8, 8)), cell_statistics(halves(), (8, 8)), atol=1e-3)


def reader_config(**changes: object) -> dict[str, object]:
    """A reader over two colours' similarities: red against the rest, and any cell of more than one colour."""
    inputs = 2 + STATISTICS
    hidden = np.zeros((2, inputs))
    hidden[0, 0], hidden[1, 2 + SPREAD] = 4.0, 1.0
    config: dict[str, object] = {
        "embedder": ColorEmbedder.name,
        "windows": [2],
        "texts": ["red", "blue"],
        "phrases": [["ground", [0]], ["stain", [1]], ["rim", [2]], ["thing", [1, 2]]],
        "mean": [0.0] * inputs,
        "scale": [1.0] * inputs,
        "hidden": hidden.tolist(),
        "hidden_bias": [-2.0, -3.0],
        "out": [[0, 0], [9, 0], [0, 9]],
        "out_bias": [0, 0, 0],
    }
    return config | changes


def test_reader_weighs_words_and_cells_and_sums_classes(world: World, embedder: ColorEmbedder) -> None:
    reader = PartReader(embedder, reader_config(), "stains")
    (image, middle) = world.where(lambda color, _: color == "red")[0]
    (other, blue) = world.where(lambda color, _: color == "blue")[0]
    corner = (middle[0] - 2, middle[1] - 2)
    crops = [world.crop(image, middle, 1.0), world.crop(other, blue, 1.0), world.crop(image, corner, 1.0)]
    ground, stain, rim, thing = reader.read(WindowEmbedder(embedder, (2.0,)), crops).T
    assert stain.argmax() == 0
    assert stain[0] > 0.9
    assert stain[1] < 0.1
    assert rim.argmax() == 2
    assert rim[2] > 0.7
    assert np.allclose(thing, stain + rim)
    assert np.allclose(ground + thing, 1)


def test_reader_of_no_crops_is_empty(embedder: ColorEmbedder) -> None:
    reader = PartReader(embedder, reader_config(), "stains")
    assert reader.read(WindowEmbedder(embedder, (2.0,)), []).shape == (0, 4)


def test_reader_needs_its_windows(world: World, embedder: ColorEmbedder) -> None:
    reader = PartReader(embedder, reader_config(windows=[3]), "stains")
    with pytest.raises(AutointerpError, match="windows of 3 cells"):
        reader.read(WindowEmbedder(embedder, (2.0,)), [world.crop(0, (2, 2), 1.0)])


def test_reader_belongs_to_one_embedder_and_is_named_by_its_file(tmp_path: Path, embedder: ColorEmbedder) -> None:
    path = tmp_path / "parts.json"
    path.write_text(json.dumps(reader_config()))
    name = PartReader.load(path, embedder).name
    path.write_text(json.dumps(reader_config(out_bias=[1, 0, 0])))
    assert PartReader.load(path, embedder).name != name
    path.write_text(json.dumps(reader_config(embedder="another")))
    with pytest.raises(AutointerpError, match="another"):
        PartReader.load(path, embedder)


def test_by_size_is_what_the_mean_is_made_of(world: World, embedder: ColorEmbedder) -> None:
    windows = WindowEmbedder(embedder, (2.0, 4.0))
    crops = [world.crop(i, (i, 3), 1.0) for i in range(5)]
    vectors = windows.by_size(crops)
    seen = embedder.images_seen
    mean = windows(crops)
    assert vectors.shape == (5, 2, embedder.dim)
    assert embedder.images_seen == seen
    assert not np.allclose(vectors[:, 0], vectors[:, 1])
    assert np.allclose(mean, vectors.mean(1) / np.linalg.norm(vectors.mean(1), axis=1, keepdims=True))


def test_an_image_may_be_seen_in_two_grids(world: World, embedder: ColorEmbedder) -> None:
    """A negative has no map to tell its grid by: it is seen in that of the run, beside crops in the image's own."""
    crop = world.crop(0, (2, 2), 1.0)
    other = dataclasses.replace(crop, grid=(crop.grid[0] // 2, crop.grid[1] * 2), cell=(2, 9))
    reader = PartReader(embedder, reader_config(), "stains")
    windows = WindowEmbedder(embedder, (2.0,))
    same = dataclasses.replace(other, cell=(2, 2))
    together = reader.inputs(windows, [crop, other, same])
    for number, one in enumerate((crop, other, same)):
        alone = PartReader(embedder, reader_config(), "stains").inputs(WindowEmbedder(embedder, (2.0,)), [one])
        assert np.array_equal(together[number], alone[0]), number
