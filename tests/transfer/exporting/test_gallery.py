"""A gallery of a whole workspace."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ..bundles import NAME, Cli


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
        "JOIN images i ON i.id = c.image_id JOIN labels l ON l.feature_id = f.id JOIN scores s ON s.label_id = l.id "
        "WHERE c.role != 'negative' AND s.value IS NOT NULL ORDER BY c.activation DESC LIMIT 1",
    )
    details = part(out, f"0-{index // 16}")[str(index)]
    shown = json.loads(cli("-w", labeled, "show", f"{NAME}:{index}", "--json").out)
    strongest = max((crop for crop in shown["crops"] if crop["role"] != "negative"), key=lambda c: c["activation"])
    number, box, role, activation, step, where, (rows, cols, cells, values) = details["crops"][0]
    assert (box, role, step) == (strongest["box"], strongest["role"], strongest["step"])
    assert where == f"cell {strongest['cell'][0]}, {strongest['cell'][1]}"
    assert activation == pytest.approx(strongest["activation"], rel=1e-3)
    assert cells[values.index(255)] == strongest["cell"][0] * cols + strongest["cell"][1]
    assert (rows, cols) == (12, 12)
    assert (out / "pictures" / f"{number}.webp").read_bytes() == image
    assert len(details["histogram"]) == len(shown["histogram"])
    assert details["neighbours"]
    assert details["scores"][0][0] == "embedding"
    roles = [crop[2] for crop in details["crops"]]
    assert roles.count("negative") <= 6
    assert roles.count("top") <= 12
    again = cli("-w", labeled, "-q", "export", "--layer", "mid", "--layer", "late", "--format", "html", "-o", out)
    assert again.code == 1
    assert "layer late has no dictionary here" in again.err
    several = cli("-w", labeled, "-q", "export", "--layer", "mid", "--layer", "late", "-o", tmp_path / "b")
    assert several.code == 2
    assert "an export as bundle is of one layer" in several.err
    assert several.err.count("\n") == 1


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
