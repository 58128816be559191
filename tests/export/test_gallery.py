"""The gallery: what its files hold, and how a browser shows it from a file system."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autointerp.errors import UsageError
from autointerp.export.gallery import (
    PART,
    GalleryCrop,
    GalleryDictionary,
    GalleryFeature,
    GalleryPicture,
    script_json,
    visible,
    write_gallery,
)
from autointerp.export.rows import ExportRow, ExportScore

HOSTILE = [
    "<script>window.hurt = 1</script>",
    '</script><img src=x onerror="window.hurt = 1">',
    "\"quoted\" 'and' `ticked` \\ {{ 7 * 7 }} {% raw %} &lt;b&gt;",
    "<!--<script>",
    "right \u202eto left\u202c and \u2066isolated\u2069",
    "line\u2028and\u2029paragraph",
    "שלום and مرحبا",
    "__proto__",
]
SHOWN = {HOSTILE[4]: "right [U+202E]to left[U+202C] and [U+2066]isolated[U+2069]"}
COUNT = 40
PLAIN = "red circle"


def picture(shade: int) -> GalleryPicture:
    buffer = io.BytesIO()
    Image.new("RGB", (96, 96), (shade, 90, 160)).save(buffer, "WEBP")
    return GalleryPicture(buffer.getvalue(), (96, 96), f"a prompt <b>{shade}</b> \u202e")


def row(index: int) -> ExportRow:
    if index == COUNT - 1:
        return ExportRow(index=index, state="dead")
    if index == COUNT - 2:
        return ExportRow(index=index, status="uninterpretable", density=0.3)
    name = HOSTILE[index] if index < len(HOSTILE) else PLAIN if index == 20 else f"thing {index}"
    value = 0.5 + index / 100
    return ExportRow(
        index=index,
        name=name,
        explanation=f"Fires on {name}.",
        status="ok",
        labeler="clip",
        scores=(ExportScore(method="detection", value=value, ci_low=value - 0.1, ci_high=value + 0.1),),
        density=0.001 * (index + 1),
        max_activation=3.0,
    )


def feature(index: int) -> GalleryFeature:
    heat = np.zeros((12, 12), np.float32)
    heat[3, 4], heat[3, 5] = 2.0, 1.0
    roles = [] if index == COUNT - 1 else ["top", "top", "quantile", "negative"]
    crops = [
        GalleryCrop(
            i % 3,
            (0, 0, 96, 96) if role == "negative" else (10, 10, 50, 50),
            role,
            2.0,
            1,
            "cell 3, 4",
            None if role == "negative" else heat,
        )
        for i, role in enumerate(roles)
    ]
    return GalleryFeature(row(index), crops, [(0.5, 3), (0.75, 9)], [(0, 0.25), (1, 0.75)], [(20, 0.5)])


def gallery(folder: Path) -> Path:
    rows = [row(i) for i in range(COUNT)]
    scores = [(one.score("detection"), "detection") for one in rows]

    def dictionary(name: str, layer: str) -> GalleryDictionary:
        found = (feature(i) for i in range(COUNT))
        return GalleryDictionary(name, layer, "cells", [("model", "<i>m</i>")], rows, scores, found)

    title = 'a <script>window.hurt = 1</script> "title"'
    made = [dictionary("shapes-turbo.mid.topk", "mid"), dictionary("shapes-turbo.late.<b>", "late")]
    return write_gallery(folder, title, made, (picture(i) for i in range(3)))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gallery(tmp_path_factory.mktemp("gallery") / "g")


def test_its_files_hold_everything_and_name_no_address(written: Path) -> None:
    files = {p.relative_to(written).as_posix() for p in written.rglob("*") if p.is_file()}
    parts = {f"data/{d}-{n}.js" for d in range(2) for n in range(-(-COUNT // PART))}
    assert files == {
        *(
            "index.html",
            "gallery.css",
            "drawing.js",
            "gallery.js",
            "labels.jsonl",
            "data/features.js",
            "data/pictures.js",
        ),
        *(f"pictures/{n}.webp" for n in range(3)),
        *parts,
    }
    for name in files:
        if name.endswith((".html", ".css", ".js")):
            text = (written / name).read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
            assert "://" not in text, name
            assert "fetch(" not in text, name
            assert "innerHTML" not in text, name


def test_what_is_said_never_ends_a_script_or_opens_a_tag(written: Path) -> None:
    page = (written / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"<script[^>]*>", page) == [
        '<script type="application/json" id="about">',
        *(f'<script src="{name}">' for name in ("data/features.js", "data/pictures.js", "drawing.js", "gallery.js")),
    ]
    assert "<i>" not in page
    assert "&lt;i&gt;m&lt;/i&gt;" in page
    assert "{{" not in page
    for script in written.glob("data/*.js"):
        text = script.read_text(encoding="utf-8")
        assert not set("<>\u2028\u2029\u202e") & set(text.split(" = ", 1)[-1]), script
    for text in HOSTILE:
        assert json.loads(script_json(text)) == text
    assert visible("a\u202eb\u200f\x07\n") == "a[U+202E]b[U+200F][U+0007]\n"


def test_same_content_same_bytes_and_only_a_gallery_is_replaced(written: Path, tmp_path: Path) -> None:
    again = gallery(tmp_path / "g")
    gallery(tmp_path / "g")
    for path in written.rglob("*.*"):
        assert (again / path.relative_to(written)).read_bytes() == path.read_bytes()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "index.html").write_text("<h1>My page</h1>")
    with pytest.raises(UsageError, match="not a gallery"):
        gallery(tmp_path / "mine")
    assert (tmp_path / "mine" / "index.html").read_text() == "<h1>My page</h1>"


@pytest.fixture
def page(chromium: Any, written: Path) -> Iterator[Any]:
    """The gallery, opened from the file system; whatever the console says, or is asked for elsewhere, is an error."""
    context = chromium.new_context(viewport={"width": 1400, "height": 900})
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.on("requestfailed", lambda request: said.append(f"failed: {request.url}"))
    page.on("request", lambda request: None if request.url.startswith(("file:", "data:")) else said.append(request.url))
    page.goto((written / "index.html").as_uri())
    page.wait_for_selector(".card img")
    yield page
    assert page.evaluate("window.hurt") is None
    assert said == []
    context.close()


def names(page: Any) -> list[str]:
    return page.locator(".card h3").all_inner_texts()


def fill(page: Any, text: str) -> None:
    page.fill("#search", text)
    page.press("#search", "Enter")


def slide(page: Any, slider: str, value: float) -> None:
    page.evaluate(
        "([id, value]) => { const slider = document.getElementById(id); slider.value = value; "
        "slider.dispatchEvent(new Event('input')); }",
        [slider, value],
    )


def test_hostile_text_shows_as_text(page: Any) -> None:
    assert page.locator("h1").inner_text() == 'a <script>window.hurt = 1</script> "title"'
    page.select_option("#sort", "index")
    shown = page.locator(".card h3").evaluate_all("all => all.map(one => one.textContent)")
    assert shown[: len(HOSTILE)] == [SHOWN.get(text, text) for text in HOSTILE]
    for number, text in enumerate(HOSTILE):
        page.locator(".card").nth(number).click()
        assert page.locator("#feature-name").evaluate("one => one.textContent") == SHOWN.get(text, text)
        page.wait_for_selector("#body .columns")
        page.keyboard.press("Escape")
    fill(page, "<script>window")
    assert names(page) == [HOSTILE[0]] * 2


def test_the_search_box_finds_names_first(page: Any) -> None:
    fill(page, "RED circle")
    assert names(page) == [PLAIN, PLAIN]
    assert page.locator("#count").inner_text() == "2 of 80 features"
    fill(page, "no such thing at all")
    assert names(page) == []
    assert page.locator("#none").is_visible()
    fill(page, "")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("/")
    page.keyboard.type("thing 12")
    page.locator("#count", has_text="2 of 80").wait_for()
    assert names(page) == ["thing 12", "thing 12"]


def test_filters_and_orders(page: Any) -> None:
    page.locator("#layers label", has_text="late").locator("input").uncheck()
    assert page.locator("#count").inner_text() == "40 of 80 features"
    page.locator("#states label", has_text="dead").locator("input").uncheck()
    assert page.locator("#count").inner_text() == "39 of 80 features"
    page.locator("#statuses label", has_text="uninterpretable").locator("input").uncheck()
    assert page.locator("#count").inner_text() == "38 of 80 features"
    slide(page, "score", 0.8)
    assert len(names(page)) == 8
    page.select_option("#sort", "rare")
    assert names(page)[0] == "thing 30"
    slide(page, "score", 0)
    slide(page, "dense", 50)
    assert 0 < len(names(page)) < 38
    page.click("#reset")
    assert page.locator("#count").inner_text() == "80 of 80 features"


def test_a_feature_opens_with_its_crops_heat_scores_and_neighbours(page: Any) -> None:
    page.locator("#layers label", has_text="late").locator("input").uncheck()
    fill(page, "thing 1")
    page.select_option("#sort", "index")
    page.locator(".card").first.click()
    page.wait_for_selector("#body .columns")
    assert page.locator("#feature-id").inner_text() == "shapes-turbo.mid.topk:10"
    assert page.locator("#body h3").all_inner_texts() == [
        "Strongest where it fires most",
        "Over its range strong to weak",
        "Silent images in which it does not fire",
        "Scores on held-out images, with 95% intervals",
        "Activations cells by how strongly it fires",
        "By denoising step share of its activation",
        "Fires with Jaccard index of their cells",
    ]
    assert page.locator("#body .tiles button").count() == 4
    # The map: opaque where it fires, of the whole grid, over the whole picture.
    heat = page.locator(".whole canvas")
    assert heat.evaluate("one => [one.width, one.height]") == [12, 12]
    data = heat.evaluate("one => one.toDataURL()").partition(",")[2]
    with Image.open(io.BytesIO(base64.b64decode(data))) as drawn:
        strong, weak, silent = np.asarray(drawn.convert("RGBA"), int)[[3, 3, 0], [4, 5, 0]]
    assert strong[0] > 200
    assert strong[3] > weak[3] > silent[3] > 0
    assert silent[0] < 40
    assert page.locator(".whole img").evaluate("one => one.naturalWidth") == 96
    # Cut to its box: 40 of 96 pixels are as wide as the tile.
    tile = page.locator("#body .tiles .cut").first
    wide, whole = tile.bounding_box()["width"], tile.locator("img").bounding_box()["width"]
    assert whole / wide == pytest.approx(96 / 40, rel=0.02)
    assert page.locator(".tiles canvas").first.is_visible() is False
    page.keyboard.press("ArrowRight")
    assert page.locator("#feature-id").inner_text() == "shapes-turbo.mid.topk:11"
    page.wait_for_selector(".near button")
    page.click(".near button")
    assert page.locator("#feature-name").inner_text() == PLAIN
    assert page.evaluate("decodeURIComponent(location.hash)") == "#shapes-turbo.mid.topk:20"
    page.keyboard.press("Escape")
    page.locator("#feature").wait_for(state="hidden")
    # The dialog's event follows its closing, so the address is cleared a moment later.
    page.wait_for_url(lambda url: "#shapes" not in url)
    page.click("#heat")
    assert page.locator(".card canvas").first.is_visible()


def test_a_link_opens_its_feature_and_a_small_screen_has_room(chromium: Any, written: Path) -> None:
    context = chromium.new_context(viewport={"width": 390, "height": 800}, color_scheme="dark")
    page = context.new_page()
    page.goto(f"{(written / 'index.html').as_uri()}#shapes-turbo.mid.topk:20")
    page.wait_for_selector("#body .columns")
    assert page.locator("#feature-name").inner_text() == PLAIN
    page.click("#close")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("#layers").is_visible() is False
    page.click("#filters summary")
    assert page.locator("#layers").is_visible()
    context.close()
