"""The same commands on the CPU and on the pretend device, and what their workspaces say side by side."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autointerp.crops.maps import decode_map
from autointerp.shapes.clip import FOLDER
from autointerp.shapes.scenes import render, sample_scene
from tests.pretend_gpu import device

CPU, PRETEND = "cpu", device.NAME
TOLERANCE = {
    "dictionaries": 1e-6,
    "features": 2e-5,
    "crops": 2e-5,
    "labels": 1e-5,
    "scores": 1e-3,
    "figures": 5e-4,
    "image_change": 2e-2,
}
"""Largest relative difference of numbers. Attention is one kernel on the CPU and several on the device, so the last
digits of activations differ; pictures then differ by a step of a color here and there, which scores and figures see.
The change of a picture is the distance of two vectors that are nearly the same, so it sees such a step most: it moved
by 0.1% between devices, and by 8% between two kinds of processor."""

TIED, LEAST_TIED = 0.01, 4
"""Largest share of features that near ties may touch, and the number that they may always touch. Where two latents of a
cell, two cells of an image or two images of a feature nearly tie, the last digits decide which is taken. An atom's own
cell is such a tie: nothing but rounding is left of it for a second atom."""
TIED_CELLS = 3e-3
"""Largest share of cells by which a near tie may change a feature's density: a few cells of about a thousand."""

_FEATURE = "JOIN features f ON f.id = {0}.feature_id JOIN dictionaries d ON d.id = f.dictionary_id"
TABLES = {
    "dictionaries": "SELECT name, kind, layer, stream, d_in, num_latents, k, images, fvu, l0 FROM dictionaries"
    " ORDER BY 1",
    "features": "SELECT d.name, latent_index, f.state, density, max_activation, mean_activation, atom_prompt, atom_row,"
    " atom_col FROM features f JOIN dictionaries d ON d.id = f.dictionary_id ORDER BY 1, 2",
    "crops": "SELECT d.name, f.latent_index, i.image_index, c.step, c.timestep, c.row, c.col, box_left, box_top,"
    " box_right, box_bottom, c.quantile, c.role, c.split, c.activation, c.activation_map"
    f" FROM crops c {_FEATURE.format('c')} JOIN images i ON i.id = c.image_id ORDER BY 1, 2, 3",
    "labels": "SELECT d.name, f.latent_index, r.kind, l.status, l.name, l.confidence FROM labels l"
    f" JOIN labelers r ON r.id = l.labeler_id {_FEATURE.format('l')} ORDER BY 1, 2, 3",
    "scores": "SELECT d.name, f.latent_index, r.kind, s.method, s.shuffled, j.model, tp, fp, tn, fn, unscored, s.value"
    " FROM scores s JOIN labels l ON l.id = s.label_id JOIN labelers r ON r.id = l.labeler_id"
    f" LEFT JOIN labelers j ON j.id = s.judge_id {_FEATURE.format('l')} ORDER BY 1, 2, 3, 4, 5, 6",
}
KEYS = {"dictionaries": 1, "features": 2, "crops": 3, "labels": 3, "scores": 6}
"""How many of the first columns of a table tell its rows apart."""
DENSITY = 3
"""The column of `features` that counts cells."""
SETTINGS = """\
labeler = "clip"
images = 16
fit_images = 8
evaluate_images = 4
steps = 2
capture_steps = [1]
batch_size = 8
dtype = "float32"
embedder = "{clip}"
model = "{model}"

[dictionary]
latents = 32
k = 2
passes = 2
buffer = 512

[crops]
top = 6
quantile = 4
negatives = 6
"""
"""Of a small workspace. The embedder is named by its folder, so that it is loaded as any CLIP is."""
Query = Callable[..., list[Any]]


def settings_of(model: object = "shapes") -> str:
    return SETTINGS.format(clip=FOLDER, model=model)


def pictures(folder: Path, count: int = 8) -> Path:
    """A folder of rendered scenes, in the place of photographs."""
    path, draw = folder / "pictures", np.random.default_rng(3)
    if not path.exists():
        path.mkdir()
        for i in range(count):
            Image.fromarray(render(sample_scene(draw)).image).save(path / f"{i:02}.png")
    return path


def near(one: Any, other: Any, tolerance: float, where: str = "") -> None:
    """Check that two values are the same, and numbers in them nearly."""
    if isinstance(one, float) and isinstance(other, float):
        assert one == pytest.approx(other, rel=tolerance, abs=tolerance / 10, nan_ok=True), where
    elif isinstance(one, dict) and isinstance(other, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            near(one[key], other[key], tolerance, f"{where}.{key}")
    elif isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        assert len(one) == len(other), where
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            near(a, b, tolerance, f"{where}[{i}]")
    elif isinstance(one, bytes) and isinstance(other, bytes):
        # Maps are stored in float16. Where more than its digits may differ, other cells may be active too.
        if tolerance < 1e-3:
            assert np.allclose(decode_map(one), decode_map(other), rtol=2e-3, atol=1e-3), where
    else:
        assert one == other, where


def alike(one: list[Any], other: list[Any], table: str, times: float = 1.0) -> None:
    """Check that the rows of a table are the same, and numbers in them nearly.

    A near tie may go either way, so a few features may differ, and their crops differ or be on one side alone. A
    judge's answer may be such a tie, so one score may differ. A device that computes something else changes far more.
    """
    tolerance = times * TOLERANCE[table]
    if table not in ("features", "crops", "scores"):
        near(one, other, tolerance, table)
        return
    mine, theirs = ({row[: KEYS[table]]: row for row in rows} for rows in (one, other))
    assert len(mine) == len(one), "rows of the same key"
    tied = dict.fromkeys(mine.keys() ^ theirs.keys(), "on one side alone")
    for key in mine.keys() & theirs.keys():
        try:
            near(mine[key], theirs[key], tolerance, table)
        except AssertionError as error:
            tied[key] = str(error)
            if table == "features":
                assert abs(mine[key][DENSITY] - theirs[key][DENSITY]) <= TIED_CELLS, (key, tied[key])
    if table == "scores":
        assert len(tied) <= 1, f"{len(tied)} of {len(mine)} scores, as {list(tied.items())[:3]}"
        return
    features, touched = ({key[: KEYS["features"]] for key in keys} for keys in (mine, tied))
    allowed = max(LEAST_TIED, TIED * len(features))
    assert len(touched) <= allowed, f"{len(touched)} of {len(features)} features, as {list(tied.items())[:3]}"


class Sides:
    """A workspace on each device, under one settings file but for the device."""

    def __init__(self, folder: Path, cli: Callable[..., Any], query: Query) -> None:
        self.cli, self.query, self.folder = cli, query, folder
        self.paths = {CPU: folder / "cpu", PRETEND: folder / "pretend"}

    def make(self, settings: str) -> Sides:
        for side, path in self.paths.items():
            path.mkdir()
            (path / "autointerp.toml").write_text(f'device = "{side}"\n{settings}')
        return self

    def levelled(self, folder: Path) -> Sides:
        """Both sides at the CPU's results so far, in another folder.

        The next stage then starts from the same rows and weights on both. Otherwise a last digit of one stage may be a
        near tie of the next, and a wrong crop or name of the one after that.
        """
        made = Sides(folder, self.cli, self.query)
        for side, path in made.paths.items():
            shutil.copytree(self.paths[CPU], path)
            file = path / "autointerp.toml"
            file.write_text(file.read_text().replace(f'device = "{CPU}"', f'device = "{side}"', 1))
        return made

    def run(self, *arguments: object, codes: tuple[int, ...] = (0,)) -> dict[str, Any]:
        """Run a command on both; {w} is the workspace. Return what each printed, as JSON where it was asked for."""
        printed, ended = {}, set()
        for side, path in self.paths.items():
            given = [str(a).replace("{w}", str(path)) for a in arguments]
            done = self.cli("-w", path, *given)
            assert done.code in codes, f"{side}: {' '.join(given)}: {done.err}"
            ended.add(done.code)
            printed[side] = json.loads(done.out) if "--json" in given else done.out
        assert len(ended) == 1, arguments
        return printed

    def rows(self, table: str, times: float = 1.0) -> list[Any]:
        """Check that the rows of a table are the same on both sides but for near ties, and return the CPU's.

        Ranks are left out: crops whose activations differ by less than the tolerance may change places.
        """
        one, other = (self.query(path, TABLES[table]) for path in self.paths.values())
        alike(one, other, table, times)
        return one

    def same(self, *arguments: object) -> Any:
        """Run a command that prints JSON on both, and check that it prints the same figures."""
        printed = self.run(*arguments)
        changes = []
        for found in printed.values():
            if isinstance(found, dict):
                found.pop("fit_seconds", None)
                changes.append(found.pop("image_change", None))
        near(printed[CPU], printed[PRETEND], TOLERANCE["figures"])
        near(changes[:1], changes[1:], TOLERANCE["image_change"], "image_change")
        return printed[PRETEND]
