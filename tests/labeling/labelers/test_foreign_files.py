from __future__ import annotations

import json
from pathlib import Path

import pytest

from autointerp.labeling.labelers.given import GivenLabel, RefusedLabel
from autointerp.labeling.labelers.label_files import OTHERS, read_labels
from autointerp.texts import EXPLANATION, clean
from tests.labeling.labelers.files import LONG, delphi


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
    assert sum(isinstance(x, RefusedLabel) for x in found) == refused
