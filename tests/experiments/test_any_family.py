"""Every experiment on a model whose world is not known: a tiny SDXL, a tiny Grounding DINO and a tiny SAM."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autointerp.experiments import edit, erase, erasing, scene_readouts
from autointerp.labeling.segments.detector import PhraseBox
from autointerp.labeling.segments.grounded import GroundedSegments
from autointerp.worlds import Segment
from tests.diffusion import tiny
from tests.labeling.segments import tiny as models

LOOK_FOR = ("--phrase", "red circle", "--phrase", "star")


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory, small_parts: None) -> Path:
    """A workspace of a tiny SDXL with a dictionary of two layers of other grids; nothing is labeled."""
    from tests.conftest import call

    folder = tmp_path_factory.mktemp("family")
    model = tiny.save(tiny.sdxl, folder / "sdxl")
    detector, segmenter = models.save_detector(folder / "dino"), models.save_segmenter(folder / "sam")
    workspace = folder / "w"
    workspace.mkdir()
    words = ("red circle", "blue star", "large circle", "night background")
    (workspace / "prompts.txt").write_text("\n".join(f"{w} {n}" for n in range(16) for w in words), encoding="utf-8")
    (workspace / "autointerp.toml").write_text(
        f'model = "{model}"\nprompts = "prompts.txt"\nimages = 6\nfit_images = 6\nbatch_size = 4\ndtype = "float32"\n'
        'embedder = "shapes-clip"\n\n[dictionary]\nlatents = 32\nk = 4\nbuffer = 256\n\n'
        f'[grounding]\ndetector = "{detector}"\nsegmenter = "{segmenter}"\nconfidence = 0.01\n',
        encoding="utf-8",
    )
    done = call("-w", workspace, "-q", "fit", "--layer", "early", "--layer", "mid")
    assert done.code == 0, done.err
    return workspace


@pytest.fixture(autouse=True)
def few() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module, name, value in (
            (edit, "SWEEP", (1, 4)),
            (erase, "CHOSEN_ON", 1),
            (erase, "STRENGTHS", (1.0,)),
            (erase, "REFERENCE", 8),
            (erasing, "REFERENCE", 8),
            (scene_readouts, "FITTED", 4),
            (scene_readouts, "CHOSEN", 2),
        ):
            patch.setattr(module, name, value)
        yield


@pytest.fixture
def experiment(family: Path, cli: Callable[..., Any], tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Run an experiment, and return what `--json` prints."""

    def run(*given: Any) -> dict[str, Any]:
        done = cli("-w", family, "-q", "experiment", *given, "--json", "-o", tmp_path / "out")
        assert (done.code, done.err) == (0, "")
        found: dict[str, Any] = json.loads(done.out)
        return found

    return run


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    """Three cases of three kinds, each with a mask: what random models find is not known."""
    mask = Image.new("L", (64, 64), 0)
    mask.paste(255, (0, 0, 64, 32))
    mask.save(tmp_path / "mask.png")
    rows = [
        {
            "id": str(n), "editing_type_id": kind, "original_prompt": "[red] circle", "editing_prompt": "[blue] star",
            "editing_instruction": "x", "original_gsam_prompt": "circle", "editing_gsam_prompt": "star",
            "mask": "mask.png",
        }
        for n, kind in enumerate("163")
    ]  # fmt: skip
    (tmp_path / "cases.json").write_text(json.dumps(rows), encoding="utf-8")
    return tmp_path / "cases.json"


def ways_of(found: dict[str, Any], name: str) -> set[str]:
    return {figure["way"] for figure in found["figures"] if figure["name"] == name}


def test_edit_takes_cases_of_a_file(experiment: Callable[..., dict[str, Any]], cases: Path) -> None:
    found = experiment("edit", "--cases", cases, "--choose", 1, "--way", "patch", "--features", 2)
    every = {"sae", "patch", "random", "none", "prompt"}
    assert ways_of(found, "success") == ways_of(found, "CLIP gain") == ways_of(found, "distance") == every
    of = {(f["name"], f["group"], f["way"]): f for f in found["figures"]}
    assert of["distance", "all kinds", "none"]["value"] == pytest.approx(0, abs=1e-6)
    assert of["kept", "all kinds", "none"]["value"] == 1.0
    assert of["distance", "all kinds", "prompt"]["value"] > 1e-4
    assert of["CLIP gain", "all kinds", "sae"]["n"] == 2


def test_intervene_takes_cases_of_a_file(experiment: Callable[..., dict[str, Any]], cases: Path) -> None:
    found = experiment("intervene", "--cases", cases, "--layer", "mid", "--features", 2)
    names = {figure["name"] for figure in found["figures"]}
    assert {"reached: change object", "CLIP gain: delete object", "distance: change color"} <= names
    assert {"all steps", "early third", "step 2"} <= {figure["group"] for figure in found["figures"]}


def test_emergence_reads_phrases_in_layers_of_several_grids(experiment: Callable[..., dict[str, Any]]) -> None:
    found = experiment("emergence", "--images", 4, *LOOK_FOR)
    assert {"IoU of red circle", "IoU of star"} <= {figure["name"] for figure in found["figures"]}
    assert {"early, step 0", "mid, step 2", "input, step 0"} <= {figure["group"] for figure in found["figures"]}
    assert found["configuration"]["looked_for"][0] == ["object", "red circle", "star"]
    # Word maps come on the grid of each layer.
    of_words = {figure["group"] for figure in found["figures"] if figure["way"] == "words"}
    assert of_words == {f"{layer}, step {step}" for layer in ("early", "mid") for step in range(3)}


def test_probe_tells_cells_with_a_phrase_from_others(experiment: Callable[..., dict[str, Any]]) -> None:
    found = experiment("probe", "--images", 4, "--step", 1, *LOOK_FOR)
    assert ways_of(found, "star, all inputs") >= {"raw", "codes", "random", "input"}
    assert all(0 <= f["value"] <= 1 for f in found["figures"] if f["value"] is not None)


class Halves:
    """In place of random models: a phrase is found in one half of the pictures, in the left half of each."""

    def things(self, picture: Image.Image, phrases: Any, grid: tuple[int, int]) -> list[tuple[PhraseBox, Segment]]:
        mask = np.zeros(grid, bool)
        mask[:, : grid[1] // 2] = True
        box = (0.0, 0.0, picture.width / 2, float(picture.height))
        return [(PhraseBox(phrase, box, 0.9), Segment(phrase, mask, 0.9)) for phrase in phrases]


def test_erase_suppresses_a_phrase(experiment: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GroundedSegments, "things", Halves.things)
    given = ("erase", "circle", "--layer", "mid", "--images", 1, "--features", 2, "--phrase", "star")
    found = experiment(*given)
    # Halves finds the phrase in every picture.
    of = {(f["name"], f["way"]): f["value"] for f in found["figures"] if f["group"] == "all concepts"}
    assert of["gone", "sae"] == of["gone", "none"] == 0.0
    assert of["kept elsewhere", "none"] == of["valid", "means"] == 1.0
    assert found["configuration"]["looked_for"] == {"phrase": ["circle", "star"]}


def test_transfer_holds_labels_against_phrases(
    family: Path, tmp_path: Path, databases: Any, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from autointerp.experiments import transfer
    from autointerp.experiments.subjects import NamedFeature

    monkeypatch.setattr(GroundedSegments, "things", Halves.things)
    monkeypatch.setattr(transfer, "named_features", lambda *_: [NamedFeature(n, "star", 0.0) for n in range(32)])
    monkeypatch.setattr(transfer, "HOLDS", 0.0)
    monkeypatch.setattr(transfer, "BASE", 99.0)
    monkeypatch.setattr(transfer, "LEAST_ACTIVE", 1)
    model = next(line.split('"')[1] for line in (family / "autointerp.toml").read_text().splitlines())
    given = ("-w", family, "-q", "experiment", "transfer", "--layer", "mid", "--images", 4, "--at", f"{model}:2")
    done = cli(*given, "--phrase", "Star", "--json", "-o", tmp_path / "out")
    assert (done.code, done.err) == (0, "")
    assert "labels that stay true" in {figure["name"] for figure in json.loads(done.out)["figures"]}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("edit",), "give cases with the fields of RIEBench: --cases FILE"),
        (("edit", "--cases", "nowhere.json"), "'nowhere.json' is neither a number of cases nor a file"),
        (("emergence",), "name what is to be looked for, e.g. --phrase cat --phrase sky"),
        (("erase", "--layer", "mid"), "name a concept, e.g. experiment erase cat"),
        (("erase", "cat", "--layer", "mid"), "held-out prompts say 'cat', and"),
    ],
)
def test_what_is_lacking_is_said_in_a_line(family: Path, cli: Callable[..., Any], given: Any, says: str) -> None:
    done = cli("-w", family, "-q", "experiment", *given)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert says in done.err
