"""Rows of Neuronpedia, of a whole workspace."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from autointerp import load_dictionary
from autointerp.export.rows import read_lines

from ..bundles import NAME, Cli


def lines(path: Path) -> list[dict[str, Any]]:
    data = path.read_bytes()
    return [json.loads(line) for line in (gzip.decompress(data) if path.suffix == ".gz" else data).splitlines()]


def test_rows_of_neuronpedia(labeled: Path, cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "out"
    given = ("-w", labeled, "-q", "export", "--layer", "mid", "--format", "neuronpedia", "-o", out)
    assert cli(*given).out == f"{out}\n"
    (place,) = out.glob("*/*")
    assert re.fullmatch(r"1-mid-topk-\w+", place.name)
    assert place.parent.name == "shapes-turbo"
    ((release,), (model,), (sources,), (source,)) = (
        lines(place / f"{name}.jsonl") for name in ("release", "model", "sourceset", "source")
    )
    assert sources["releaseName"] == release["name"]
    assert sources["modelId"] == source["modelId"] == model["id"]
    assert source["id"] == place.name
    assert source["setName"] == sources["name"]
    assert place.name == f"1-{sources['name']}"
    # What its own ids may be made of.
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]+", text) for text in (model["id"], source["id"], release["name"]))
    features = lines(place / "features" / "batch-0.jsonl.gz")
    assert [row["index"] for row in features] == [str(i) for i in range(64)]
    dictionary = load_dictionary(labeled / "dictionaries" / NAME)
    for row in features:
        direction = dictionary.directions[int(row["index"])].tolist()
        assert (row["modelId"], row["layer"]) == ("shapes-turbo", source["id"])
        assert row["hookName"] == "transformer.transformer_blocks.1"
        assert row["hasVector"]
        assert row["vector"] == pytest.approx(direction, rel=1e-4)
        assert int(row["index"]) not in row["topkCosSimIndices"]
        assert len(row["topkCosSimIndices"]) == 25
        assert row["topkCosSimValues"] == sorted(row["topkCosSimValues"], reverse=True)
        assert len(row["freq_hist_data_bar_values"]) == len(row["freq_hist_data_bar_heights"])
    shown = json.loads(cli("-w", labeled, "show", f"{NAME}:1", "--json").out)
    assert features[1]["freq_hist_data_bar_heights"] == [level["cells"] for level in shown["histogram"]]
    assert features[1]["frac_nonzero"] == shown["density"]
    assert features[1]["maxActApprox"] == shown["max_activation"]
    explanations = lines(place / "explanations" / "batch-0.jsonl.gz")
    by_index = {row["index"]: row for row in explanations}
    assert len(by_index) == len(explanations) == len({row["id"] for row in explanations})
    assert all(re.fullmatch(r"c[0-9a-z]{24}", row["id"]) for row in explanations)
    assert cli("-w", labeled, "-q", "export", "--layer", "mid", "-o", tmp_path, "--format", "jsonl").code == 0
    named = {str(row.index): row for row in read_lines(tmp_path / "labels.jsonl") if row.status == "ok"}
    assert {i: row["description"] for i, row in by_index.items()} == {i: row.name for i, row in named.items()}
    noted = {i: json.loads(row["notes"])["scores"].get("embedding") for i, row in by_index.items()}
    assert any(noted.values())
    assert noted == {i: row.score("embedding") for i, row in named.items()}
    # The same again is the same bytes, in the place of the old ones; what is not ours is left alone.
    first = (place / "features" / "batch-0.jsonl.gz").read_bytes()
    assert cli(*given).code == 0
    assert (place / "features" / "batch-0.jsonl.gz").read_bytes() == first
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    refused = cli(*given[:-1], tmp_path / "mine")
    assert refused.code == 2
    assert "not an export of neuronpedia" in refused.err
