"""An import says where a dictionary does not rebuild the activations of its layer, and what is wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from autointerp.dictionaries.sae import TopK
from autointerp.errors import AutointerpError
from autointerp.project.context import Context
from autointerp.project.workspace import WorkspaceFolder
from autointerp.stages.fit.activations import generate_rounds
from autointerp.transfer.importing.placement import Placement
from autointerp.transfer.importing.rebuilding import Reading, measure_readings, warn_of_rebuilding, warning_of

from ..bundles import Cli
from ..files import saelens

IMAGES = 2


@pytest.fixture(scope="module")
def ctx(tmp_path_factory: pytest.TempPathFactory, cli: Cli) -> Context:
    folder = tmp_path_factory.mktemp("rebuilding") / "w"
    assert cli("-w", folder, "init").code == 0
    return Context(WorkspaceFolder(folder))


def principal(acts: torch.Tensor, k: int = 16) -> TopK:
    """The k main directions of activations and their opposites: a dictionary that rebuilds these, and their like."""
    mean = acts.mean(0)
    directions = torch.linalg.svd(acts - mean, full_matrices=False)[2][:k]
    both = torch.cat([directions, -directions])
    return TopK(both.T.contiguous(), torch.zeros(2 * k), both, mean, k)


def test_a_dictionary_of_another_reading_is_told_by_it(ctx: Context) -> None:
    layer, step = replace(ctx.layer("mid"), signal="output"), ctx.capture_steps[0]
    update = replace(layer, signal="update")
    read = generate_rounds(ctx, [layer, update], ctx.jobs(10, 12), [step])
    acts = read[layer].acts
    here = Placement(layer, (step,), ())

    def warning(dictionary: TopK, placement: Placement = here) -> str | None:
        return warn_of_rebuilding(ctx, dictionary, placement, IMAGES)

    assert warning(principal(acts)) is None
    of_update = warning(principal(read[update].acts))
    assert of_update is not None
    assert "import it again with --signal update" in of_update
    standard = warning(principal((acts - acts.mean(0)) / acts.std(0)))
    assert standard is not None
    assert "on activations of mean 0 and deviation 1 it has" in standard
    torch.manual_seed(0)
    lost = warning(principal(50 * torch.randn(256, layer.d_in)))
    assert lost is not None
    assert "maybe it is of another layer, model" in lost


def test_each_way_of_reading_is_measured(ctx: Context) -> None:
    layer = ctx.layer("mid")
    steps = ctx.capture_steps
    dictionary = principal(torch.randn(256, layer.d_in))
    hows = [reading.how for reading in measure_readings(ctx, dictionary, Placement(layer, steps, ()), 1)]
    assert hows[0] == "as it is"
    assert sum("signal" in how for how in hows) == 1
    single = {int(how.removeprefix("at step ")) for how in hows if how.startswith("at step ")}
    assert single
    assert not single & set(steps)
    assert sum(how.startswith("on activations") for how in hows) == 4


def test_a_warning_names_the_reading_that_is_better_by_far() -> None:
    here, near, far = (Reading(str(fvu), f"do {fvu}", fvu) for fvu in (1.2, 1.1, 0.3))
    assert warning_of([replace(here, fvu=0.8), near, far], IMAGES) is None
    assert "0.3 it has" in (warning_of([replace(here, fvu=0.8), replace(far, fvu=0.2)], IMAGES) or "")
    assert warning_of([replace(here, fvu=0.1), replace(far, fvu=0.01)], IMAGES) is None
    assert "0.3 it has 0.30: do 0.3" in (warning_of([here, near, far], IMAGES) or "")
    vain = warning_of([here, near], IMAGES) or ""
    assert "tried in vain: 1.1 1.10" in vain
    assert "do 1.1" not in vain


def test_import_says_so_and_keeps_it(made: Path, cli: Cli, query: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    files = saelens(made.parent / "sae")
    said = "does not rebuild the layer"
    done = cli("-w", made, "import", files, "--layer", "mid", "--check", "1")
    assert (done.code, done.out) == (0, "shapes-turbo.mid.topk: topk, 24 latents, of saelens\n"), done
    assert f"warning: it {said}" in done.err
    ((config,),) = query(made, "SELECT config FROM dictionaries")
    assert any(said in note for note in json.loads(config)["import"]["assumed"])

    def broken(*_: Any) -> list[Reading]:
        raise AutointerpError("no weights", "fetch them")

    where = "autointerp.transfer.importing.rebuilding"
    monkeypatch.setattr(f"{where}.measure_readings", broken)
    late = ("-w", made, "import", files, "--layer", "late")
    assert cli(*late, "--check", "0").err.count(said) == 0
    early = ("-w", made, "import", files, "--layer", "early")
    assert cli(*early, "--check", "1").code == 1
    assert query(made, "SELECT count(*) FROM dictionaries") == [(2,)]
    # On an accelerator it is measured unasked; a model that cannot be run there does not keep the dictionary out.
    monkeypatch.setattr(f"{where}.pick_device", lambda _: "cuda")
    done = cli(*early)
    assert done.code == 0
    assert "was not measured: no weights" in done.err
