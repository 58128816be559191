from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st

from autointerp.errors import AutointerpError, UsageError
from autointerp.search.indexes import build_index, read_index, read_note, write_index
from autointerp.search.ranking import reciprocal_rank_fusion
from autointerp.search.words import query_words


def unit_vectors(n: int, dim: int = 32, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_flat_index_is_exact_and_keeps_ids(tmp_path: Path) -> None:
    vectors, ids = unit_vectors(300), np.arange(300) * 7 + 10**10
    write_index(build_index(vectors, ids, "e", "f1"), tmp_path / "labels.faiss")
    index = read_index(tmp_path / "labels.faiss")
    assert (index.note.kind, index.note.size, index.note.fingerprint) == ("flat", 300, "f1")
    queries = unit_vectors(5, seed=1)
    found, similarities = index.search(queries, 10)
    expected = np.argsort(-(queries @ vectors.T), axis=1)[:, :10]
    assert (found == ids[expected]).all() and np.allclose(similarities, np.sort(queries @ vectors.T)[:, ::-1][:, :10])
    assert index.search(queries[0], 1000)[0].shape == (1, 300)


def test_hnsw_above_the_limit(tmp_path: Path) -> None:
    vectors, ids = unit_vectors(2000, 16), np.arange(2000) + 5
    index = build_index(vectors, ids, "e", "f", flat_limit=1000)
    write_index(index, tmp_path / "i")
    index = read_index(tmp_path / "i")
    assert index.note.kind == "hnsw"
    found, _ = index.search(vectors[:200], 1)
    assert np.mean(found[:, 0] == ids[:200]) > 0.95


def test_empty_index(tmp_path: Path) -> None:
    write_index(build_index(np.zeros((0, 8), np.float32), np.zeros(0, np.int64), "e", "f"), tmp_path / "i")
    ids, _ = read_index(tmp_path / "i").search(np.ones(8), 5)
    assert ids.shape == (1, 0)


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        build_index(unit_vectors(2), np.array([1, 1]), "e", "f")
    with pytest.raises(ValueError, match="fit"):
        build_index(unit_vectors(2), np.array([1]), "e", "f")
    with pytest.raises(UsageError, match="dimensions"):
        build_index(unit_vectors(2), np.array([1, 2]), "e", "f").search(np.ones((1, 3)), 1)


def test_missing_and_damaged_files_say_what_rebuilds_them(tmp_path: Path) -> None:
    path = tmp_path / "i"
    assert read_note(path) is None
    with pytest.raises(AutointerpError, match="missing") as caught:
        read_index(path, "autointerp label --layer mid")
    assert "autointerp label --layer mid" in caught.value.hint
    write_index(build_index(unit_vectors(50), np.arange(50), "e", "f"), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(AutointerpError, match="damaged"):
        read_index(path)
    write_index(build_index(unit_vectors(20), np.arange(20), "e", "g"), tmp_path / "other")
    path.write_bytes((tmp_path / "other").read_bytes())
    with pytest.raises(AutointerpError, match="does not fit"):
        read_index(path)
    (tmp_path / "i.json").write_text("[]")
    assert read_note(path) is None
    with pytest.raises(AutointerpError, match="note"):
        read_index(path)


def test_writing_replaces_whole_and_leaves_nothing_behind(tmp_path: Path) -> None:
    for n in (10, 30):
        write_index(build_index(unit_vectors(n), np.arange(n), "e", str(n)), tmp_path / "a" / "i")
    assert read_index(tmp_path / "a" / "i").note.size == 30
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["i", "i.json"]
    (tmp_path / "file").write_text("")
    with pytest.raises(AutointerpError, match="cannot write"):
        write_index(build_index(unit_vectors(3), np.arange(3), "e", "f"), tmp_path / "file" / "i")


def test_fusion_by_hand() -> None:
    fused = reciprocal_rank_fusion({"words": [3, 1], "labels": [1, 2, 3]})
    assert [f.id for f in fused] == [1, 3, 2]
    assert fused[0].score == pytest.approx(1 / 62 + 1 / 61) and fused[0].ranks == {"words": 2, "labels": 1}
    assert reciprocal_rank_fusion({"a": [7, 7, 8]})[1].ranks == {"a": 2}
    assert [f.id for f in reciprocal_rank_fusion({"a": [9], "b": [4]})] == [4, 9]
    assert [f.id for f in reciprocal_rank_fusion({"a": [9], "b": [4]}, weights={"a": 2})] == [9, 4]
    assert reciprocal_rank_fusion({}) == []


@given(st.dictionaries(st.sampled_from("abc"), st.lists(st.integers(0, 9), unique=True)))
def test_fusion_ignores_the_order_of_lists(lists: dict[str, list[int]]) -> None:
    turned = dict(reversed(lists.items()))
    assert [f.id for f in reciprocal_rank_fusion(lists)] == [f.id for f in reciprocal_rank_fusion(turned)]


def test_words_to_look_for() -> None:
    assert query_words('Red "striped" circle* OR -red') == ["red", "striped", "circle", "or"]
    assert query_words("Crème brûlée, 2x2!") == ["crème", "brûlée", "2x2"]
    assert len(query_words(" ".join(map(str, range(1000))))) == 64


@given(st.text())
def test_no_text_is_an_operator(text: str) -> None:
    if not any(character.isalnum() for character in text):
        with pytest.raises(UsageError, match="empty"):
            query_words(text)
        return
    words = query_words(text)
    assert words and all(not set(word) & set("\"'*^():|&!<-+ \0_") for word in words)


def test_words_import_nothing_heavy() -> None:
    import subprocess

    code = "import sys, autointerp.search.words, autointerp.search.ranking, autointerp.search.indexes as i;"
    code += "print(bool({'torch', 'faiss', 'transformers'} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert out.stdout.strip() == "False"
