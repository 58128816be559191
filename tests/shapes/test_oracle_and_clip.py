"""The shipped oracle and shapes-clip load, keep their seams, and read scenes that no trainer saw."""

import numpy as np
import pytest
from PIL import Image

from autointerp.shapes.clip import FOLDER as CLIP_FOLDER, ShapesClip
from autointerp.shapes.oracle import FOLDER as ORACLE_FOLDER, HEADS, Oracle, cell_accuracy
from autointerp.shapes.scenes import render, sample_scene
from autointerp.shapes.train.measure import (
    follows,
    held_out_renders,
    object_crops,
    oracle_accuracy,
    phrase_accuracy,
    save_sheet,
    score_pictures,
)
from autointerp.shapes.train.oracle import stack_cells


@pytest.fixture(scope="module")
def renders():
    return held_out_renders(40, seed=77)


@pytest.fixture(scope="module")
def oracle():
    return Oracle.load()


@pytest.fixture(scope="module")
def clip():
    return ShapesClip.load()


def test_sizes_on_disk():
    assert sum(p.stat().st_size for p in ORACLE_FOLDER.iterdir()) < 1.5e6
    assert sum(p.stat().st_size for p in CLIP_FOLDER.iterdir()) < 5e6


def test_oracle_reads_held_out_renders(oracle, renders):
    assert min(oracle_accuracy(oracle, renders).values()) >= 0.98


def test_oracle_keeps_the_conventions_of_cells(oracle, renders):
    pictures = np.stack([r.image for r in renders])
    read = oracle.read(pictures, batch=16)
    assert set(read) == set(HEADS)
    here = read["part"] >= 0
    for name, value in read.items():
        assert value.shape == (len(renders), 12, 12) and value.dtype == np.int64
        assert np.array_equal(value >= 0, ~here if name == "background" else here)
    from_pil = oracle.read([Image.fromarray(p) for p in pictures])
    assert all(np.array_equal(from_pil[name], read[name]) for name in HEADS)
    assert oracle.read([])["part"].shape == (0, 12, 12)


def test_oracle_refuses_other_arrays(oracle):
    with pytest.raises(ValueError, match=r"uint8 \[n, 96, 96, 3\]"):
        oracle.read(np.zeros((1, 64, 64, 3), np.uint8))


def test_accuracy_counts_where_an_attribute_holds():
    truth = {name: np.array([0, 0, -1, -1]) for name in HEADS}
    read = {name: np.array([0, 1, -1, 0]) for name in HEADS}
    shares = cell_accuracy(read, truth)
    assert shares["color"] == 0.5 and shares["part"] == 0.5
    read["part"] = np.array([0, 0, -1, 0])
    assert cell_accuracy(read, truth)["part"] == 0.75


def test_true_renders_follow_their_captions(oracle, renders):
    assert min(score_pictures(oracle, np.stack([r.image for r in renders]), [r.scene for r in renders]).values()) > 0.97


def test_follows_sees_what_is_wrong(renders):
    truth = next(r for r in renders if len(r.scene.objects) == 2)
    cells = {name: value[0] for name, value in stack_cells([truth]).items()}
    right = follows(cells, truth.scene)
    assert all(all(oks) for oks in right.values()) and len(right["no extra"]) == 2
    many = (sample_scene(np.random.default_rng(i)) for i in range(99))
    other = render(next(scene for scene in many if scene.objects[0].position == "center"))
    wrong = follows({name: value[0] for name, value in stack_cells([other]).items()}, truth.scene)
    assert not all(wrong["no extra"]) and not all(wrong["color"])
    empty = {name: np.full((12, 12), -1) for name in HEADS} | {"background": np.zeros((12, 12), int)}
    assert not any(follows(empty, truth.scene)["position"]) and not any(follows(empty, truth.scene)["shape"])


def test_clip_finds_the_phrase(clip, renders):
    figures = phrase_accuracy(clip, renders)
    assert figures["phrase of 20"] >= 0.85
    assert figures["color"] >= 0.97 and figures["texture"] >= 0.97
    # Chance is 1/2 and 1/6.
    assert figures["size"] >= 0.75 and figures["shape"] >= 0.33


def test_clip_is_an_embedder(clip, renders):
    name, digest = clip.name.split("@")
    assert name == "shapes-clip" and len(digest) == 12
    texts = clip.embed_texts(["red circle", "RED Circle", "blue square"])
    assert texts.shape == (3, clip.dim) and texts.dtype == np.float32
    assert np.allclose(np.linalg.norm(texts, axis=1), 1, atol=1e-5)
    assert np.array_equal(texts[0], texts[1]) and texts[0] @ texts[2] < 0.99
    crops = object_crops(renders)[0][:5]
    pictures = clip.embed_images(crops)
    assert pictures.shape == (5, clip.dim) and np.allclose(np.linalg.norm(pictures, axis=1), 1, atol=1e-5)
    assert clip.embed_texts([]).shape == (0, clip.dim) == clip.embed_images([]).shape
    alone = np.stack([clip.embed_texts([t])[0] for t in ("red circle", "a")])
    together = clip.embed_texts(["red circle", "a", "giraffe on a bicycle in the rain"])[:2]
    assert np.allclose(alone, together, atol=1e-5)


def test_foreign_words_never_win(clip, renders):
    crops, words = object_crops(renders)
    own = clip.embed_texts([" ".join(w) for w in words])
    foreign = clip.embed_texts(["giraffe", "locomotive", "a bowl of soup", "xqzv", "wooden chair", "smiling face"])
    pictures = clip.embed_images(crops)
    assert ((pictures * own).sum(1) > (pictures @ foreign.T).max(1)).mean() > 0.95


def test_clip_loads_as_any_transformers_clip(renders):
    from transformers import CLIPModel, CLIPProcessor

    model, processor = CLIPModel.from_pretrained(CLIP_FOLDER), CLIPProcessor.from_pretrained(CLIP_FOLDER)
    inputs = processor(text=["red"], images=[Image.fromarray(renders[0].image)], return_tensors="pt", padding=True)
    assert inputs.pixel_values.shape == (1, 3, 48, 48)
    assert model(**inputs).logits_per_image.shape == (1, 1)


def test_sheet(tmp_path):
    pictures = np.stack([r.image for r in held_out_renders(5)])
    save_sheet(pictures, tmp_path / "sheet.png", columns=3)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape == (196, 296, 3) and np.array_equal(sheet[100:, 100:196], pictures[4])
    assert np.array_equal(render(held_out_renders(5)[2].scene).image, pictures[2])
