"""What cannot be run is refused by `init`, from configuration files alone; no code of a model is run."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from autointerp.diffusion import checking
from autointerp.diffusion.checking import check_index, check_model
from autointerp.diffusion.describe import describe_model
from autointerp.diffusion.loading import load_model
from autointerp.diffusion.loading_options import LoadingSettings
from autointerp.errors import AutointerpError
from autointerp.project.making import make_workspace
from autointerp.project.settings import Settings
from tests.diffusion.helpers import Folders, config_of, copied

Json = dict[str, Any]


def rewritten(file: Path, change: Callable[[Json], Json]) -> None:
    file.write_text(json.dumps(change(json.loads(file.read_text()))))


def indexed(folder: Path, **changes: Any) -> Path:
    rewritten(folder / "model_index.json", lambda index: {**index, **changes})
    return folder


def scheduled(folder: Path, kind: str, **config: Any) -> Path:
    indexed(folder, scheduler=["diffusers", kind])
    beta = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
    settings = {"_class_name": kind, "num_train_timesteps": 1000, **beta, **config}
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(settings))
    return folder


def refused(folder: Path, **settings: Any) -> str:
    """What `init` says, which writes nothing then."""
    workspace = folder.parent / "workspace"
    with pytest.raises(AutointerpError) as raised:
        make_workspace(workspace, Settings.from_values({"model": str(folder), **settings}))
    assert "\n" not in str(raised.value)
    assert not workspace.exists()
    return str(raised.value)


def accepted(folder: Path, **settings: Any) -> None:
    workspace = folder.parent / "workspace"
    make_workspace(workspace, Settings.from_values({"model": str(folder), **settings}))
    shutil.rmtree(workspace)


@pytest.mark.parametrize(
    ("kind", "needs"),
    [
        ("StableDiffusionXLImg2ImgPipeline", "needs a picture"),
        ("StableDiffusionInpaintPipeline", "needs a picture and a mask"),
        ("FluxFillPipeline", "needs a picture and a mask"),
        ("StableDiffusionControlNetPipeline", "needs a picture that controls it"),
        ("FluxControlPipeline", "needs a picture that controls it"),
        ("StableDiffusionInstructPix2PixPipeline", "needs a picture"),
        ("StableDiffusionUpscalePipeline", "needs a picture"),
        ("StableDiffusionDepth2ImgPipeline", "needs a picture"),
        ("QwenImageEditPipeline", "needs a picture"),
        ("StableVideoDiffusionPipeline", "makes videos"),
        ("StableAudioPipeline", "makes sound"),
    ],
)
def test_pipelines_that_need_more_than_a_prompt(tiny_folder: Folders, tmp_path: Path, kind: str, needs: str) -> None:
    says = refused(indexed(copied(tiny_folder("sd"), tmp_path), _class_name=kind))
    assert needs in says
    assert kind in says


@pytest.mark.parametrize(
    "kind", ["FluxPipeline", "StableDiffusionPipeline", "LatentConsistencyModelPipeline", "SanaPipeline"]
)
def test_pipelines_of_a_prompt_alone_pass(kind: str) -> None:
    check_index("m", {"_class_name": kind})


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("WanPipeline", "makes videos"),
        ("StableDiffusionAttendAndExcitePipeline", "needs token_indices"),
        ("DiTPipeline", "takes no prompt"),
        ("FluxKontextInpaintPipeline", "needs a picture and a mask"),
    ],
)
def test_the_classes_themselves_say_what_they_need(kind: str, says: str) -> None:
    import diffusers

    assert says in (checking._needs_more(getattr(diffusers, kind)) or "")


def test_a_refiner_and_a_denoiser_that_takes_more_channels(tiny_folder: Folders, tmp_path: Path) -> None:
    """The class alone says nothing: the U-Net of an inpainting model takes a picture and a mask in its channels."""
    folder = copied(tiny_folder("sdxl"), tmp_path / "xl")
    assert "it is a refiner" in refused(indexed(folder, requires_aesthetics_score=True))
    for family, denoiser, channels in (("sd", "unet", 9), ("sdxl", "unet", 8), ("flux", "transformer", 384)):
        folder = copied(tiny_folder(family), tmp_path / family)
        rewritten(folder / denoiser / "config.json", partial(dict, in_channels=channels))
        says = refused(folder)
        assert f"takes {channels} channels" in says
        assert "needs a picture or a mask" in says


def test_parts_that_are_null(tiny_folder: Folders, tmp_path: Path) -> None:
    for family, part in (("sd", "text_encoder"), ("flux", "text_encoder_2"), ("flux", "tokenizer")):
        folder = copied(tiny_folder(family), tmp_path / f"{family}-{part}")
        assert f"has no {part}" in refused(indexed(folder, **{part: [None, None]}))
    folder = copied(tiny_folder("sd3"), tmp_path / "sd3")
    accepted(indexed(folder, text_encoder_3=[None, None], tokenizer_3=[None, None]))


@pytest.fixture
def bomb(tmp_path: Path) -> Callable[[Path], Path]:
    """Writes code that leaves a file behind if it is run; the file's path."""

    def write(file: Path) -> Path:
        file.write_text(f"open({str(tmp_path / 'ran')!r}, 'w').write('x')\nclass Mine: pass\n")
        return tmp_path / "ran"

    return write


def test_code_of_a_model_is_not_run(tiny_folder: Folders, tmp_path: Path, bomb: Callable[[Path], Path]) -> None:
    folder = copied(tiny_folder("sd"), tmp_path / "a")
    ran = bomb(folder / "pipeline.py")
    assert "its own code" in refused(indexed(folder, _class_name=["pipeline", "Mine"]))
    assert "no pipeline class 'Mine'" in refused(indexed(folder, _class_name="Mine"))
    folder = copied(tiny_folder("sd"), tmp_path / "b")
    bomb(folder / "unet" / "mine.py")
    assert "the unet of" in (says := refused(indexed(folder, unet=["mine", "Mine"])))
    assert "of its own code: mine.Mine" in says
    with pytest.raises(AutointerpError, match="of its own code"):
        load_model(str(folder), device="cpu")
    assert "scheduler 'Mine'" in refused(
        indexed(copied(tiny_folder("sd"), tmp_path / "c"), scheduler=["diffusers", "Mine"])
    )
    assert not ran.exists()


@pytest.mark.parametrize(
    ("kind", "config", "steps"),
    [
        ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}, None),
        ("UniPCMultistepScheduler", {"use_karras_sigmas": True}, 100),
        ("HeunDiscreteScheduler", {}, 7),
        ("KDPM2DiscreteScheduler", {}, 7),
        ("PNDMScheduler", {}, 20),
    ],
)
def test_schedulers_whose_calls_can_be_told_apart(
    tiny_folder: Folders, tmp_path: Path, kind: str, config: Json, steps: int | None
) -> None:
    folder = scheduled(copied(tiny_folder("sd"), tmp_path), kind, **config)
    (folder / "autointerp.json").unlink()  # Fifty steps, as of the family.
    accepted(folder, **({} if steps is None else {"steps": steps}))


def test_schedulers_that_cannot_be_used(tiny_folder: Folders, tmp_path: Path) -> None:
    folder = copied(tiny_folder("sd"), tmp_path)
    assert "runs the denoiser 3 times in 2 steps" in refused(
        scheduled(folder, "SCMScheduler"), steps=2, capture_steps=[0]
    )
    assert "cannot do 2 steps" in refused(scheduled(folder, "PNDMScheduler"), steps=2, capture_steps=[0])
    assert "cannot do 1001 steps" in refused(scheduled(folder, "DDIMScheduler"), steps=1001)


@pytest.mark.parametrize(
    ("kind", "package"), [("LMSDiscreteScheduler", "scipy"), ("DPMSolverSDEScheduler", "torchsde")]
)
def test_a_library_that_a_scheduler_lacks(
    tiny_folder: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, package: str
) -> None:
    import diffusers

    class Lacking:
        """What diffusers puts in the place of a class whose library is not installed."""

        @classmethod
        def from_config(cls, _config: Any) -> Any:
            raise ImportError(
                f"\n{kind} requires the {package} library. You can install it with pip: `pip install {package}`"
            )

    monkeypatch.setattr(diffusers, kind, Lacking)
    says = refused(scheduled(copied(tiny_folder("sd"), tmp_path), kind))
    assert says.endswith(f"needs the library {package}: pip install {package}")


def test_a_library_that_saved_weights_need(
    tiny_folder: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copied(tiny_folder("flux"), tmp_path)
    saved = {"quantization_config": {"quant_method": "bitsandbytes_4bit", "load_in_4bit": True}}
    rewritten(folder / "transformer" / "config.json", lambda config: {**config, **saved})
    monkeypatch.setattr(checking, "is_installed", lambda package: package != "bitsandbytes")
    assert refused(folder).endswith("needs the library bitsandbytes: pip install bitsandbytes")


def test_a_library_that_quantizes(tiny_folder: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torchao" else name)
    says = refused(copied(tiny_folder("flux"), tmp_path), loading={"quantize": "int8"})
    assert "torchao is not installed" in says


@pytest.mark.parametrize(
    ("file", "variant", "says"),
    [
        ("diffusion_pytorch_model.fp16.safetensors", None, "set loading.variant=fp16"),
        ("diffusion_pytorch_model.fp16-00001-of-00002.safetensors", None, "set loading.variant=fp16"),
        ("diffusion_pytorch_model.fp16.safetensors", "bf16", "no weights of the variant 'bf16'"),
        ("README.md", None, "the unet of 'o/n' has no weights"),
        ("diffusion_pytorch_model.fp16.safetensors", "fp16", None),
        ("diffusion_pytorch_model.bin", None, None),
    ],
)
def test_a_repository_is_judged_by_its_list_of_files(
    tiny_folder: Folders, monkeypatch: pytest.MonkeyPatch, file: str, variant: str | None, says: str | None
) -> None:
    import huggingface_hub

    folder = tiny_folder("sd")
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    listed = [*(name for name in names if not name.startswith("unet/d")), f"unet/{file}"]
    monkeypatch.setattr(checking, "hub_answers", lambda _local: True)
    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", lambda *_args, **_given: listed)
    loading = LoadingSettings(variant=variant)
    of_hub = replace(describe_model(str(folder)), name="o/n", source="o/n", commit="c0ffee", loading=loading)
    if says is None:
        check_model(of_hub, 3)
        return
    with pytest.raises(AutointerpError) as raised:
        check_model(of_hub, 3)
    assert says in str(raised.value)


def test_a_library_that_a_tokenizer_needs(
    tiny_folder: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    def lacking(*_args: Any, **_given: Any) -> Any:
        raise ValueError("`tiktoken` is required to read a `tiktoken` file. Install it with `pip install tiktoken`.")

    monkeypatch.setattr(transformers.T5Tokenizer, "from_pretrained", lacking)
    says = refused(copied(tiny_folder("pixart"), tmp_path))
    assert says.endswith("needs the library tiktoken: pip install tiktoken")


def test_files_are_looked_at_before_they_are_loaded(tiny_folder: Folders, tmp_path: Path) -> None:
    folder = copied(tiny_folder("sd"), tmp_path)
    file = next((folder / "unet").glob("*.safetensors"))
    file.rename(file.with_name("diffusion_pytorch_model.fp16.safetensors"))
    assert refused(folder).endswith("set loading.variant=fp16")
    accepted(folder, loading={"variant": "fp16"})
    file.with_name("diffusion_pytorch_model.fp16.safetensors").unlink()
    assert "the unet of" in (says := refused(folder))
    assert "has no weights" in says


@pytest.mark.parametrize("family", ["sd", "sdxl", "flux", "sd3", "pixart", "pixart-alpha"])
def test_every_family_passes(tiny_folder: Folders, family: str) -> None:
    description = describe_model(str(tiny_folder(family)))
    check_model(description, description.defaults.steps)


def test_a_single_file_is_checked_by_its_configuration(single: Folders, tmp_path: Path) -> None:
    file, config = single("sd"), copied(Path(config_of(single("sd"))), tmp_path)
    check_model(describe_model(str(file), loading=LoadingSettings(config=str(config))), 3)
    scheduled(config, "SCMScheduler")
    with pytest.raises(AutointerpError, match="runs the denoiser 3 times in 2 steps"):
        check_model(describe_model(str(file), loading=LoadingSettings(config=str(config))), 2)
