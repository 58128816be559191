"""`export` in the forms that people and other sites read: Neuronpedia's rows, tables, and a gallery."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autointerp import load_dictionary
from autointerp.export.parquet import read_label_table
from autointerp.export.rows import read_lines

NAME = "shapes.mid.topk"
Cli = Callable[..., Any]


def lines(path: Path) -> list[dict[str, Any]]:
    data = path.read_bytes()
    return [json.loads(line) for line in (gzip.decompress(data) if path.suffix == ".gz" else data).splitlines()]


def test_rows_of_neuronpedia(labeled: Path, cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "out"
    given = ("-w", labeled, "-q", "export", "--layer", "mid", "--format", "neuronpedia", "-o", out)
    assert cli(*given).out == f"{out}\n"
    (place,) = out.glob("*/*")
    assert re.fullmatch(r"1-mid-topk-\w+", place.name) and place.parent.name == "shapes"
    ((release,), (model,), (sources,), (source,)) = (
        lines(place / f"{name}.jsonl") for name in ("release", "model", "sourceset", "source")
    )
    assert sources["releaseName"] == release["name"] and sources["modelId"] == source["modelId"] == model["id"]
    assert source["id"] == place.name and source["setName"] == sources["name"] and place.name == f"1-{sources['name']}"
    # What its own ids may be made of.
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]+", text) for text in (model["id"], source["id"], release["name"]))
    features = lines(place / "features" / "batch-0.jsonl.gz")
    assert [row["index"] for row in features] == [str(i) for i in range(64)]
    dictionary = load_dictionary(labeled / "dictionaries" / NAME)
    for row in features:
        direction = dictionary.directions[int(row["index"])].tolist()
        assert (row["modelId"], row["layer"]) == ("shapes", source["id"])
        assert row["hookName"] == "transformer.transformer_blocks.1"
        assert row["hasVector"] and row["vector"] == pytest.approx(direction, rel=1e-4)
        assert int(row["index"]) not in row["topkCosSimIndices"] and len(row["topkCosSimIndices"]) == 25
        assert row["topkCosSimValues"] == sorted(row["topkCosSimValues"], reverse=True)
        assert len(row["freq_hist_data_bar_values"]) == len(row["freq_hist_data_bar_heights"])
    shown = json.loads(cli("-w", labeled, "show", f"{NAME}:1", "--json").out)
    assert features[1]["freq_hist_data_bar_heights"] == [level["cells"] for level in shown["histogram"]]
    assert features[1]["frac_nonzero"] == shown["density"] and features[1]["maxActApprox"] == shown["max_activation"]
    explanations = lines(place / "explanations" / "batch-0.jsonl.gz")
    by_index = {row["index"]: row for row in explanations}
    assert len(by_index) == len(explanations) == len({row["id"] for row in explanations})
    assert all(re.fullmatch(r"c[0-9a-z]{24}", row["id"]) for row in explanations)
    assert cli("-w", labeled, "-q", "export", "--layer", "mid", "-o", tmp_path, "--format", "jsonl").code == 0
    named = {str(row.index): row for row in read_lines(tmp_path / "labels.jsonl") if row.status == "ok"}
    assert {i: row["description"] for i, row in by_index.items()} == {i: row.name for i, row in named.items()}
    noted = {i: json.loads(row["notes"])["scores"].get("embedding") for i, row in by_index.items()}
    assert any(noted.values()) and noted == {i: row.score("embedding") for i, row in named.items()}
    # The same again is the same bytes, in the place of the old ones; what is not ours is left alone.
    first = (place / "features" / "batch-0.jsonl.gz").read_bytes()
    assert cli(*given).code == 0 and (place / "features" / "batch-0.jsonl.gz").read_bytes() == first
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    refused = cli(*given[:-1], tmp_path / "mine")
    assert refused.code == 2 and "not an export of neuronpedia" in refused.err


def test_a_table_of_labels(labeled: Path, cli: Cli, tmp_path: Path) -> None:
    for form in ("parquet", "jsonl"):
        done = cli("-w", labeled, "-q", "export", "--layer", "mid", "-o", tmp_path, "--format", form)
        assert done.out == f"{tmp_path / f'labels.{form}'}\n"
    assert read_label_table(tmp_path / "labels.parquet") == list(read_lines(tmp_path / "labels.jsonl"))


def part(folder: Path, name: str) -> dict[str, Any]:
    """The details of some features, out of the script that carries them."""
    text = (folder / "data" / f"{name}.js").read_text(encoding="utf-8")
    found = re.fullmatch(r'"use strict";\ngalleryPart\("[\d-]+", (.*)\);\n', text, re.DOTALL)
    assert found is not None
    return dict(json.loads(found[1]))


def test_a_gallery_of_what_is_stored(labeled: Path, cli: Cli, tmp_path: Path, query: Any) -> None:
    out = tmp_path / "gallery"
    done = cli("-w", labeled, "-q", "export", "--layer", "mid", "--format", "html", "-o", out)
    assert (done.code, done.out, done.err) == (0, f"{out}\n", "")
    ((index, image),) = query(
        labeled,
        "SELECT f.latent_index, i.picture FROM features f JOIN crops c ON c.feature_id = f.id "
        "JOIN images i ON i.id = c.image_id WHERE c.role != 'negative' ORDER BY c.activation DESC LIMIT 1",
    )
    details = part(out, f"0-{index // 16}")[str(index)]
    shown = json.loads(cli("-w", labeled, "show", f"{NAME}:{index}", "--json").out)
    strongest = max((crop for crop in shown["crops"] if crop["role"] != "negative"), key=lambda c: c["activation"])
    number, box, role, activation, step, where, (rows, cols, cells, values) = details["crops"][0]
    assert (box, role, step) == (strongest["box"], strongest["role"], strongest["step"])
    assert where == f"cell {strongest['cell'][0]}, {strongest['cell'][1]}"
    assert activation == pytest.approx(strongest["activation"], rel=1e-3)
    assert cells[values.index(255)] == strongest["cell"][0] * cols + strongest["cell"][1] and (rows, cols) == (12, 12)
    assert (out / "pictures" / f"{number}.webp").read_bytes() == image
    assert len(details["histogram"]) == len(shown["histogram"]) and details["neighbours"]
    assert details["scores"][0][0] == "embedding"
    roles = [crop[2] for crop in details["crops"]]
    assert roles.count("negative") <= 6 and roles.count("top") <= 12
    again = cli("-w", labeled, "-q", "export", "--layer", "mid", "--layer", "late", "--format", "html", "-o", out)
    assert again.code == 1 and "layer late has no dictionary here" in again.err
    several = cli("-w", labeled, "-q", "export", "--layer", "mid", "--layer", "late", "-o", tmp_path / "b")
    assert several.code == 2 and "an export as bundle is of one layer" in several.err and several.err.count("\n") == 1


def test_a_real_gallery_opens_without_a_word(labeled: Path, cli: Cli, tmp_path: Path, chromium: Any) -> None:
    out = tmp_path / "gallery"
    assert cli("-w", labeled, "-q", "export", "--layer", "mid", "--format", "html", "-o", out).code == 0
    page = chromium.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on(
        "request", lambda request: said.append(request.url) if not request.url.startswith(("file:", "data:")) else 0
    )
    page.goto((out / "index.html").as_uri())
    page.locator(".card img").first.wait_for()
    assert page.locator("#count").inner_text() == "64 of 64 features"
    page.locator(".card").first.click()
    page.locator("#body .columns").wait_for()
    assert page.locator("#body img").first.evaluate("one => one.decode().then(() => one.naturalWidth)") == 96
    page.close()
    assert said == []
