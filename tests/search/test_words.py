"""Words to look for hold no operator, and loading them loads no library of models."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from autointerp.errors import UsageError
from autointerp.search.words import query_words


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
    assert words
    assert all(not set(word) & set("\"'*^():|&!<-+ \0_") for word in words)


def test_words_import_nothing_heavy() -> None:
    code = "import sys, autointerp.search.words, autointerp.search.ranking, autointerp.search.vector_index as i;"
    code += "print(bool({'torch', 'faiss', 'transformers'} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert out.stdout.strip() == "False"
