"""A gallery of labeled features: one folder of files that a browser opens as they are.

The page asks no network. Texts of labelers, prompts and models are shown as text, with their direction marks spelled
out. Each picture is stored once. The page cuts the crops out of it and lays activation maps over them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from autointerp.export.folder import whole_folder
from autointerp.export.rows import ExportRow, write_lines
from autointerp.version import VERSION

GENERATOR = "autointerp-gallery"
PART = 16
"""How many features have their details in one file."""
_DIRECTING = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufeff]")
_IN_SCRIPT = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}


@dataclass(frozen=True)
class GalleryPicture:
    """A whole picture: WebP bytes, (width, height) in pixels, and its prompt."""

    data: bytes
    size: tuple[int, int]
    prompt: str


@dataclass(frozen=True)
class GalleryCrop:
    """A place where a feature fires.

    Attributes:
        picture: The number of the picture.
        box: Left, top, right and bottom in the picture's pixels; right and bottom exclusive.
        role: top, quantile or negative.
        activation: The feature's activation there.
        step: The 0-based denoising step; None for a negative.
        where: The cell or the token, in words.
        activation_map: The feature's activation over the grid, float [rows, cols], if there is a grid.
    """

    picture: int
    box: tuple[int, int, int, int]
    role: str
    activation: float
    step: int | None
    where: str
    activation_map: np.ndarray | None


@dataclass(frozen=True)
class GalleryFeature:
    """A feature as its own page shows it.

    Attributes:
        row: The feature with its label.
        crops: Places where the feature fires, strongest first, then negatives.
        histogram: (activation, cells) of each level.
        steps: (step, share of the activation).
        neighbours: (latent, Jaccard index) of the features that fire with it most.
    """

    row: ExportRow
    crops: Sequence[GalleryCrop]
    histogram: Sequence[tuple[float, int]]
    steps: Sequence[tuple[int, float]]
    neighbours: Sequence[tuple[int, float]]


@dataclass(frozen=True)
class GalleryDictionary:
    """A dictionary with its features.

    Attributes:
        name: Its name.
        layer: The layer that it reads.
        cells: The word for its tokens: cells, or text tokens.
        facts: (word, value) pairs that the page shows about it.
        rows: Its features with their labels.
        scores: The one figure of each row's label, with its method; the method is empty where there is none.
        features: The details of each of `rows`, in their order; iterated once.
    """

    name: str
    layer: str
    cells: str
    facts: Sequence[tuple[str, str]]
    rows: Sequence[ExportRow]
    scores: Sequence[tuple[float | None, str]]
    features: Iterable[GalleryFeature]


def write_gallery(
    out_dir: Path, title: str, dictionaries: Sequence[GalleryDictionary], pictures: Iterable[GalleryPicture]
) -> Path:
    """Write a gallery, in the place of an earlier one; return its path.

    Args:
        out_dir: The folder to make; a browser opens `index.html` in it.
        title: The page's title.
        dictionaries: The dictionaries with their features.
        pictures: The pictures in the order of the numbers that crops have; iterated after all features.

    Raises:
        UsageError: The target is a file, or a folder that holds something else.
        AutointerpError: The folder cannot be written.
    """
    out_dir = out_dir.absolute()
    with whole_folder(out_dir, _is_gallery, "a gallery") as partial:
        data = partial / "data"
        data.mkdir()
        about = {"part": PART, "dictionaries": [_about(one, len(dictionaries)) for one in dictionaries]}
        index = [
            _line(d, row, *s) for d, one in enumerate(dictionaries) for row, s in zip(one.rows, one.scores, strict=True)
        ]
        _write_script(data / "features.js", f"window.GALLERY_FEATURES = {script_json(index)};")
        for d, one in enumerate(dictionaries):
            _write_parts(data, d, one.features)
        _write_pictures(partial, pictures)
        named = [r.model_copy(update={"extra": {"dictionary": one.name}}) for one in dictionaries for r in one.rows]
        write_lines(named, partial / "labels.jsonl")
        for name in ("gallery.css", "drawing.js", "gallery.js"):
            (partial / name).write_text(_template(name), encoding="utf-8")
        page = render_page(title, dictionaries, about)
        (partial / "index.html").write_text(page, encoding="utf-8")
    return out_dir


def render_page(title: str, dictionaries: Sequence[GalleryDictionary], about: dict[str, Any]) -> str:
    """Return the page, in which every value is escaped."""
    from jinja2 import Environment
    from markupsafe import Markup

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    return environment.from_string(_template("gallery.html.j2")).render(
        format=f"{GENERATOR} {VERSION}",
        title=visible(title),
        dictionaries=[
            {"name": visible(one.name), "facts": [(key, visible(value)) for key, value in one.facts]}
            for one in dictionaries
        ],
        about=Markup(script_json(about)),  # noqa: S704 - escaped for a script, where entities mean nothing
    )


def visible(text: str) -> str:
    r"""Return a text in which direction marks and control characters are spelled out, so that they have no effect.

    >>> visible("abc\u202edef")
    'abc[U+202E]def'
    """
    return _DIRECTING.sub(lambda found: f"[U+{ord(found[0]):04X}]", text)


def script_json(value: Any) -> str:
    r"""Return JSON that can stand in a script of a page, whatever texts it holds.

    >>> script_json("</script>")
    '"\\u003c/script\\u003e"'
    """
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).translate(_IN_SCRIPT)


def _about(one: GalleryDictionary, count: int) -> dict[str, Any]:
    """Return what the page's script knows about one of `count` dictionaries."""
    return {
        "name": visible(one.name),
        "layer": visible(one.layer),
        "shown": visible(one.layer if count == 1 else f"{one.layer} · {one.name}"),
        "cells": one.cells,
        "order": {row.index: place for place, row in enumerate(one.rows)},
    }


def _line(dictionary: int, row: ExportRow, score: float | None, method: str) -> list[Any]:
    """Return what the page knows about a feature from the start, in the order in which gallery.js reads it."""
    texts = (visible(row.name), visible(row.explanation), row.status, row.state)
    figures = (_figure(score), _figure(row.density), _figure(row.max_activation))
    return [dictionary, row.index, *texts, *figures, visible(row.labeler), method]


def _write_parts(folder: Path, dictionary: int, features: Iterable[GalleryFeature]) -> None:
    """Write the details of features, `PART` of them a file."""
    part: dict[int, Any] = {}
    number = 0
    for feature in features:
        part[feature.row.index] = _details(feature)
        if len(part) == PART:
            _write_part(folder, f"{dictionary}-{number}", part)
            part, number = {}, number + 1
    if part:
        _write_part(folder, f"{dictionary}-{number}", part)


def _write_part(folder: Path, name: str, part: dict[int, Any]) -> None:
    _write_script(folder / f"{name}.js", f"galleryPart({script_json(name)}, {script_json(part)});")


def _details(feature: GalleryFeature) -> dict[str, Any]:
    """Return what the page of a feature shows."""
    return {
        "scores": [
            [visible(s.method), _figure(s.value), _figure(s.ci_low), _figure(s.ci_high)] for s in feature.row.scores
        ],
        "crops": [crop_line(crop) for crop in feature.crops],
        "histogram": [[_figure(level), cells] for level, cells in feature.histogram],
        "steps": [[step, _figure(share)] for step, share in feature.steps],
        "neighbours": [[latent, _figure(share)] for latent, share in feature.neighbours],
    }


def crop_line(crop: GalleryCrop) -> list[Any]:
    """Return a crop in the order in which drawing.js reads it; of the activation map only the cells that show."""
    heat = None if crop.activation_map is None else heat_line(crop.activation_map)
    return [crop.picture, list(crop.box), crop.role, _figure(crop.activation), crop.step, visible(crop.where), heat]


def heat_line(activation_map: np.ndarray) -> list[Any] | None:
    """Return an activation map, float [rows, cols], as drawing.js takes it; None where no cell would be visible."""
    if not activation_map.max() > 0:
        return None
    flat = activation_map.reshape(-1)
    # Shares are out of 255, the levels of a pixel. Cells that round to 0 would be invisible.
    shares = np.round(255 * flat / flat.max()).astype(int)
    cells = np.flatnonzero(shares)
    return [*activation_map.shape, cells.tolist(), shares[cells].tolist()]


def _figure(value: float | None) -> float | None:
    """Return a figure with four digits; None where it is missing or not finite."""
    return None if value is None or not np.isfinite(value) else float(f"{value:.4g}")


def _write_pictures(folder: Path, pictures: Iterable[GalleryPicture]) -> None:
    """Write the pictures under their numbers, and a script with their sizes and prompts."""
    (folder / "pictures").mkdir()
    known = []
    for number, picture in enumerate(pictures):
        (folder / "pictures" / f"{number}.webp").write_bytes(picture.data)
        known.append([*picture.size, visible(picture.prompt)])
    _write_script(folder / "data" / "pictures.js", f"window.GALLERY_PICTURES = {script_json(known)};")


def _write_script(path: Path, text: str) -> None:
    path.write_text(f'"use strict";\n{text}\n', encoding="utf-8")


def _template(name: str) -> str:
    return (files("autointerp.export") / "templates" / name).read_text(encoding="utf-8")


def _is_gallery(folder: Path) -> bool:
    """Return whether a folder holds a gallery that autointerp wrote."""
    with suppress(OSError, UnicodeDecodeError):
        return f'name="generator" content="{GENERATOR} ' in (folder / "index.html").read_text(encoding="utf-8")
    return False
