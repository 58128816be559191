from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from autointerp.errors import AutointerpError
from autointerp.labeling.labelers.csv_rows import csv_rows, shielded, unshielded
from autointerp.labeling.labelers.given import RefusedLabel


@given(st.text(alphabet="'=+-@ab ", max_size=8))
def test_a_shielded_text_is_no_formula_and_comes_back(text: str) -> None:
    assert unshielded(shielded(text)) == text
    assert not shielded(text).startswith(("=", "+", "-", "@"))


def test_rows_are_by_column_and_a_long_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("feature,name\n1,red\n2,\n3,blue,more\n")
    (one, two, three) = csv_rows(path, ("feature",))
    assert one == ("line 2", {"feature": "1", "name": "red"})
    assert two == ("line 3", {"feature": "2", "name": None})
    assert three == ("line 4", RefusedLabel("line 4", "it has more cells than the first line has columns"))
    with pytest.raises(AutointerpError, match="has no column 'unit'"):
        list(csv_rows(path, ("unit",)))
