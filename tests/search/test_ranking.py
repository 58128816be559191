from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from autointerp.errors import UsageError
from autointerp.search.ranking import reciprocal_rank_fusion
from autointerp.search.words import query_words


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
