"""A gallery of labeled features: one folder of files that a browser opens as they are.

Nothing is asked of a network. Whatever a labeler, a prompt or a model's name says is shown as text, its marks of
direction included. Pictures are there once; the page cuts crops out of them and lays activation maps over them.
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
"""Features whose details are in one file."""
_DIRECTING = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufeff]")
_IN_SCRIPT = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}


@dataclass(frozen=True)
class GalleryPicture:
    """A whole picture: WebP bytes, (width, height), and what it was made from."""

    data: bytes
    size: tuple[int, int]
    prompt: str


@dataclass(frozen=True)
class GalleryCrop:
    """Where a feature fires: the number of the picture, box in its pixels, and the activation map, if it has one."""

    picture: int
    box: tuple[int, int, int, int]
    role: str
    activation: float
    step: int | None
    where: str
    activation_map: np.ndarray | None


@dataclass(frozen=True)
class GalleryFeature:
    """What is shown of a feature: its row, the one figure of its label, and more for its own page.

    `histogram`: (activation, cells) of each level. `steps`: (step, share of the activation). `neighbours`: (latent,
    Jaccard index).
    """

    row: ExportRow
    score: float | None
    crops: Sequence[GalleryCrop]
    histogram: Sequence[tuple[float, int]]
    steps: Sequence[tuple[int, float]]
    neighbours: Sequence[tuple[int, float]]


@dataclass(frozen=True)
class GalleryDictionary:
    """A dictionary with its features; `facts` are what the page says of it, `cells` what it calls its tokens."""

    name: str
    layer: str
    cells: str
    facts: Sequence[tuple[str, str]]
    rows: Sequence[ExportRow]
    scores: Sequence[float | None]
    features: Iterable[GalleryFeature]
    """One for each of `rows`, in their order; read once."""


def write_gallery(
    out_dir: Path, title: str, dictionaries: Sequence[GalleryDictionary], pictures: Iterable[GalleryPicture]
) -> Path:
    """Write a gallery, replacing one of an earlier export; returns its path.

    Args:
        out_dir: the folder to make; `index.html` in it is to be opened.
        title: what stands above all.
        dictionaries: what is shown.
        pictures: those that crops name by their place here; read after all features.

    Raises:
        UsageError: the target is a file or a folder of something else.
        AutointerpError: the disk refuses.
    """
    out_dir = out_dir.absolute()
    with whole_folder(out_dir, _ours, "a gallery") as partial:
        data = partial / "data"
        data.mkdir()
        about = {"part": PART, "dictionaries": [_about(one, len(dictionaries)) for one in dictionaries]}
        index = [
            _line(d, row, s) for d, one in enumerate(dictionaries) for row, s in zip(one.rows, one.scores, strict=True)
        ]
        _write_script(data / "features.js", f"window.GALLERY_FEATURES = {script_json(index)};")
        for d, one in enumerate(dictionaries):
            _write_parts(data, d, one.features)
        _write_pictures(partial, pictures)
        named = [r.model_copy(update={"extra": {"dictionary": one.name}}) for one in dictionaries for r in one.rows]
        write_lines(named, partial / "labels.jsonl")
        for name in ("gallery.css", "gallery.js"):
            (partial / name).write_text(_template(name), encoding="utf-8")
        page = render_page(title, dictionaries, about)
        (partial / "index.html").write_text(page, encoding="utf-8")
    return out_dir


def render_page(title: str, dictionaries: Sequence[GalleryDictionary], about: dict[str, Any]) -> str:
    """The page, in which every value is escaped."""
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
    r"""Text in which marks of direction and control characters are spelled out, so that they do nothing.

    >>> visible("abc\u202edef")
    'abc[U+202E]def'
    """
    return _DIRECTING.sub(lambda found: f"[U+{ord(found[0]):04X}]", text)


def script_json(value: Any) -> str:
    r"""JSON that can stand in a script of a page, whatever is in it.

    >>> script_json("</script>")
    '"\\u003c/script\\u003e"'
    """
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).translate(_IN_SCRIPT)


def _about(one: GalleryDictionary, count: int) -> dict[str, Any]:
    return {
        "name": visible(one.name),
        "layer": visible(one.layer),
        "shown": visible(one.layer if count == 1 else f"{one.layer} · {one.name}"),
        "cells": one.cells,
        "order": {row.index: place for place, row in enumerate(one.rows)},
    }


def _line(dictionary: int, row: ExportRow, score: float | None) -> list[Any]:
    """What the page knows of every feature from the start; gallery.js takes it apart."""
    texts = (visible(row.name), visible(row.explanation), row.status, row.state)
    figures = (_figure(score), _figure(row.density), _figure(row.max_activation))
    return [dictionary, row.index, *texts, *figures, visible(row.labeler)]


def _write_parts(folder: Path, dictionary: int, features: Iterable[GalleryFeature]) -> None:
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
    return {
        "scores": [
            [visible(s.method), _figure(s.value), _figure(s.ci_low), _figure(s.ci_high)] for s in feature.row.scores
        ],
        "crops": [_crop(crop) for crop in feature.crops],
        "histogram": [[_figure(level), cells] for level, cells in feature.histogram],
        "steps": [[step, _figure(share)] for step, share in feature.steps],
        "neighbours": [[latent, _figure(share)] for latent, share in feature.neighbours],
    }


def _crop(crop: GalleryCrop) -> list[Any]:
    heat = None
    if crop.activation_map is not None and crop.activation_map.max() > 0:
        flat = crop.activation_map.reshape(-1)
        # Out of 255: what is less than half of one is not seen.
        shares = np.round(255 * flat / flat.max()).astype(int)
        cells = np.flatnonzero(shares)
        heat = [*crop.activation_map.shape, cells.tolist(), shares[cells].tolist()]
    return [crop.picture, list(crop.box), crop.role, _figure(crop.activation), crop.step, visible(crop.where), heat]


def _figure(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(f"{value:.4g}")


def _write_pictures(folder: Path, pictures: Iterable[GalleryPicture]) -> None:
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


def _ours(folder: Path) -> bool:
    """Whether a gallery of ours is there."""
    with suppress(OSError, UnicodeDecodeError):
        return f'name="generator" content="{GENERATOR} ' in (folder / "index.html").read_text(encoding="utf-8")
    return False
