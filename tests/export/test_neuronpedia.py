"""Rows of Neuronpedia: their files, and ids of the form that it takes."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from autointerp.export import neuronpedia
from autointerp.export.neuronpedia import NeuronpediaSource, write_neuronpedia

from .examples import PROVENANCE, ROWS

KNOWN = {**PROVENANCE, "model": "/some where/Model One/", "kind": "topk", "signal": "update"}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def test_ids_have_only_the_signs_that_it_takes() -> None:
    source = NeuronpediaSource(KNOWN)
    assert (source.model, source.source, source.release) == ("model-one", "1-mid-topk-update", "shapes-turbo-mid-topk")
    first, again, other = (source.explanation(row)["id"] for row in (ROWS[0], ROWS[0], ROWS[1]))
    assert first == again != other
    assert re.fullmatch("c[0-9a-z]{24}", first)


def test_features_lie_in_batches_with_the_labels_of_those_that_have_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neuronpedia, "BATCH", 2)
    torch.manual_seed(0)
    histograms = {1: [(0.5, 3), (1.0, 2)]}
    out = write_neuronpedia(tmp_path / "out", KNOWN, ROWS, torch.randn(40, 4), histograms)
    place = out / "model-one" / "1-mid-topk-update"
    features = [row for number in (0, 1) for row in lines(place / "features" / f"batch-{number}.jsonl.gz")]
    assert [row["index"] for row in features] == ["0", "1", "2", "3"]
    assert features[1]["freq_hist_data_bar_heights"] == [3, 2]
    assert features[0]["freq_hist_data_bar_values"] == []
    assert [path.name for path in (place / "explanations").iterdir()] == ["batch-0.jsonl.gz"]
    named = lines(place / "explanations" / "batch-0.jsonl.gz")
    assert [row["description"] for row in named] == [ROWS[1].name, ROWS[0].name]
    assert json.loads(named[1]["notes"])["scores"] == {"embedding": 0.97}
