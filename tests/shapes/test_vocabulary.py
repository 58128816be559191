from __future__ import annotations

from autointerp.shapes.scenes import ATTRIBUTES
from autointerp.shapes.vocabulary import CONTRASTS, shapes_vocabulary


def test_every_word_of_the_world_and_every_pair_of_kinds_is_a_phrase_once() -> None:
    words = shapes_vocabulary()
    assert len(set(words.phrases)) == len(words.phrases)
    kinds = [ATTRIBUTES[name] for name in ("size", "color", "texture", "shape")]
    assert {word for kind in kinds for word in kind} <= set(words.phrases)
    assert {
        f"{one} {other}" for i, kind in enumerate(kinds) for more in kinds[i + 1 :] for one in kind for other in more
    } <= set(words.phrases)
    assert {"night background", "edge", "inside", "object", "background"} <= set(words.phrases)
    assert not {"red blue", "circle red"} & set(words.phrases)


def test_contrasts_are_phrases() -> None:
    assert {phrase for group in CONTRASTS for phrase in group} <= set(shapes_vocabulary().phrases)
