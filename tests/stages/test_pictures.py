"""The main job on real pictures, and on prompts of several sizes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

SETTINGS = """\
model = "shapes-turbo"
images = 50
fit_images = 50
evaluate_images = 4
steps = 2
batch_size = 8
dtype = "float32"
labeler = "prompts"
embedder = "/nowhere/at/all"

[dictionary]
latents = 32
k = 2
passes = 2
{kind}
"""
SCENES = 12


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rendered scenes in the place of photographs, half of them with a caption."""
    from autointerp.shapes.scenes import render, sample_scene

    path, draw, lines = tmp_path_factory.mktemp("scenes"), np.random.default_rng(3), []
    for i in range(SCENES):
        scene = sample_scene(draw)
        Image.fromarray(render(scene).image).save(path / f"{i:02}.png")
        if i % 2:
            lines.append(json.dumps({"file_name": f"{i:02}.png", "caption": scene.caption}))
    (path / "captions.jsonl").write_text("\n".join(lines))
    return path


def test_a_dictionary_is_fitted_and_read_on_real_pictures(
    scenes: Path, tmp_path: Path, small_parts: None, cli: Callable[..., Any], query: Callable[..., list[Any]]
) -> None:
    from autointerp.crops.render import decode_picture
    from autointerp.crops.split import split_of

    workspace = tmp_path / "w"
    workspace.mkdir()
    kind = 'kind = "itda"'
    (workspace / "autointerp.toml").write_text(f'images_dir = "{scenes}"\n{SETTINGS.format(kind=kind)}')
    planned = cli("-w", workspace, "label", "--layer", "mid", "--dry-run")
    assert f"{SCENES} images" in planned.out
    assert "50 images" not in planned.out
    done = cli("-w", workspace, "label", "--layer", "mid")
    assert done.code == 0, done.err
    images = query(workspace, "SELECT id, image_index, prompt, prompt_hash, picture FROM images")
    assert 0 < len(images) <= SCENES
    for _, index, prompt, _, picture in images:
        assert (prompt != "") == (index % 2 == 1)
        original = np.asarray(Image.open(scenes / f"{index:02}.png"), int)
        assert (
            np.abs(np.asarray(decode_picture(picture), int) - original).mean() < 7
        )  # WebP; another scene differs by 40 and more
    assert len({row[3] for row in images}) == len(images)  # without captions too, each has a hash of its own
    sides = query(workspace, "SELECT DISTINCT image_id, split FROM crops")
    assert len({image for image, _ in sides}) == len(sides)
    assert split_of("") == "explain" or {split for _, split in sides} == {"explain", "score"}
    # Read where the model's own steps see something of a picture.
    assert {step for (step,) in query(workspace, "SELECT DISTINCT step FROM crops WHERE step IS NOT NULL")} == {1}
    again = cli("-w", workspace, "label", "--layer", "mid")
    assert again.code == 0
    assert "nothing to do" in again.err
    ((latent,),) = query(workspace, "SELECT latent_index FROM features WHERE state = 'live' LIMIT 1")
    shown = cli("-w", workspace, "show", f"shapes-turbo.mid.itda:{latent}", "--crops", tmp_path / "crops")
    assert shown.code == 0, shown.err
    assert (tmp_path / "crops" / f"{latent}-atom.png").is_file()
    assert cli("-w", workspace, "search", "circle", "--json").code == 0
    measured = cli("-w", workspace, "evaluate", "--layer", "mid", "--json")
    assert measured.code == 0, measured.err
    found = json.loads(measured.out)
    assert found["grounded"] is None
    assert found["label_accuracy"] is None
    assert 0 < found["fvu"] < 1
    assert found["loss_recovered"] is not None
    assert found["image_change"] == {"spliced": None, "zeroed": None}
    assert "real pictures" in measured.err


def test_prompts_of_several_sizes_are_fitted_labeled_and_evaluated(
    tmp_path: Path, small_parts: None, cli: Callable[..., Any], query: Callable[..., list[Any]]
) -> None:
    lines = [
        {"prompt": f"{color} circle", "size": size}
        for color in ("red", "blue", "green", "pink")
        for size in (96, "96x64", "48x96")
    ]
    (tmp_path / "p.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    settings = SETTINGS.format(kind='kind = "pca"').replace("50", "12")
    (tmp_path / "autointerp.toml").write_text(f'prompts = "p.jsonl"\nsize = "96x64"\n{settings}')
    done = cli("-w", tmp_path, "fit", "--layer", "mid", "--cache-activations", tmp_path / "acts")
    assert done.code == 0, done.err
    from safetensors.torch import load_file

    from autointerp.dictionaries.rounds import Round

    rounds = [Round(**load_file(path)) for path in sorted((tmp_path / "acts").rglob("*.safetensors"))]
    cells = [len(one) for one in rounds]
    assert sum(cells) == 4 * (12 * 12 + 8 * 12 + 12 * 6)  # each image has the cells of its own size
    assert query(tmp_path, "SELECT grid_rows, grid_cols FROM dictionaries") == [(8, 12)]
    measured = cli("-w", tmp_path, "evaluate", "--layer", "mid", "--json")
    assert measured.code == 0, measured.err
    assert 0 < json.loads(measured.out)["fvu"] < 1

    named = cli("-w", tmp_path, "label", "--layer", "mid")
    assert named.code == 0, named.err
    checked = cli("-w", tmp_path, "db", "check")
    assert checked.code == 0, checked.out
    from autointerp.project.context import Context
    from autointerp.project.evidence import EvidenceReader
    from autointerp.project.workspace import WorkspaceFolder

    ctx = Context(WorkspaceFolder(tmp_path))
    ids = [i for (i,) in query(tmp_path, "SELECT id FROM features ORDER BY id")]
    reader = EvidenceReader(ctx.db, ctx.dictionary_named("shapes-turbo.mid.pca"))
    crops = [crop for found in (reader.crops(ids), reader.crops(ids, hard=True)) for c in found.values() for crop in c]
    seen = {(crop.role == "negative", crop.picture.size, crop.grid) for crop in crops}
    grids = {(96, 96): (12, 12), (96, 64): (8, 12), (48, 96): (12, 6)}
    # Silent or not, a picture has the grid of its own shape.
    assert {(size, grid) for _, size, grid in seen} == set(grids.items())
    assert {negative for negative, *_ in seen} == {True, False}


def test_a_models_path_is_taken_from_the_workspace(
    tmp_path: Path, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from autointerp.diffusion.describe import describe_model
    from autointerp.project.context import Context
    from autointerp.project.workspace import WorkspaceFolder

    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "autointerp.toml").write_text('model = "models/mine"\n')
    shutil.copytree(describe_model("shapes").source, tmp_path / "w" / "models" / "mine")
    monkeypatch.chdir(tmp_path)
    ctx = Context(WorkspaceFolder("w"))
    assert ctx.description.source == str(tmp_path / "w" / "models" / "mine")
    assert ctx.settings.model == ctx.description.source


def test_what_init_refuses_leaves_nothing(scenes: Path, tmp_path: Path, cli: Callable[..., Any]) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "torn.png").write_bytes(b"\x89PNG and no more")
    (tmp_path / "p.jsonl").write_text('{"prompt": "a"}\n{"prompt": "b", "size": 97}\n')
    for given, code, says in (
        (["--images-dir", tmp_path / "bad"], 1, "torn.png"),
        (["--images-dir", tmp_path / "none"], 1, "is not there"),
        (["--images-dir", scenes, "--prompts", "shapes"], 2, "exclude each other"),
        (["--prompts", tmp_path / "p.jsonl"], 2, "line 2: a picture size of 97 does not fit shapes-turbo"),
        (["--prompts", "evryday"], 2, "did you mean 'everyday'"),
        (["--size", "96x97"], 2, "a multiple of 8 does: 96"),
        (["--size", "large"], 2, "or 1024x768"),
    ):
        done = cli("-w", tmp_path / "w", "init", *given)
        assert done.code == code, done.err
        assert says in done.err, done.err
        assert done.err.count("\n") == 1, done.err
        assert not (tmp_path / "w").exists()
    assert cli("-w", tmp_path / "w", "init", "--images-dir", scenes, "--size", "96x64").code == 0
    from autointerp.project.settings_file import read_settings

    found = read_settings(tmp_path / "w" / "autointerp.toml")
    assert (found.images_dir, found.size, found.prompts) == (str(scenes), "96x64", "auto")


def test_prompts_follow_the_model_unless_they_are_named(tmp_path: Path) -> None:
    from autointerp.diffusion.sources.prompts import load_prompts
    from autointerp.project.context import Context
    from autointerp.project.settings import Settings
    from autointerp.project.workspace import WorkspaceFolder

    def prompts_of(**settings: Any) -> Any:
        return Context(WorkspaceFolder(tmp_path, Settings(**settings))).prompts

    # An existing workspace says `shapes`: the same prompts, and so the same identities.
    assert prompts_of().identity == prompts_of(prompts="shapes").identity
    assert prompts_of(model="owner/name").identity == load_prompts("everyday").identity
    assert prompts_of(model="owner/name", prompts="shapes").spec == "shapes"
