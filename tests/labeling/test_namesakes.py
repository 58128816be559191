from __future__ import annotations

import numpy as np
import pytest

from autointerp.labeling.namesakes import ALIKE, NAMESAKES, namesakes, words_of


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("red circle", "Red circles", True),
        ("a red circle", "the red circle", True),
        ("red circle, blue star", "blue star; red circle", True),
        ("red circle", "red square", False),
        ("red circle", "small red circle", False),
        ("red circle on blue background", "blue circle on red background", False),
        ("glass", "glas", False),
        ("gas", "ga", False),
    ],
)
def test_names_of_the_same_words(one: str, other: str, same: bool) -> None:
    assert (words_of(one) == words_of(other)) is same
    assert namesakes([one, other]) == ([(1,), (0,)] if same else [(), ()])


def test_nearly_the_same_is_said_by_vectors_and_the_same_words_come_first() -> None:
    names = ["night", "dark", "dim", "nights", "day"]
    cosines = [1.0, ALIKE + 0.01, ALIKE + 0.03, 0.2, ALIKE - 0.01]
    vectors = np.array([(c, np.sqrt(1 - c * c)) for c in cosines], np.float32)
    assert namesakes(names, vectors)[0] == (3, 2, 1)
    assert namesakes(names)[0] == (3,)


def test_a_name_without_words_has_no_namesake() -> None:
    assert namesakes(["", "the", "!", "red"], np.ones((4, 1), np.float32)) == [(), (), (), ()]
    assert namesakes([]) == []


def test_a_feature_has_few_namesakes_and_each_is_somebodys() -> None:
    names = ["red"] * 9 + ["blue"]
    found = namesakes(names)
    assert {len(some) for some in found[:9]} == {NAMESAKES}
    assert found[0] == (1, 2, 3, 4, 5)
    assert found[8] == (0, 1, 2, 3, 4)
    assert {other for some in found for other in some} == set(range(9))
    assert all(place not in some for place, some in enumerate(found))
    assert namesakes(names, most=1)[3] == (4,)


def test_many_names_are_compared_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    names = [str(rng.integers(8)) for _ in range(50)]
    vectors = np.eye(8, dtype=np.float32)[[int(name) for name in names]]
    whole = namesakes(names, vectors)
    monkeypatch.setattr("autointerp.labeling.namesakes._ROWS", 7)
    assert namesakes(names, vectors) == whole
