from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from transformers import CLIPModel

from autointerp.labeling.evidence.cells import PartReader
from autointerp.labeling.evidence.windows import WindowEmbedder
from autointerp.search.embedders import load_embedder
from autointerp.shapes.clip import FOLDER as CLIP_FOLDER, PARTS
from training.shapes.measure import (
    object_crops,
    phrase_accuracy,
)
from training.shapes.parts import WINDOWS, cells_of, part_figures


def test_clip_finds_the_phrase(clip, renders):
    figures = phrase_accuracy(clip, renders)
    assert figures["phrase of 20"] >= 0.85
    assert figures["color"] >= 0.97
    assert figures["texture"] >= 0.97
    # Chance is 1/2 and 1/6.
    assert figures["size"] >= 0.75
    assert figures["shape"] >= 0.33


def test_clip_is_an_embedder(clip, renders):
    name, digest = clip.name.split("@")
    assert name == "shapes-clip"
    assert len(digest) == 12
    texts = clip.embed_texts(["red circle", "RED Circle", "blue square"])
    assert texts.shape == (3, clip.dim)
    assert texts.dtype == np.float32
    assert np.allclose(np.linalg.norm(texts, axis=1), 1, atol=1e-5)
    assert np.array_equal(texts[0], texts[1])
    assert texts[0] @ texts[2] < 0.99
    crops = object_crops(renders)[0][:5]
    pictures = clip.embed_images(crops)
    assert pictures.shape == (5, clip.dim)
    assert np.allclose(np.linalg.norm(pictures, axis=1), 1, atol=1e-5)
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
    from transformers import CLIPProcessor

    model, processor = CLIPModel.from_pretrained(CLIP_FOLDER), CLIPProcessor.from_pretrained(CLIP_FOLDER)
    inputs = processor(text=["red"], images=[Image.fromarray(renders[0].image)], return_tensors="pt", padding=True)
    assert inputs.pixel_values.shape == (1, 3, 48, 48)
    assert model(**inputs).logits_per_image.shape == (1, 1)


def test_shipped_reader_is_small_and_finds_parts(clip, renders):
    assert PARTS.stat().st_size < 20_000
    figures = part_figures(clip, PartReader.load(PARTS, clip), renders)
    assert min(figures[f"{part} found"] for part in ("edge", "inside", "object", "background")) >= 0.85, figures
    assert min(figures[f"{part} right"] for part in ("edge", "inside", "object", "background")) >= 0.8, figures


def test_words_alone_find_fewer_edges(clip, renders):
    crops, classes = cells_of(renders, np.stack([r.image for r in renders]), 0)
    words = clip.embed_texts(["background", "edge", "inside"])
    said = (WindowEmbedder(clip, WINDOWS)(crops) @ words.T).argmax(1)
    read = PartReader.load(PARTS, clip).read(WindowEmbedder(clip, WINDOWS), crops)
    assert (read[classes == 1, 0] >= 0.5).mean() > (said[classes == 1] == 1).mean() + 0.1


def test_the_embedder_of_the_package_goes_to_the_device() -> None:
    """What it is given goes there too; the device `meta` computes no numbers, so that nothing comes back from there."""
    embedder = load_embedder("shapes-clip", device="meta")
    for embed in (lambda: embedder.embed_texts(["red"]), lambda: embedder.embed_images([Image.new("RGB", (9, 9))])):
        with pytest.raises((NotImplementedError, RuntimeError), match="meta"):
            embed()
    embedder = load_embedder("shapes-clip", device="cpu:0")
    assert embedder.embed_texts(["red circle"]).shape == (1, embedder.dim)
