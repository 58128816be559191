"""Text tokens from the fit to `show`: they have no place in the picture."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autointerp import Workspace
from autointerp.project.context import Context
from autointerp.project.evidence import EvidenceReader
from autointerp.project.targets import find_feature
from autointerp.views.pictures import render

NAME = "shapes-turbo.mid-text.topk"
Cli = Callable[..., Any]
Query = Callable[..., list[Any]]


@pytest.fixture(scope="module")
def read(labeled: Path, tmp_path_factory: pytest.TempPathFactory, cli: Cli, databases: Any) -> Path:
    """The labeled workspace with a dictionary of the text stream beside that of the image stream."""
    path: Path = databases.copy(labeled, tmp_path_factory.mktemp("text") / "w")
    done = cli("-w", path, "-q", "fit", "--layer", "mid", "--stream", "text")
    assert done.code == 0
    assert done.out.startswith(f"{NAME}: 64 latents")
    done = cli("-w", path, "-q", "harvest", "--layer", "mid", "--dictionary", NAME, "--images", 12)
    assert done.code == 0
    assert done.out.startswith(NAME)
    return path


def test_a_stream_is_part_of_what_a_dictionary_is(read: Path, cli: Cli, query: Query) -> None:
    rows = query(read, "SELECT name, stream, grid_rows, grid_cols, hookpoint FROM dictionaries ORDER BY id")
    assert [row[:4] for row in rows] == [("shapes-turbo.mid.topk", "image", 12, 12), (NAME, "text", 1, 28)]
    assert rows[0][4] == rows[1][4]
    # A layer means the dictionary of the stream in the settings.
    plan = cli("-w", read, "harvest", "--layer", "mid", "--dry-run")
    assert plan.code == 0
    assert "shapes-turbo.mid.topk" in plan.out
    assert NAME not in plan.out
    again = cli("-w", read, "fit", "--layer", "mid", "--stream", "text")
    assert again.code == 0
    assert "nothing to do" in again.err
    assert again.out.startswith(NAME)
    context = Context(Workspace(read), stream="text")
    row = context.dictionary_of("mid")
    assert row is not None
    assert row.name == NAME
    assert context.layer_of(row).stream == "text"


def test_a_crop_is_the_whole_picture_and_its_cell_a_token(read: Path, cli: Cli, query: Query) -> None:
    crops = query(
        read,
        "SELECT c.row, c.col, c.box_left, c.box_top, c.box_right, c.box_bottom, f.latent_index FROM crops c"
        " JOIN features f ON f.id = c.feature_id JOIN dictionaries d ON d.id = f.dictionary_id"
        f" WHERE d.name = '{NAME}' AND c.role != 'negative'",
    )
    assert len(crops) > 20
    assert {crop[2:6] for crop in crops} == {(0, 0, 96, 96)}
    assert {crop[0] for crop in crops} == {0}
    assert len({crop[1] for crop in crops}) > 3
    latent = crops[0][6]
    found = json.loads(cli("-w", read, "show", f"{NAME}:{latent}", "--json").out)
    assert found["stream"] == "text"
    from autointerp.diffusion.describe import describe_model
    from autointerp.diffusion.tokens import TokenReader

    reader = TokenReader(describe_model("shapes-turbo"))
    for crop in found["crops"]:
        assert crop["token"] == (None if crop["cell"] is None else reader.read(crop["prompt"])[crop["cell"][1]])
    shown = cli("-w", read, "show", f"{NAME}:{latent}").out
    assert "of text tokens" in shown
    assert f"{found['crops'][0]['cell'][1]} {found['crops'][0]['token']}" in shown


def test_nothing_is_marked_in_the_picture_of_a_text_token(read: Path, query: Query) -> None:
    ctx = Context(Workspace(read))
    ((latent,),) = query(
        read,
        "SELECT f.latent_index FROM features f JOIN dictionaries d ON d.id = f.dictionary_id"
        f" WHERE d.name = '{NAME}' AND f.state = 'live' LIMIT 1",
    )
    row, feature = find_feature(ctx, f"{NAME}:{latent}")
    crops = EvidenceReader(ctx.db, row).crops([feature.id])[feature.id]
    assert all(crop.grid == (1, 1) and crop.activation_map is None for crop in crops)
    for crop in crops:
        assert np.array_equal(np.asarray(render(crop, 96)), np.asarray(crop.picture))


def test_labels_of_text_tokens_are_judged_by_whole_pictures(read: Path, cli: Cli) -> None:
    label = ("-w", read, "label", "--layer", "mid", "--labeler", "shapes-vlm", "--dry-run")
    assert cli(*label, "--dictionary", NAME).out.splitlines()[-1].startswith(f"score    {NAME}: detection score of ")
    assert ": gain score of " in cli(*label).out.splitlines()[-1]


def test_an_export_says_its_stream_and_an_import_heeds_it(read: Path, cli: Cli, tmp_path: Path) -> None:
    out = ("--format", "saelens", "-o", tmp_path / "out")
    assert cli("-w", read, "export", "--layer", "mid", "--dictionary", NAME, *out).code == 0
    done = cli("-w", tmp_path / "new", "import", tmp_path / "out", "--dry-run")
    assert done.code == 0
    assert NAME in done.out
    done = cli("-w", tmp_path / "new", "import", tmp_path / "out", "--stream", "image", "--dry-run")
    assert done.code == 0
    assert "shapes-turbo.mid.topk" in done.out
    assert "stream image is yours; the files say text" in done.err


def test_text_of_a_model_without_it_is_refused(cli: Cli, tmp_path: Path) -> None:
    done = cli("-w", tmp_path / "w", "fit", "--layer", "mid", "--stream", "words", "--dry-run")
    assert done.code == 2
    assert "stream" in done.err
    assert done.err.count("\n") == 1
    found = json.loads(cli("layers", "--stream", "text", "--json").out)
    assert [(x["alias"], x["stream"], x["grid"]) for x in found] == [
        (alias, "text", [1, 28]) for alias in ("early", "mid", "late")
    ]


def test_padding_is_no_evidence_and_no_place_for_a_name(read: Path, query: Query) -> None:
    """A caption has a token a word and one for its end; what follows is padding."""
    ours = f"dictionary_id = (SELECT id FROM dictionaries WHERE name = '{NAME}')"
    crops = query(
        read,
        "SELECT c.col, i.prompt FROM crops c JOIN images i ON i.id = c.image_id JOIN features f ON f.id = c.feature_id "
        f"WHERE c.col IS NOT NULL AND f.{ours}",
    )
    cells = query(read, f"SELECT c.col, i.prompt FROM cells c JOIN images i ON i.id = c.image_id WHERE c.{ours}")
    assert crops
    assert cells
    assert all(col <= len(prompt.replace(",", " , ").split()) for col, prompt in [*crops, *cells])
