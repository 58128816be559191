"""Classes that work by hookpoint, each on a tiny pipeline of its real classes."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from functools import cache
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch

from autointerp.diffusion import checking
from autointerp.diffusion.checking import check_classes
from autointerp.diffusion.dry_run import look
from autointerp.diffusion.edits import Edit, add_vector, replace
from autointerp.diffusion.families import GenericFamily
from autointerp.diffusion.families.base import NoDenoisingError
from autointerp.diffusion.families.classes import BY_HOOKPOINT, REFUSED
from autointerp.diffusion.generation import generate
from autointerp.diffusion.jobs import ImageJob
from autointerp.diffusion.layers import list_layers, resolve_layer
from autointerp.diffusion.loading import load_model
from autointerp.diffusion.model import Model
from autointerp.errors import AutointerpError
from tests.diffusion import tiny, tiny_recent
from tests.diffusion.helpers import Models, captured_of, hooks_on, rows_of, settings_of
from tests.diffusion.tiny_closed import CLOSED
from tests.diffusion.tiny_open import OPEN

JOBS = [ImageJob(0, "large red solid circle", 100), ImageJob(1, "star", 101)]
GUIDANCE = {name: 1.0 if name == "HunyuanImagePipeline" else 3.0 for name in BY_HOOKPOINT}
"""HunyuanImage without a guider and without distilled guidance has none."""
CALLS = dict.fromkeys(
    ("Lumina2Pipeline", "NucleusMoEImagePipeline", "BriaFibo2Pipeline", "Cosmos2TextToImagePipeline"), 2
)
LENGTHS = {"Lumina2Pipeline": 64, "NucleusMoEImagePipeline": 320}
"""Tokens that are read where a message of the pipeline comes before each prompt."""
DOUBLED = set(BY_HOOKPOINT) - {"HunyuanImagePipeline", "LuminaPipeline", *CALLS}
"""Classes that put the rows of the prompts behind those without."""
IMAGE = {
    **dict.fromkeys(("BriaPipeline", "BriaFiboPipeline"), 1),
    **dict.fromkeys(("CogView3PlusPipeline", "HiDreamImagePipeline", "HunyuanImagePipeline"), 0),
}
"""Place of the image in what a block returns."""
SIGNS = {
    **dict.fromkeys(BY_HOOKPOINT, 1),
    **dict.fromkeys(("HiDreamImagePipeline", "LuminaPipeline", "Lumina2Pipeline", "NucleusMoEImagePipeline"), -1),
    "Cosmos2TextToImagePipeline": None,
}
"""Sign of the prediction that the scheduler is given; Cosmos gives it what follows from prediction and noise."""


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Model]:
    @cache
    def made(name: str) -> Model:
        folder = tmp_path_factory.mktemp("open") / name
        tiny.save(OPEN[name], folder, max_sequence_length=LENGTHS.get(name, 28))
        return load_model(str(folder), device="cpu", dtype="float32")

    return made


@pytest.mark.parametrize("name", BY_HOOKPOINT)
def test_what_a_row_names_is_read_truly(opened: Callable[[str], Model], name: str) -> None:
    model, row = opened(name), BY_HOOKPOINT[name]
    layers = [resolve_layer(model, path.replace("N", "0"), signal="output") for path in row.works]
    listed = {layer.hookpoint for layer in list_layers(model, all_hookpoints=True)}
    assert {layer.hookpoint for layer in layers} <= listed
    settings = settings_of(model, guidance=GUIDANCE[name])
    got, pictures = captured_of(model, layers, (0, 2), settings, jobs=JOBS)
    seen: dict[str, list[Any]] = {layer.hookpoint: [] for layer in layers}
    handles = [
        model.module(path).register_forward_hook(lambda _m, _a, output, calls=calls: calls.append(output))
        for path, calls in seen.items()
    ]
    plain = [np.asarray(p) for _, made in generate(model, JOBS, settings) for p in made]
    for handle in handles:
        handle.remove()
    for c in got:
        output = seen[c.layer.hookpoint][c.step * CALLS.get(name, 1)]
        if c.layer.hookpoint.startswith("unet."):
            tokens = rows_of(output[0])
        else:
            tokens = output if name not in IMAGE else output[IMAGE[name]]
        tokens = tokens[slice(2, 4) if name in DOUBLED else slice(0, 2)]
        assert torch.equal(c.acts, tokens)
        assert c.acts.shape == (2, c.layer.grid[0] * c.layer.grid[1], c.layer.d_in)
    assert all(np.array_equal(a, b) for a, b in zip(pictures, plain, strict=True))
    assert plain[0].shape == (64, 64, 3)
    same = [Edit(layer, replace(lambda acts, step: acts.clone()), branch="both") for layer in layers]
    kept = [np.asarray(p) for _, made in generate(model, JOBS, settings, edits=same) for p in made]
    assert all(np.array_equal(a, b) for a, b in zip(kept, plain, strict=True))
    moved = [Edit(layers[0], add_vector(torch.linspace(-50, 50, layers[0].d_in)))]
    other = [np.asarray(p) for _, made in generate(model, JOBS, settings, edits=moved) for p in made]
    assert not any(np.array_equal(a, b) for a, b in zip(other, plain, strict=True))
    assert hooks_on(model) == 0


@pytest.mark.parametrize("name", BY_HOOKPOINT)
def test_a_row_of_a_batch_has_the_activations_that_it_has_alone(opened: Callable[[str], Model], name: str) -> None:
    """Captions of different length stand in one batch."""
    model = opened(name)
    layer = resolve_layer(model, BY_HOOKPOINT[name].works[-1].replace("N", "0"))
    settings = settings_of(model, guidance=GUIDANCE[name])
    together, _ = captured_of(model, [layer], (2,), settings, jobs=JOBS, decode=False)
    alone, _ = captured_of(model, [layer], (2,), settings, jobs=JOBS, batch_size=1, decode=False)
    assert torch.allclose(together[0].acts, torch.cat([c.acts for c in alone]), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", BY_HOOKPOINT)
def test_the_sign_of_a_prediction_is_seen(opened: Callable[[str], Model], name: str) -> None:
    model = opened(name)
    look(model, GUIDANCE[name])
    assert isinstance(model.family, GenericFamily)
    assert model.family.sign == SIGNS[name]
    answer, sign = torch.ones(1, 2), SIGNS[name]
    if sign is None:
        with pytest.raises(NoDenoisingError, match="what Cosmos2TextToImagePipeline makes of the prediction"):
            model.family.prediction((answer,))
    else:
        assert torch.equal(model.family.prediction((answer,)), sign * answer)


@pytest.mark.parametrize(("name", "path"), [(name, path) for name, row in BY_HOOKPOINT.items() for path in row.refused])
def test_what_a_row_refuses_is_refused(opened: Callable[[str], Model], name: str, path: str) -> None:
    model = opened(name)
    layer = resolve_layer(model, path.replace("N", "0"), signal="output")
    with pytest.raises(AutointerpError, match="has image tokens and others in one tensor") as refused:
        captured_of(model, [layer], (0,), settings_of(model, guidance=GUIDANCE[name]), jobs=JOBS, decode=False)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("library", ["cosmos_guardrail", "torchvision"])
def test_a_library_that_a_class_needs_is_named(
    opened: Callable[[str], Model], monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    from diffusers.pipelines.cosmos import pipeline_cosmos2_text2image

    description = opened("Cosmos2TextToImagePipeline").description
    check_classes(description)
    monkeypatch.delattr(pipeline_cosmos2_text2image, library)
    monkeypatch.setattr(checking, "find_spec", lambda _: None)
    with pytest.raises(AutointerpError, match=f"needs the library {library}: pip install {library}"):
        check_classes(description)


@pytest.mark.parametrize(
    ("check", "says"),
    [
        ("check_text_safety", r"the guardrail of '.*' refuses the prompt 'star': leave it out of the prompts"),
        ("check_video_safety", r"the guardrail of '.*' refuses a picture: leave out the prompt that made it"),
    ],
)
def test_what_the_guardrail_of_cosmos_refuses_is_said_in_a_line(
    opened: Callable[[str], Model], monkeypatch: pytest.MonkeyPatch, check: str, says: str
) -> None:
    model = opened("Cosmos2TextToImagePipeline")
    settings, checker = settings_of(model, guidance=1.0), model.pipeline.safety_checker
    answers = {"check_text_safety": lambda _self, prompt: prompt != "star", "check_video_safety": lambda *_: None}
    with monkeypatch.context() as patch:
        patch.setattr(type(checker), check, answers[check])
        with pytest.raises(AutointerpError, match=says):
            list(generate(model, JOBS, settings))
    assert vars(checker) == {}
    assert len(list(generate(model, JOBS, settings))) == 1


def test_a_picture_that_hidream_pads_is_refused(opened: Callable[[str], Model]) -> None:
    model = opened("HiDreamImagePipeline")
    wide = settings_of(model, guidance=1.0, size="96x64")
    layer = resolve_layer(model, "transformer.double_stream_blocks.0", signal="output", size=wide.size)
    with pytest.raises(AutointerpError, match="returned 0 tensors of 24 tokens"):
        captured_of(model, [layer], (0,), wide, jobs=JOBS, decode=False)
    assert model.pipeline.default_sample_size == 128


@pytest.mark.parametrize(
    ("name", "build", "kind"),
    [
        ("sd", tiny.sd, "StableDiffusionPAGPipeline"),
        ("sd", tiny.sd, "StableDiffusionSAGPipeline"),
        ("pixart", tiny.pixart, "PixArtSigmaPAGPipeline"),
        ("sana", tiny_recent.sana, "SanaPAGPipeline"),
    ],
)
def test_what_is_refused_by_name_would_be_refused_by_the_dry_run(
    tiny_model: Models, name: str, build: Callable[[], Any], kind: str
) -> None:
    import diffusers

    assert kind in REFUSED
    known, wanted = tiny_model(name), getattr(diffusers, kind)
    taken = set(inspect.signature(wanted.__init__).parameters)
    parts = {part: one for part, one in build().components.items() if part in taken}
    extra = {"requires_safety_checker": False} if "requires_safety_checker" in taken else {}
    described = dataclasses.replace(known.description, family=GenericFamily(kind, known.family.denoiser))
    with pytest.raises(AutointerpError, match="several times a step even without guidance"):
        look(dataclasses.replace(known, pipeline=wanted(**parts, **extra), description=described), 1.0)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Kandinsky5T2IPipeline", "gives no pictures by the name of images"),
        ("OmniGenPipeline", "several times a step even without guidance"),
        ("StableDiffusionGLIGENPipeline", r"does not run on a picture of \d+ px: object of type 'NoneType' has no len"),
        ("DreamLitePipeline", r"does not run on a picture of \d+ px: `prompt` has to be of type `str`"),
        ("DreamLiteMobilePipeline", r"does not run on a picture of \d+ px: `prompt` has to be of type `str`"),
    ],
)
def test_a_dry_run_of_a_class_that_is_refused_by_name_fails(
    tiny_model: Models, monkeypatch: pytest.MonkeyPatch, name: str, reason: str
) -> None:
    from diffusers.pipelines.omnigen import pipeline_omnigen, processor_omnigen

    assert name in REFUSED
    # What needs torchvision reads pictures, and there are none.
    monkeypatch.setattr(processor_omnigen, "transforms", MagicMock(), raising=False)
    reader = processor_omnigen.OmniGenMultiModalProcessor
    monkeypatch.setattr(pipeline_omnigen, "OmniGenMultiModalProcessor", reader, raising=False)
    pipeline, known = CLOSED[name](), tiny_model("sd")
    pipeline.set_progress_bar_config(disable=True)
    family = GenericFamily(name, "unet" if "unet" in pipeline.components else "transformer")
    parts = {part: pipeline.components[part] for part in family.components}
    configs = {part: {**module.config, "_class_name": type(module).__name__} for part, module in parts.items()}
    described = dataclasses.replace(known.description, family=family, configs=configs)
    with pytest.raises(AutointerpError, match=reason):
        look(dataclasses.replace(known, pipeline=pipeline, description=described), 1.0)


def test_a_guider_that_no_setting_reaches_is_refused(opened: Callable[[str], Model]) -> None:
    from diffusers import ClassifierFreeGuidance

    model = opened("HunyuanImagePipeline")
    fresh = dataclasses.replace(model.description, family=GenericFamily("HunyuanImagePipeline", "transformer"))
    model.pipeline.guider = ClassifierFreeGuidance(guidance_scale=3.5)
    try:
        with pytest.raises(AutointerpError, match="runs its denoiser several times a step even without guidance"):
            look(dataclasses.replace(model, description=fresh), 1.0)
    finally:
        model.pipeline.guider = None
