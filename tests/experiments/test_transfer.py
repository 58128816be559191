"""`transfer`: what it finds is what one would find by hand, and nothing depends on how pictures were batched."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autointerp import Workspace
from autointerp.dictionaries.metrics import Reconstruction
from autointerp.experiments import subjects
from autointerp.experiments.running import run_experiment
from autointerp.experiments.subjects import captured, loaded, pictures_of, stored_dictionary
from autointerp.experiments.transfer import Transfer, _overlap
from autointerp.project.context import Context
from tests.diffusion import tiny

OPTIONS = {"layer": "mid", "dictionary": None, "images": 10, "at": ("shapes-turbo:1", "shapes:2")}


def figures_of(workspace: Path, **settings: Any) -> list[dict[str, Any]]:
    ctx = Context(Workspace(workspace), **settings)
    return [figure.as_dict() for figure in run_experiment(ctx, Transfer.plan(ctx, OPTIONS)).figures]


def test_figures_are_those_of_the_dictionary_on_the_pictures(workspace: Path) -> None:
    found = {(f["name"], f["group"], f["way"]): f for f in figures_of(workspace)}
    ctx = Context(Workspace(workspace))
    row = stored_dictionary(ctx, "mid", None)
    dictionary = loaded(ctx, row, "cpu")
    by_hand = Reconstruction(row.d_in, row.num_latents)

    def consume(read: Any) -> None:
        by_hand.update(dictionary, read.acts.reshape(-1, row.d_in), read.step)

    for _ in captured(ctx, pictures_of(ctx, 10), [ctx.layer_of(row)], [1], consume, decode=False):
        pass
    here = ("shapes-turbo, 2 steps: step 1", "dictionary")
    assert found[("fvu", *here)]["value"] == pytest.approx(by_hand.fvu, rel=1e-3)
    assert found[("l0", *here)]["value"] == pytest.approx(by_hand.l0, rel=1e-6)
    assert found[("dead share", *here)]["value"] == pytest.approx(by_hand.dead_share)
    # The dictionary was fitted at this step, so its strongest pictures are its strongest pictures.
    assert found[("strongest pictures shared", *here)]["value"] == 1.0
    assert found[("labels that stay true", *here)]["value"] == 1.0
    groups = {group for _, group, _ in found}
    assert groups == {
        "shapes-turbo, 2 steps: step 0",
        "shapes-turbo, 2 steps: step 1",
        "shapes-turbo, 1 step: step 0",
        "shapes, 2 steps: step 0",
        "shapes, 2 steps: step 1",
    }
    controls = {way for _, _, way in found if found[next(k for k in found if k[2] == way)]["control"]}
    assert controls == {"random"}


def test_neither_batches_nor_a_stop_change_a_figure(
    workspace: Path, tmp_path: Path, databases: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subjects, "BATCH", 4)
    other = databases.copy(workspace, tmp_path / "other")
    whole = figures_of(workspace)
    ctx = Context(Workspace(other), batch_size=3)
    experiment = Transfer.plan(ctx, OPTIONS)
    measure = experiment.measure

    def stopping(units: Any, bar: Any) -> Any:
        for number, found in enumerate(measure(units, bar)):
            if number == 2:
                raise KeyboardInterrupt
            yield found

    monkeypatch.setattr(experiment, "measure", stopping)
    with pytest.raises(KeyboardInterrupt):
        run_experiment(ctx, experiment)
    for one, again in zip(whole, figures_of(other), strict=True):
        assert {k: v for k, v in one.items() if not isinstance(v, float)} == {
            k: v for k, v in again.items() if not isinstance(v, float)
        }
        assert again["value"] == pytest.approx(one["value"], abs=0.03)


def test_the_overlap_of_strongest_pictures() -> None:
    rng = np.random.default_rng(0)
    home = rng.random((40, 6)).astype(np.float32)
    home[:, 5] = 0
    assert _overlap(home, home)[0] == 1.0
    assert _overlap(-home + 2, home)[0] == 0.0
    # A latent that is silent here shares nothing; one that is silent at home is not counted.
    assert _overlap(np.zeros_like(home), home)[0] == 0.0
    assert _overlap(home, home).n == 5


def test_the_command_plans_reports_and_prints(
    workspace: Path, cli: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ("-w", workspace, "-q", "experiment", "transfer", "--layer", "mid", "--images", 4, "--at", "shapes-turbo:1")
    planned = cli(*given, "--dry-run")
    assert planned.code == 0
    assert planned.out.startswith("experiment transfer: ")
    assert "24 images" in planned.out
    done = cli(*given, "--json", "-o", tmp_path / "out")
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    assert list(found) == [
        "experiment", "identity", "model", "revision", "configuration", "figures", "report", "plot",
    ]  # fmt: skip
    assert list(found["figures"][0]) == ["name", "group", "way", "value", "low", "high", "n", "control"]
    assert Path(found["report"]).is_file()
    assert Path(found["plot"]).is_file()
    assert cli(*given, "--dry-run").out == "experiment transfer: up to date\n"
    said = cli(*given)
    assert "random (control)" in said.out


@pytest.mark.parametrize(
    ("given", "code", "says"),
    [
        (("--layer", "mid", "--at", "shapes"), 2, "write MODEL:STEPS"),
        (("--layer", "late"), 1, "layer late has no dictionary here: run `autointerp fit --layer late` first"),
        (("--layer", "mid", "--dictionary", "x"), 2, "there is no dictionary 'x'"),
        (("--layer", "mid", "-o", "/etc"), 2, "holds something that is not a report"),
    ],
)
def test_what_cannot_be_is_said_first(labeled: Path, cli: Callable[..., Any], given: Any, code: int, says: str) -> None:
    done = cli("-w", labeled, "-q", "experiment", "transfer", *given)
    assert done.code == code
    assert says in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("family", ["flux", "sdxl"])
def test_other_families_transfer_without_a_known_truth(
    family: str, tmp_path: Path, cli: Callable[..., Any], small_parts: None
) -> None:
    folder = tiny.save(tiny.FAMILIES[family], tmp_path / family)
    workspace = tmp_path / "w"
    workspace.mkdir()
    (workspace / "autointerp.toml").write_text(
        f'model = "{folder}"\nimages = 6\nfit_images = 6\nbatch_size = 4\ndtype = "float32"\n\n'
        "[dictionary]\nlatents = 32\nk = 4\nbuffer = 256\n"
    )
    assert cli("-w", workspace, "-q", "fit", "--layer", "mid").code == 0
    given = ("-w", workspace, "-q", "experiment", "transfer", "--layer", "mid", "--images", 4, "--at", f"{folder}:2")
    done = cli(*given, "--json")
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)["figures"]
    assert {figure["group"].partition(":")[0] for figure in found} == {f"{family}, 3 steps", f"{family}, 2 steps"}
    assert "labels that stay true" not in {figure["name"] for figure in found}
    assert all(figure["value"] is not None for figure in found if figure["name"] == "fvu")
    refused = cli("-w", workspace, "-q", "experiment", "emergence")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "is not known: name what is to be looked for" in refused.err
