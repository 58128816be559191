from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from autointerp.errors import AutointerpError, UsageError
from autointerp.labeling.labelers.given import GivenLabel, RefusedLabel
from autointerp.labeling.labelers.label_files import read_labels, write_labels
from autointerp.texts import NAME, clean

TEXTS = st.text(max_size=60).map(lambda text: clean(text, NAME))


LABELS = st.builds(
    GivenLabel,
    place=st.just(""),
    feature=TEXTS.filter(bool),
    name=TEXTS.filter(bool),
    explanation=TEXTS,
    confidence=st.none() | st.floats(0, 1),
    labeler=TEXTS,
)


def content(found: list[GivenLabel | RefusedLabel]) -> list[Any]:
    return [(x.feature, x.name, x.explanation, x.confidence, x.labeler) for x in found if isinstance(x, GivenLabel)]


@given(st.lists(LABELS, min_size=1, max_size=5), st.sampled_from(["csv", "jsonl"]))
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, labels: list[Any], form: Any) -> None:
    path = tmp_path_factory.mktemp("labels") / f"x.{form}"
    write_labels(path, labels, form)
    assert read_labels(path) == (form, read_labels(path, form)[1])
    found = read_labels(path)[1]
    assert content(found) == content(labels)
    assert len(found) == len(labels)


def test_a_spreadsheets_csv(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(
        b'\xef\xbb\xbfname,feature,note\r\n"red, ""round""",d:1,x\r\nblue,d:2,,y\r\n,d:3,\r\n"a\nb",d:4,\r\n'
    )
    form, found = read_labels(path)
    assert form == "csv"
    assert content(found) == [("d:1", 'red, "round"', "", None, ""), ("d:4", "a b", "", None, "")]
    refused = [(x.place, x.reason) for x in found if isinstance(x, RefusedLabel)]
    assert refused == [("line 3", "it has more cells than the first line has columns"), ("line 4", "it has no name")]


@pytest.mark.parametrize("confidence", ["nan", "high", -0.1, 1.5, True, [], 10**400])
def test_a_confidence_is_a_number_from_0_to_1(tmp_path: Path, confidence: object) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({"feature": "d:1", "name": "x", "confidence": confidence}))
    (found,) = read_labels(path)[1]
    assert isinstance(found, RefusedLabel)
    assert "confidence" in found.reason
    assert len(found.reason) < 120


@pytest.mark.parametrize(
    ("name", "content", "form", "said"),
    [
        ("x.csv", "name\na\n", "auto", "no column 'feature'"),
        ("x.csv", 'feature,name\nd:1,"a\n', "auto", "is no CSV"),
        ("x.csv", "feature,name\nd:1,\xff".encode("latin-1"), "auto", "UTF-8"),
        ("x.xlsx", "x", "auto", "cannot tell the format"),
        ("x.json", "[1, 2", "auto", "is no JSON"),
        ("x.json", "{}", "multimodal-sae", "holds no list"),
        ("x.csv", "", "delphy", "did you mean 'delphi'"),
    ],
)
def test_what_is_no_label_file(tmp_path: Path, name: str, content: str | bytes, form: str, said: str) -> None:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises((AutointerpError, UsageError), match=said) as raised:
        read_labels(path, form)
    assert "\n" not in str(raised.value)
    with pytest.raises(AutointerpError):
        read_labels(tmp_path / "missing.csv")


def test_a_semicolon_a_tab_and_other_encodings(tmp_path: Path) -> None:
    wanted = [("d:1", "red, round", "", 0.9, "")]
    for name, data in {
        "a.csv": "feature;name;confidence\r\nd:1;red, round;0,9\r\n".encode("utf-8-sig"),
        "b.csv": "sep=;\r\nfeature;name;confidence\r\nd:1;red, round;0.9\r\n;;\r\n".encode("utf-16"),
        "c.tsv": b"Feature\tName\tConfidence\nd:1\tred, round\t0.9\n",
        "d.jsonl": '{"feature": "d:1", "name": "red, round", "confidence": 0.9}\r\n'.encode("utf-16"),
    }.items():
        (tmp_path / name).write_bytes(data)
        assert content(read_labels(tmp_path / name)[1]) == wanted, name
    (tmp_path / "dissect.csv").write_text("layer;unit;description;similarity\nmid;3;red, round;0,5\n")
    form, found = read_labels(tmp_path / "dissect.csv")
    assert form == "clip-dissect"
    assert [(x.feature, x.name) for x in found if isinstance(x, GivenLabel)] == [("3", "red, round")]
    (tmp_path / "twice.csv").write_text("feature,name,name\nd:1,a,b\n")
    with pytest.raises(AutointerpError, match="'name' twice"):
        read_labels(tmp_path / "twice.csv")
    (tmp_path / "short.csv").write_text("feature,name\nd:1\nd:2,blue\n")
    refused, taken = read_labels(tmp_path / "short.csv")[1]
    assert isinstance(refused, RefusedLabel)
    assert (refused.place, refused.reason) == ("line 2", "it has fewer cells than the first line has columns")
    assert isinstance(taken, GivenLabel)
