"""Phrases that exclude each other are read against their alternatives."""

import numpy as np

from autointerp.labeling.evidence.grounding import PhraseBank


class _Plane:
    """Words as fixed points: `edge` and `inside` nearly alike, both far from `background`."""

    name, dim = "plane", 3
    points = {"edge": (1.0, 0.3, 0.0), "inside": (1.0, -0.3, 0.0), "background": (0.0, 0.0, 1.0)}

    def embed_texts(self, texts):
        vectors = np.array([self.points.get(t, (0.0, 0.0, 0.5)) for t in texts], np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def embed_images(self, images):
        raise AssertionError("no picture is looked at")


def _bank(contrasts):
    bank = PhraseBank(_Plane(), list(_Plane.points), 1.0, contrasts)
    bank.collect([], 1, 3, 10)
    return dict(zip(bank.phrases, bank.vectors, strict=True))


def test_contrast_tells_alike_phrases_apart():
    inside = _Plane().embed_texts(["inside"])[0]
    plain, against = _bank(()), _bank((("edge", "inside", "background"),))
    assert plain["edge"] @ inside > 0.8
    assert against["edge"] @ inside < 0.5 < against["inside"] @ inside


def test_a_set_of_which_only_one_is_known_changes_nothing():
    plain, against = _bank(()), _bank((("edge", "elsewhere"),))
    assert np.array_equal(plain["edge"], against["edge"])
