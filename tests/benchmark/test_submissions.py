from __future__ import annotations

from pathlib import Path

import pytest

from autointerp.benchmark.submissions import read_names, read_values
from autointerp.errors import UsageError

UNITS = ["synthetic:0", "synthetic:1"]


def test_names_are_read_by_unit_or_feature(tmp_path: Path) -> None:
    file = tmp_path / "labels.jsonl"
    file.write_text('{"unit": "synthetic:0", "name": " red  circle "}\n\n{"feature": "synthetic:1", "name": ""}\n')
    assert read_names(file, UNITS) == {"synthetic:0": "red circle", "synthetic:1": ""}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"unit": "synthetic:7", "name": "red"}', "labels.jsonl, line 1: there is no unit 'synthetic:7'"),
        ('{"unit": "synthetic:0", "name": "a"}\n{"unit": "synthetic:0", "name": "b"}', "line 2: .* in line 1 already"),
        ('{"unit": "synthetic:0", "name": 3}', "no text as its name"),
        ('{"unit": "synthetic:0"}', "no text as its name"),
        ('{"name": "red"}', "line 1 has no unit"),
        ('{"unit": 0, "name": "red"}', "line 1 has no unit"),
        ("[1]", "no JSON object"),
        ("red", "no JSON object"),
        ("\n", "is empty"),
    ],
)
def test_bad_names_are_one_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "labels.jsonl"
    file.write_text(text)
    with pytest.raises(UsageError, match=said) as caught:
        read_names(file, UNITS)
    assert caught.value.hint
    assert "\n" not in str(caught.value)


def test_no_file_and_no_text(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file"):
        read_names(tmp_path / "none.jsonl", UNITS)
    (tmp_path / "b.jsonl").write_bytes(b"\xff\xfe\xff\xff")
    with pytest.raises(UsageError):
        read_names(tmp_path / "b.jsonl", UNITS)


def test_values_are_numbers(tmp_path: Path) -> None:
    file = tmp_path / "values.jsonl"
    file.write_text('{"label": "label:0", "value": 1}\n{"label": "label:1", "value": -0.5}\n')
    assert read_values(file, ["label:0", "label:1"]) == {"label:0": 1.0, "label:1": -0.5}
    for bad in ('"0.5"', "true", "NaN", "null"):
        file.write_text(f'{{"label": "label:0", "value": {bad}}}')
        with pytest.raises(UsageError, match="no number as its value"):
            read_values(file, ["label:0"])
