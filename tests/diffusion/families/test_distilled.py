"""Distilled models are run in few steps, and what tells them is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autointerp.diffusion.describe import describe_model
from autointerp.diffusion.families import family_of
from autointerp.diffusion.families.distilled import Distilled, distilled
from autointerp.diffusion.loading_options import LoadingSettings
from tests.diffusion.helpers import Folders, config_of, copied
from tests.diffusion.tiny_parts import SIZE

EULER = {"_class_name": "EulerDiscreteScheduler", "timestep_spacing": "trailing"}
ANCESTRAL = {**EULER, "_class_name": "EulerAncestralDiscreteScheduler"}
PLAIN = {"_class_name": "EulerDiscreteScheduler", "timestep_spacing": "leading"}


def found_of(
    name: str, scheduler: dict[str, Any], kind: str = "StableDiffusionPipeline", **unet: Any
) -> Distilled | None:
    family = family_of(kind, ("unet", "transformer", "vae"))
    return distilled(name, family, {"scheduler": scheduler, family.denoiser: unet})


@pytest.mark.parametrize(
    ("name", "scheduler", "kind", "expected"),
    [
        ("stabilityai/sd-turbo", EULER, "StableDiffusionPipeline", (1, 0.0)),
        ("/models/mine", EULER, "StableDiffusionPipeline", (1, 0.0)),
        (
            "stabilityai/sdxl-turbo",
            {**EULER, "_class_name": "EulerAncestralDiscreteScheduler"},
            "StableDiffusionXLPipeline",
            (1, 0.0),
        ),
        ("o/dreamshaper-xl-turbo", PLAIN, "StableDiffusionXLPipeline", (4, 0.0)),
        ("o/stable-diffusion-3.5-large-turbo", {}, "StableDiffusion3Pipeline", (4, 0.0)),
        ("o/SDXL-Lightning", EULER, "StableDiffusionXLPipeline", (4, 0.0)),
        ("o/sdxl_lightning_8step", EULER, "StableDiffusionXLPipeline", (8, 0.0)),
        ("o/Hyper-SD15-1step", PLAIN, "StableDiffusionPipeline", (1, 0.0)),
        ("o/any", {"_class_name": "LCMScheduler"}, "StableDiffusionPipeline", (4, 0.0)),
        ("o/PixArt-LCM-XL-2", {"_class_name": "LCMScheduler"}, "PixArtAlphaPipeline", (4, 0.0)),
        ("o/any", {"_class_name": "TCDScheduler"}, "StableDiffusionXLPipeline", (4, 0.0)),
        ("o/any", {"_class_name": "LCMScheduler"}, "LatentConsistencyModelPipeline", (4, 0.0)),
        ("Tongyi-MAI/Z-Image-Turbo", {}, "ZImagePipeline", (8, 0.0)),
        ("krea/Krea-2-Turbo", {}, "Krea2Pipeline", (8, 0.0)),
        ("baidu/ERNIE-Image-Turbo", {}, "ErnieImagePipeline", (8, 0.0)),
    ],
)
def test_distilled_models(name: str, scheduler: dict[str, Any], kind: str, expected: tuple[int, float]) -> None:
    found = found_of(name, scheduler, kind)
    assert found is not None
    assert found[:2] == expected


@pytest.mark.parametrize(
    ("name", "scheduler", "kind"),
    [
        ("o/stable-diffusion-v1-5", PLAIN, "StableDiffusionPipeline"),
        ("turbo/stable-diffusion-v1-5", PLAIN, "StableDiffusionPipeline"),
        ("o/turbocharged", PLAIN, "StableDiffusionPipeline"),
        ("o/mine", {**EULER, "prediction_type": "v_prediction"}, "StableDiffusionXLPipeline"),
        ("o/mine", {**EULER, "rescale_betas_zero_snr": True}, "StableDiffusionXLPipeline"),
        ("o/mine", {**EULER, "_class_name": "DDIMScheduler"}, "StableDiffusionPipeline"),
        ("o/mine", EULER, "StableDiffusion3Pipeline"),
        ("shapes-turbo", {}, "FluxPipeline"),
    ],
)
def test_other_models(name: str, scheduler: dict[str, Any], kind: str) -> None:
    assert found_of(name, scheduler, kind) is None


def test_a_guidance_that_is_an_input_is_kept() -> None:
    found = found_of("o/any", {"_class_name": "LCMScheduler"}, time_cond_proj_dim=256)
    assert found is not None
    assert (found.steps, found.guidance) == (4, 8.0)


def turbo(folder: Path) -> Path:
    """A tiny SD-Turbo: the folder of a tiny SD with that model's scheduler, and no defaults of its own."""
    indexed = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**indexed, "scheduler": ["diffusers", EULER["_class_name"]]}))
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(EULER))
    (folder / "autointerp.json").unlink()
    return folder


def test_defaults_follow_and_a_models_own_win(tiny_folder: Folders, tmp_path: Path) -> None:
    folder = turbo(copied(tiny_folder("sd"), tmp_path))
    defaults = describe_model(str(folder)).defaults
    assert (defaults.steps, defaults.guidance, defaults.capture_steps) == (1, 0.0, (0,))
    (folder / "autointerp.json").write_text(json.dumps({"steps": 3, "guidance": 2.0}))
    described = describe_model(str(folder))
    assert (described.defaults.steps, described.defaults.guidance, described.distilled) == (3, 2.0, None)


def test_a_single_file_is_told_by_its_own_name(single: Folders, tmp_path: Path) -> None:
    config = copied(Path(config_of(single("sd"))), tmp_path)
    (config / "autointerp.json").unlink()
    for name, steps in {"sd_lightning_2step": 2, "plain": 50}.items():
        file = tmp_path / f"{name}.safetensors"
        file.write_bytes(single("sd").read_bytes())
        described = describe_model(str(file), loading=LoadingSettings(config=str(config)))
        assert described.defaults.steps == steps
        assert (described.distilled is None) == (steps == 50)


def test_init_says_what_was_chosen_and_only_that(tiny_folder: Folders, tmp_path: Path, cli: Callable[..., Any]) -> None:
    folder = turbo(copied(tiny_folder("sd"), tmp_path))
    cases: dict[tuple[str, ...], str | None] = {
        (): "(its scheduler is Euler with trailing timesteps): 1 step and no guidance;",
        ("--steps", "4"): "): no guidance;",
        ("--set", "guidance=1.5"): "): 1 step;",
        ("--steps", "4", "--set", "guidance=1.5"): None,
    }
    for n, (given, says) in enumerate(cases.items()):
        done = cli("-w", tmp_path / str(n), "init", "--model", folder, "--size", str(SIZE), *given)
        assert done.code == 0
        assert ("distilled" in done.err) == (says is not None)
        assert says is None or says in done.err
