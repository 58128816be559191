"""Labels as JSON lines."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from autointerp.errors import AutointerpError
from autointerp.export.rows import ExportRow, ExportScore, read_lines, write_lines

from .examples import ROWS


@pytest.mark.parametrize("line", ["{", '{"index": -1}', '{"index": 1, "scores": 3}', "[]"])
def test_a_bad_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "labels.jsonl"
    write_lines(ROWS, path)
    with path.open("a") as file:
        file.write("\n" + line + "\n")
    with pytest.raises(AutointerpError, match="line 6"):
        list(read_lines(path))


scores = st.builds(ExportScore, method=st.text(max_size=9), value=st.none() | st.floats(0, 1))
any_rows = st.builds(
    ExportRow,
    index=st.integers(0, 10**6),
    name=st.text(max_size=30),
    explanation=st.text(max_size=30),
    confidence=st.none() | st.floats(0, 1),
    scores=st.lists(scores, max_size=3).map(tuple),
    extra=st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=2),
)


@given(st.lists(any_rows, max_size=4))
def test_rows_come_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, rows: list[ExportRow]) -> None:
    path = tmp_path_factory.mktemp("rows") / "labels.jsonl"
    assert write_lines(rows, path) == len(rows)
    assert list(read_lines(path)) == rows


def test_a_score_is_found_by_its_method() -> None:
    assert [row.score("embedding") for row in ROWS] == [0.97, None, None, None]
