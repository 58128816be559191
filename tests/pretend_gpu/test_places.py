"""What a GPU is for runs there: embedders, the measuring of a fitted dictionary, the sums of a reconstruction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from autointerp.dictionaries.metrics import Reconstruction
from autointerp.diffusion.inversion import invert, unguided
from autointerp.diffusion.jobs import GenerationSettings, ImageJob
from autointerp.diffusion.loading import load_model
from autointerp.diffusion.passes import Pass
from autointerp.diffusion.running import run_pipeline
from autointerp.project.context import Context
from autointerp.project.settings import Settings
from autointerp.project.workspace import WorkspaceFolder
from autointerp.search import embedders
from autointerp.stages.fit import training
from tests.pretend_gpu.device import Counting
from tests.pretend_gpu.sides import PRETEND, settings_of

DEVICE = "pretend:0"


def test_embedders_are_loaded_to_the_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    for load in ("load_embedder", "load_text_embedder"):
        monkeypatch.setattr(embedders, load, lambda name, device, local_files_only: asked.append(device))
    values = {"device": PRETEND, "embedder": "someones/clip", "text_embedder": "someones/bert"}
    ctx = Context(WorkspaceFolder.create(tmp_path / "w", Settings.from_values(values)))
    _ = ctx.embedder, ctx.text_embedder
    assert asked == [DEVICE, DEVICE]


def test_a_dictionary_is_measured_before_it_leaves_the_device(
    tmp_path: Path, cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, str]] = []
    plain = training.measure

    def measure(dictionary: Any, held_out: Any, device: str) -> Any:
        seen.append((str(dictionary.directions.device), device))
        return plain(dictionary, held_out, device)

    monkeypatch.setattr(training, "measure", measure)
    folder = tmp_path / "w"
    folder.mkdir()
    (folder / "autointerp.toml").write_text(settings_of())
    done = cli("-w", folder, "-q", "fit", "--layer", "mid", "--kind", "itda", "--device", PRETEND)
    assert done.code == 0, done.err
    assert seen == [(DEVICE, DEVICE)]


def test_figures_take_numbers_and_no_activations_from_the_device() -> None:
    class Half:
        """Rebuilds half of each activation."""

        def encode(self, acts: torch.Tensor, step: Any = None) -> Any:
            from autointerp.dictionaries.protocol import SparseCode

            return SparseCode(acts[:, :1].relu(), torch.zeros(len(acts), 1, dtype=torch.int64, device=acts.device))

        def decode(self, code: Any) -> torch.Tensor:
            return code.latent_acts.expand(-1, 8) / 2

    acts = torch.randn(300, 8, generator=torch.Generator().manual_seed(0)).to(DEVICE)
    figures = Reconstruction(8, 4)
    with Counting() as counted:
        for part in acts.split(100):
            figures.update(Half(), part)  # type: ignore[arg-type]
    assert counted.reads.total() == 0, counted.reads
    assert 0 < figures.fvu < 2


def test_an_iteration_of_an_inversion_waits_once() -> None:
    model = load_model("shapes", device=DEVICE, dtype="float32")
    settings = GenerationSettings.resolve(model.defaults, {"steps": 8, "guidance": 1.0})
    batch = unguided(Pass(model, (ImageJob(0, "a red circle", 0),), settings))
    made: list[torch.Tensor] = []
    run_pipeline(batch, after_step=lambda run, latents: made.append(latents.clone()))
    clean = made[-1]
    ran: list[int] = []
    handle = model.denoiser.register_forward_hook(lambda *_: ran.append(1))
    with Counting("/autointerp/diffusion/inversion.py") as counted:
        invert(batch, clean, first_step=6)
    handle.remove()
    assert len(ran) > 7
    assert counted.reads.total() <= len(ran) + 20, counted.reads
