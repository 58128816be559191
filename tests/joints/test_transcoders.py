"""A transcoder from fit to export: every stage, and what refuses it in a line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from autointerp import Workspace, load_dictionary
from autointerp.dictionaries.transcoders import Transcoder
from autointerp.experiments.steering import dictionary_of, steered_feature
from autointerp.project.context import Context
from autointerp.stages.fit.activations import generate_rounds

NAME = "shapes-turbo.mid.transcoder"


@pytest.fixture(scope="module")
def transcoded(
    labeled: Path, databases: Any, tmp_path_factory: pytest.TempPathFactory, cli: Callable[..., Any]
) -> Path:
    """The labeled workspace with a transcoder of the same layer, harvested and named."""
    path = databases.copy(labeled, tmp_path_factory.mktemp("transcoded") / "w")
    fitted = cli("-w", path, "-q", "fit", "--layer", "mid", "--kind", "transcoder")
    assert fitted.code == 0, fitted.err
    given = ("--layer", "mid", "--dictionary", NAME, "--no-score")
    labeled_ = cli("-w", path, "-q", "label", *given)
    assert labeled_.code == 0, labeled_.err
    return path


def test_it_reads_the_mlp_and_is_measured_by_its_output(transcoded: Path) -> None:
    ctx = Context(Workspace(transcoded))
    row = ctx.dictionary_named(NAME)
    layer = ctx.layer_of(row)
    assert (row.kind, row.signal, row.hookpoint) == ("transcoder", "map", layer.hookpoint)
    assert layer.hookpoint.endswith(".ff")
    made = load_dictionary(ctx.workspace.dictionary_dir(NAME))
    assert isinstance(made, Transcoder)
    read = generate_rounds(ctx, [layer], ctx.jobs(0, 4), row.steps)[layer].acts
    assert read.shape[1] == 2 * row.d_in
    # The MLP itself, called again on what was read before it.
    mlp = ctx.model.module(layer.hookpoint)
    with torch.inference_mode():
        assert torch.allclose(mlp(read[:, : row.d_in]), read[:, row.d_in :], atol=1e-4)
    assert row.fvu is not None
    assert 0 < row.fvu < 1.5
    found = Workspace(transcoded).status()["dictionaries"]
    assert next(one for one in found if one["dictionary"] == NAME)["live"] > 0


def test_it_is_evaluated_steered_explained_and_exported_with_labels(
    transcoded: Path, cli: Callable[..., Any], tmp_path: Path
) -> None:
    done = cli("-w", transcoded, "-q", "evaluate", "--layer", "mid", "--dictionary", NAME, "--json")
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    assert found["dictionary"] == NAME
    assert found["loss_recovered"] is not None
    assert "random" in found["controls"]
    live = next(i for i in range(64) if cli("-w", transcoded, "-q", "show", f"{NAME}:{i}").out.count("live"))
    out = tmp_path / "steered.png"
    steered = cli("-w", transcoded, "-q", "steer", f"{NAME}:{live}", "--prompt", "red circle", "--ablate", "-o", out)
    assert (steered.code, steered.err) == (0, "")
    assert out.is_file()
    explained = cli("-w", transcoded, "-q", "explain", "red circle", "--dictionary", NAME, "--all", "--json")
    assert explained.code == 0
    assert all(one["feature"].startswith(NAME) for one in json.loads(explained.out)["features"])
    exported = cli("-w", transcoded, "-q", "export", "--layer", "mid", "--dictionary", NAME, "-o", tmp_path / "out")
    assert exported.code == 0, exported.err
    assert (tmp_path / "out" / "labels.jsonl").read_text().count("\n") == 64
    again = cli("-w", tmp_path / "new", "-q", "import", tmp_path / "out")
    assert again.code == 0, again.err
    row = Context(Workspace(tmp_path / "new")).dictionary_named(NAME)
    assert (row.signal, row.kind) == ("map", "transcoder")


def test_what_cannot_be_is_refused_in_a_line(transcoded: Path, cli: Callable[..., Any], tmp_path: Path) -> None:
    given = ("-w", transcoded, "-q")
    layer = ("--layer", "mid", "--dictionary", NAME)
    for command, says in (
        (("export", *layer, "-o", tmp_path / "x", "--format", "saelens"), "use --format bundle"),
        (("experiment", "transfer", *layer), "rebuilds an MLP's output"),
        (("fit", "--layer", "late", "--kind", "transcoder"), "no module of its own"),
    ):
        done = cli(*given, *command)
        assert done.code in (1, 2), done.out
        assert says in done.err
        assert done.err.count("\n") == 1


def test_an_added_feature_moves_the_output_alone(transcoded: Path) -> None:
    from autointerp.diffusion.edits import Edit, add_vector
    from autointerp.diffusion.recording import record

    ctx = Context(Workspace(transcoded))
    one = steered_feature(ctx, f"{NAME}:0")
    direction = dictionary_of(ctx, one).directions[0]
    assert direction.shape == (one.row.d_in,)
    jobs = ctx.jobs(0, 1)
    plain = record(ctx.model, jobs, ctx.generation, [one.layer])[0]
    edit = Edit(one.layer, add_vector(3 * direction), steps=(0,))
    edited = record(ctx.model, jobs, ctx.generation, [one.layer], edits=[edit])[0]
    before, after = plain.acts[one.layer, 0], edited.acts[one.layer, 0]
    width = one.row.d_in
    assert torch.equal(before[:, :width], after[:, :width])
    assert torch.allclose(after[:, width:], before[:, width:] + 3 * direction, atol=1e-4)
