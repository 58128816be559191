"""Which phrase is true of which crop, by hand and by the words themselves."""

import numpy as np
import pytest
from PIL import Image

from autointerp.shapes.scenes import ATTRIBUTES, BACKGROUNDS, render, sample_scene
from training.shapes.phrases import (
    SINGLES,
    Phrase,
    altered,
    clause,
    foreign_phrase,
    local_crop,
    scene_crops,
    true_phrase,
    truth_matrix,
    window,
)


def phrase(**values: str) -> Phrase:
    return Phrase(" ".join(values.values()), (clause(**values),))


def test_window_is_shifted_into_the_picture():
    assert window(5, 6, 3) == ((40, 32, 64, 56), (5, 6))
    assert window(0, 11, 4) == ((64, 0, 96, 32), (2, 10))
    assert window(3, 9, 12) == ((0, 0, 96, 96), (6, 6))


@pytest.mark.parametrize("seed", range(6))
def test_local_truth_is_that_of_the_central_cell(seed):
    rng = np.random.default_rng(seed)
    truth = render(sample_scene(rng))
    cells = truth.cells()
    row, col = (int(v) for v in rng.permutation(np.argwhere(cells["part"] >= 0))[0])
    crop = local_crop(cells, Image.fromarray(truth.image), (row, col), 3)
    centre = window(row, col, 3)[1]
    true, known = truth_matrix([crop], SINGLES)
    said = {p.text for p, t in zip(SINGLES, true[0], strict=True) if t}
    if cells["part"][centre] >= 0:
        names = ("color", "shape", "texture", "size", "part")
        assert said == {ATTRIBUTES[n][cells[n][centre]] for n in names} | {"object"}
    else:
        assert said == {BACKGROUNDS[cells["background"][centre]], "background"}
    assert known.all()


def test_whole_picture_is_true_of_any_object_but_not_of_mixtures():
    scene = next(s for s in (sample_scene(np.random.default_rng(i)) for i in range(99)) if len(s.objects) == 3)
    truth = render(scene)
    whole = scene_crops(truth, truth.image, 1, np.random.default_rng(0))
    own = [phrase(color=o.color, shape=o.shape, position=o.position) for o in scene.objects]
    held = {(o.color, o.shape) for o in scene.objects}
    mixed = [
        phrase(color=a.color, shape=b.shape)
        for a in scene.objects
        for b in scene.objects
        if (a.color, b.shape) not in held
    ]
    caption = Phrase(scene.caption, tuple(p.clauses[0] for p in own) + (clause(background=scene.background),))
    other = Phrase("", (*caption.clauses[:3], clause(background=next(b for b in BACKGROUNDS if b != scene.background))))
    true, _ = truth_matrix(whole, [*own, *mixed, caption, other])
    assert true[0].tolist() == [True] * 3 + [False] * len(mixed) + [True, False]


def test_hidden_is_neither_true_nor_false():
    truth = render(sample_scene(np.random.default_rng(0)))
    o = truth.scene.objects[0]
    crop = local_crop(truth.cells(), Image.fromarray(truth.image), (int(o.y // 8), int(o.x // 8)), 6)
    wrong = next(c for c in ATTRIBUTES["color"] if c != o.color)
    asked = [
        phrase(color=o.color, position=o.position),
        phrase(color=wrong, position=o.position),
        phrase(position=o.position),
    ]
    true, known = truth_matrix([crop], asked)
    if crop.things:
        assert true[0].tolist() == [False] * 3
        assert known[0].tolist() == [False, True, True]


@pytest.mark.parametrize("seed", range(4))
def test_sampled_phrases(seed):
    rng = np.random.default_rng(seed)
    truth = render(sample_scene(rng))
    crops = scene_crops(truth, truth.image, 12, rng)
    about = [true_phrase(crop, rng) for crop in crops for _ in range(10)]
    true, known = truth_matrix(crops, about)
    assert all(true[i // 10, i] and known[i // 10, i] for i in range(len(about)))
    assert all(p.text and p.text == p.text.strip() and "  " not in p.text for p in about)
    changed = [altered(p, rng) for p in about]
    assert all(a.text != b.text for a, b in zip(about, changed, strict=True))
    assert not truth_matrix(crops, [foreign_phrase(rng) for _ in range(50)])[0].any()
