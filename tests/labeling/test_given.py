"""Label files of people and of other tools, read strictly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from autointerp.errors import AutointerpError, UsageError
from autointerp.labeling.given import OTHERS, GivenLabel, Refused, read_labels, write_labels
from autointerp.texts import EXPLANATION, NAME, clean

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


def content(found: list[GivenLabel | Refused]) -> list[Any]:
    return [(x.feature, x.name, x.explanation, x.confidence, x.labeler) for x in found if isinstance(x, GivenLabel)]


@given(st.lists(LABELS, min_size=1, max_size=5), st.sampled_from(["csv", "jsonl"]))
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, labels: list[Any], form: Any) -> None:
    path = tmp_path_factory.mktemp("labels") / f"x.{form}"
    write_labels(path, labels, form)
    assert read_labels(path) == (form, read_labels(path, form)[1])
    found = read_labels(path)[1]
    assert content(found) == content(labels) and len(found) == len(labels)


def test_a_spreadsheets_csv(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(
        b'\xef\xbb\xbfname,feature,note\r\n"red, ""round""",d:1,x\r\nblue,d:2,,y\r\n,d:3,\r\n"a\nb",d:4,\r\n'
    )
    form, found = read_labels(path)
    assert form == "csv" and content(found) == [("d:1", 'red, "round"', "", None, ""), ("d:4", "a b", "", None, "")]
    refused = [(x.place, x.reason) for x in found if isinstance(x, Refused)]
    assert refused == [("line 3", "it has more cells than the first line has columns"), ("line 4", "it has no name")]


@pytest.mark.parametrize("confidence", ["nan", "high", -0.1, 1.5, True, [], 10**400])
def test_a_confidence_is_a_number_from_0_to_1(tmp_path: Path, confidence: object) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({"feature": "d:1", "name": "x", "confidence": confidence}))
    (found,) = read_labels(path)[1]
    assert isinstance(found, Refused) and "confidence" in found.reason and len(found.reason) < 120


LONG = "Fires on round red things. " + "It also fires on words about them. " * 20


def delphi(folder: Path) -> Path:
    (folder / "explanations").mkdir(parents=True)
    for stem, text in {
        "layers.5_latent17": LONG,
        "layers.5_latent2": "Explanation could not be parsed.",
        "x": "y",
    }.items():
        (folder / "explanations" / f"{stem}.txt").write_text(json.dumps(text))
    (folder / "explanations" / "layers.5_latent3.txt").write_text("not json")
    return folder


def flux_saes(folder: Path) -> Path:
    folder.mkdir()
    pattern = {"pattern_descriptions": ["a", "b"], "common_pattern": "Cat ears"}
    (folder / "17.json").write_text(json.dumps({"avg_score": 0.8, "pattern": pattern}))
    (folder / "18.json").write_text("{")
    return folder


def multimodal_sae(folder: Path) -> Path:
    folder.mkdir()
    rows = [{"model.layers.24_feature17": "Cat ears."}, {"a": "1", "b": "2"}, {"model.layers.24_feature18": None}]
    path = folder / "model_layers_24.json"
    path.write_text(json.dumps(rows))
    return path


def clip_dissect(folder: Path) -> Path:
    folder.mkdir()
    path = folder / "descriptions.csv"
    path.write_text("layer,unit,description,similarity\nlayer4,17,cat ears,0.31\nlayer4,x,y,0.2\n")
    return path


TOOLS = {
    "delphi": (delphi, "layers.5", "Fires on round red things", clean(LONG, EXPLANATION), 3),
    "flux-saes": (flux_saes, "", "Cat ears", "Cat ears", 1),
    "multimodal-sae": (multimodal_sae, "model.layers.24", "Cat ears", "Cat ears.", 2),
    "clip-dissect": (clip_dissect, "layer4", "cat ears", "", 1),
}


@pytest.mark.parametrize("tool", OTHERS)
def test_labels_of_other_tools(tool: str, tmp_path: Path) -> None:
    make, layer, name, explanation, refused = TOOLS[tool]
    form, found = read_labels(make(tmp_path / "x"))
    assert form == tool
    (label,) = [x for x in found if isinstance(x, GivenLabel)]
    assert (label.feature, label.name, label.explanation, label.layer) == ("17", name, explanation, layer)
    assert sum(isinstance(x, Refused) for x in found) == refused


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
