"""Families of 2025 and 2026, each on a tiny pipeline of its real classes; a pipeline is run once for most of this."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

from autointerp.diffusion import checking
from autointerp.diffusion.capture import LayerActivations
from autointerp.diffusion.checking import check_classes
from autointerp.diffusion.edits import Edit, add_vector, replace
from autointerp.diffusion.families import Configs, family_of
from autointerp.diffusion.families.denoiser_tree import blocks_of
from autointerp.diffusion.generation import generate
from autointerp.diffusion.jobs import ImageJob
from autointerp.diffusion.layers import Layer, list_layers, mlp_of, neurons_of, resolve_layer
from autointerp.diffusion.loading import load_model
from autointerp.diffusion.model import Model
from autointerp.diffusion.noising import answering, denoising_at, noise_share, noised, of_unit_scale
from autointerp.diffusion.passes import Pass
from autointerp.diffusion.real import encode_pictures
from autointerp.diffusion.running import run_pipeline
from autointerp.diffusion.seen_text import SeenText
from autointerp.diffusion.stepping import listening
from autointerp.diffusion.tokens import TokenReader
from autointerp.diffusion.words import attention_of
from autointerp.errors import AutointerpError, UsageError
from tests.diffusion import tiny_recent
from tests.diffusion.helpers import captured_of, hooks_on, rows_of, settings_of
from tests.diffusion.tiny_parts import without_torchvision

NAMES = list(tiny_recent.RECENT)
JOBS = [ImageJob(0, "large red solid circle", 100), ImageJob(1, "star", 101)]


class Case(NamedTuple):
    """A guided run: what was captured, what hooks by hand saw in each call of the denoiser, and the pictures."""

    model: Model
    layers: list[Layer]
    got: list[LayerActivations]
    seen: dict[str, list[Any]]
    pictures: list[np.ndarray]
    plain: list[np.ndarray]


@pytest.fixture(scope="module")
def case(tiny_folder: Callable[[str], Path]) -> Callable[[str], Case]:
    @cache
    def made(name: str) -> Case:
        folder = tiny_folder(name)
        with without_torchvision():
            model = load_model(str(folder), device="cpu", dtype="float32")
        settings = settings_of(model, guidance=tiny_recent.GUIDED[name])
        layers = [resolve_layer(model, alias, signal="output") for alias in model.aliases]
        if model.family.text is not None:
            layers += list_layers(model, stream="text")
        got, pictures = captured_of(model, layers, (0, 2), settings, jobs=JOBS)
        seen: dict[str, list[Any]] = {layer.hookpoint: [] for layer in layers}
        handles = [
            model.module(path).register_forward_hook(lambda _m, _a, output, calls=calls: calls.append(output))
            for path, calls in seen.items()
        ]
        plain = [np.asarray(p) for _, made in generate(model, JOBS, settings) for p in made]
        for handle in handles:
            handle.remove()
        return Case(model, layers, got, seen, pictures, plain)

    return made


CALLS = dict.fromkeys(
    ("flux2-klein-base", "qwen-image", "chroma", "ovis-image", "longcat-image", "cogview4", "qwen-image-21", "krea2"), 2
)
"""Calls a step under guidance; the first is that of the prompt."""
ROWS = {"z-image": slice(0, 2), **dict.fromkeys(("sana", "prx", "kolors", "aura-flow", "ernie-image"), slice(2, 4))}
"""Rows of the prompts in a batch that guidance doubles."""
MARKED = ("cogview4", "ernie-image")
"""Models whose tokenizer here marks the beginning of a text."""
EMBEDDED = ("flux2", "flux-kontext", "lcm", "sana-sprint")
"""Models whose guidance is an input of the same call."""


def by_hand(name: str, layer: Layer, output: Any, cells: int, text: int) -> torch.Tensor:
    """The tokens of a layer's stream, as the source of each class lays them out."""
    if layer.hookpoint.startswith("unet."):
        return rows_of(output[0])
    if name == "aura-flow":  # eight registers stand before the text
        text += 8
        parts = output if isinstance(output, tuple) else (output[:, :text], output[:, text:])
        return parts[0][:, 8:] if layer.stream == "text" else parts[1]
    if isinstance(output, tuple):
        first = "image" if name == "cogview4" else "text"
        return output[0 if layer.stream == first else 1]
    if name == "ernie-image":  # [tokens, images, width], the image first
        return (output[cells:] if layer.stream == "text" else output[:cells]).transpose(0, 1)
    if name == "z-image":  # the image's tokens, a multiple of 32, stand first
        return output[:, cells:] if layer.stream == "text" else output[:, :cells]
    if name == "krea2":  # the text first, or alone
        return output[:, :text] if layer.stream == "text" else output[:, text:]
    if layer.hookpoint.startswith("transformer.single") or name == "qwen-image-21":
        text = output.shape[1] - cells
        return output[:, :text] if layer.stream == "text" else output[:, text:]
    return output


@pytest.mark.parametrize("name", NAMES)
def test_captured_tensors_are_bit_for_bit_what_plain_hooks_see(case: Callable[[str], Case], name: str) -> None:
    one = case(name)
    assert len(one.got) == 2 * len(one.layers)
    cells = one.layers[0].grid[0] ** 2
    for c in one.got:
        calls = one.seen[c.layer.hookpoint]
        assert len(calls) == 3 * CALLS.get(name, 1)
        text = one.model.defaults.max_sequence_length
        tokens = by_hand(name, c.layer, calls[c.step * CALLS.get(name, 1)], cells, text)
        tokens = tokens[ROWS.get(name, slice(0, 2))]
        kept = min(tokens.shape[1], c.acts.shape[1])
        ends = (tokens, c.acts) if name != "cogview4" else (tokens.flip(1), c.acts.flip(1))  # padded in front
        assert torch.equal(ends[1][:, :kept], ends[0][:, :kept])
        assert not ends[1][:, kept:].any()
        assert c.acts.shape == (2, c.layer.grid[0] * c.layer.grid[1], c.layer.d_in)
    assert all(np.array_equal(a, b) for a, b in zip(one.pictures, one.plain, strict=True))
    assert one.plain[0].shape == (64, 64, 3)
    assert hooks_on(one.model) == 0


@pytest.mark.parametrize("name", NAMES)
def test_what_is_harvested_is_of_the_prompt(case: Callable[[str], Case], name: str) -> None:
    """Without guidance the same activations come at the first step; with another prompt others do."""
    one = case(name)
    layer = one.layers[1]
    first = next(c.acts for c in one.got if c.layer == layer and c.step == 0)
    unguided, _ = captured_of(one.model, [layer], (0,), settings_of(one.model, guidance=1.0), jobs=JOBS, decode=False)
    assert name in EMBEDDED or torch.allclose(unguided[0].acts, first, rtol=1e-4, atol=1e-5)
    settings = settings_of(one.model, guidance=tiny_recent.GUIDED[name])
    changed = [dataclasses.replace(job, prompt="small blue ring") for job in JOBS]
    other, _ = captured_of(one.model, [layer], (0,), settings, jobs=changed, decode=False)
    assert not torch.allclose(other[0].acts, first, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_padding_and_templates_are_left_out(case: Callable[[str], Case], name: str) -> None:
    one = case(name)
    texts = [c for c in one.got if c.layer.stream == "text"]
    assert bool(texts) == (one.model.family.text is not None)
    assert all(c.mask is None for c in one.got if c.layer.stream == "image")
    for c in texts:
        reader = TokenReader(one.model.description)
        assert c.mask is not None
        assert len(c.flat()) == int(c.mask.sum())
        for job, mask in zip(c.jobs, c.mask, strict=True):
            words = [token for token, own in zip(reader.read(job.prompt), mask.tolist(), strict=True) if own]
            marks = {"Ġ": " ", "▁": " ", "</s>": "", **({"<|im_start|>": ""} if name in MARKED else {})}
            said = "".join(words)
            for mark, plain in marks.items():
                said = said.replace(mark, plain)
            assert said.strip() == job.prompt


@pytest.mark.parametrize("name", NAMES)
def test_the_same_put_back_changes_nothing_and_another_does(case: Callable[[str], Case], name: str) -> None:
    one = case(name)
    settings = settings_of(one.model, guidance=tiny_recent.GUIDED[name])
    same = [Edit(layer, replace(lambda acts, step: acts.clone()), branch="both") for layer in one.layers]
    kept = [np.asarray(p) for _, made in generate(one.model, JOBS, settings, edits=same) for p in made]
    assert all(np.array_equal(a, b) for a, b in zip(kept, one.plain, strict=True))
    first_of_each_stream = {layer.stream: layer for layer in reversed(one.layers)}
    for layer in first_of_each_stream.values():
        moved = [Edit(layer, add_vector(torch.linspace(-50, 50, layer.d_in)))]
        other = [np.asarray(p) for _, made in generate(one.model, JOBS, settings, edits=moved) for p in made]
        assert not any(np.array_equal(a, b) for a, b in zip(other, one.plain, strict=True))
    assert hooks_on(one.model) == 0


@pytest.mark.parametrize("name", NAMES)
def test_every_layer_and_its_neurons_have_the_shape_they_say(case: Callable[[str], Case], name: str) -> None:
    model = case(name).model
    layers = list_layers(model, all_hookpoints=True)
    if model.family.text is not None:
        layers += list_layers(model, all_hookpoints=True, stream="text")
    layers = [dataclasses.replace(layer, signal="output") for layer in layers]
    if not model.family.has_neurons:
        for inside in (neurons_of, mlp_of):
            with pytest.raises(UsageError, match="MLP") as refused:
                inside(model, layers[0])
            assert refused.value.hint == "fit another kind than neurons and transcoders"
    else:
        layers += [neurons_of(model, one) for one in layers if "unet" not in one.hookpoint or ".att" in one.hookpoint]
    got, _ = captured_of(model, layers, (0,), settings_of(model, guidance=1.0), jobs=JOBS, decode=False)
    assert [c.layer for c in got].count(layers[0]) == 1
    assert {c.layer for c in got} == set(layers)


@pytest.mark.parametrize("name", NAMES)
def test_real_pictures_take_the_form_that_the_denoiser_is_given(
    case: Callable[[str], Case], name: str, photos: Path
) -> None:
    model = case(name).model
    batch = Pass(model, (JOBS[0],), settings_of(model, guidance=1.0))
    with Image.open(photos / "a.png") as picture:
        encoded = encode_pictures(model, [picture])
    noises: list[torch.Tensor] = []

    def note(_run: int, noise: torch.Tensor) -> torch.Tensor:
        noises.append(noise)
        return encoded

    with denoising_at(batch, (0,), note):
        run_pipeline(batch, stop_after=0)
    assert noises[0].shape == encoded.shape
    if name == "ernie-image":  # as the pipeline undoes it before it decodes
        norm = model.pipeline.vae.bn
        raw = encoded * (norm.running_var.view(1, -1, 1, 1) + 1e-5).sqrt() + norm.running_mean.view(1, -1, 1, 1)
        pixels = model.pipeline.image_processor.preprocess(picture)
        theirs = model.pipeline.vae.encode(pixels).latent_dist.mode()
        assert torch.allclose(model.pipeline._unpatchify_latents(raw), theirs, rtol=1e-5, atol=1e-6)
    if name == "qwen-image-21":  # it encodes reference pictures itself, with how opaque they are
        pixels = model.pipeline.image_processor.preprocess(picture.convert("RGBA")).unsqueeze(2)
        theirs = model.pipeline._encode_vae_image(pixels, torch.Generator())
        assert torch.allclose(theirs.flatten(2).transpose(1, 2), encoded, atol=1e-5)
    if name.startswith("flux2"):  # FLUX.2 encodes pictures itself, for those that it edits
        pixels = model.pipeline.image_processor.preprocess(picture)
        theirs = model.pipeline._encode_vae_image(pixels, torch.Generator())
        assert torch.allclose(model.pipeline._pack_latents(theirs), encoded, atol=1e-5)


@pytest.mark.parametrize("name", ["longcat-image", "prx"])
def test_a_run_without_pictures_ends_in_pipelines_that_cannot_be_told(case: Callable[[str], Case], name: str) -> None:
    one, calls = case(name), []
    handle = one.model.denoiser.register_forward_pre_hook(lambda *_: calls.append(1))
    settings = settings_of(one.model, guidance=3.0)
    got, _ = captured_of(one.model, one.layers[:1], (1,), settings, jobs=JOBS, decode=False)
    handle.remove()
    assert len(got) == 1
    assert len(calls) == 2 * CALLS.get(name, 1)


def test_longcat_counts_the_letters_of_what_is_quoted(case: Callable[[str], Case]) -> None:
    model, prompt = case("longcat-image").model, 'a star with the word "red" in it'
    pipeline, read = model.pipeline, []
    handle = pipeline.text_encoder.register_forward_pre_hook(lambda _m, _a, kw: read.append(kw), with_kwargs=True)
    list(generate(model, [ImageJob(0, prompt, 0)], settings_of(model, steps=1)))
    handle.remove()
    marks = [pipeline.prompt_template_encode_prefix, pipeline.prompt_template_encode_suffix]
    template = sum(len(pipeline.tokenizer(text).input_ids) for text in marks)
    assert sum(TokenReader(model.description).own(prompt)) == int(read[0]["attention_mask"].sum()) - template
    tokens = TokenReader(model.description).read(prompt)
    start = tokens.index('"')
    assert tokens[start : start + 5] == ['"', "r", "e", "d", '"']


def test_a_tokenizer_that_diffusers_has_beside_a_pipeline_is_found(case: Callable[[str], Case]) -> None:
    seen = SeenText(case("kolors").model.description)
    assert seen.limit == 28
    assert seen.of("large red solid circle " * 9).count("large") in range(2, 8)


def test_a_library_that_a_pipeline_needs_is_named(case: Callable[[str], Case], monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers.pipelines.prx import pipeline_prx

    description = case("prx").model.description
    check_classes(description)
    monkeypatch.delattr(pipeline_prx, "ftfy")
    monkeypatch.setattr(checking, "find_spec", lambda _: None)
    with pytest.raises(AutointerpError, match=r"needs the library ftfy: pip install ftfy"):
        check_classes(description)


def test_a_pipeline_without_negative_prompts_refuses_them(case: Callable[[str], Case]) -> None:
    model = case("flux2-klein-base").model
    with pytest.raises(UsageError, match="Flux2KleinPipeline at guidance 3 takes no negative prompt"):
        list(generate(model, [dataclasses.replace(JOBS[0], negative="star")], settings_of(model, guidance=3.0)))


def test_word_maps_of_a_family_that_does_not_tell_are_refused(case: Callable[[str], Case]) -> None:
    with pytest.raises(UsageError, match="it is not known where QwenImagePipeline attends .*: leave words out"):
        attention_of(case("qwen-image").model.description)


def test_a_distilled_klein_refuses_guidance(case: Callable[[str], Case]) -> None:
    model = case("flux2-klein").model
    assert model.family.read_defaults(model.configs) == {"steps": 4, "guidance": 0.0}
    with pytest.raises(UsageError, match="ignores guidance"):
        list(generate(model, JOBS, settings_of(model, guidance=2.0)))


def test_qwen_image_is_never_run_with_guidance_silently_off(case: Callable[[str], Case]) -> None:
    one = case("qwen-image")
    plain = [np.asarray(p) for _, made in generate(one.model, JOBS, settings_of(one.model, guidance=1.0)) for p in made]
    assert not any(np.array_equal(a, b) for a, b in zip(plain, one.plain, strict=True))
    assert one.model.family.call(one.model.configs, 4.0, 2).arguments["negative_prompt"] == [" ", " "]


def test_z_image_has_the_image_first_and_an_unknown_form_is_refused() -> None:
    from autointerp.diffusion.families.z_image import Z_IMAGE, ZImageText

    image, text = torch.randn(2, 32, 8), torch.randn(2, 64, 8)
    joint = torch.cat([image, text], 1)
    before, after = Z_IMAGE.image_tokens({"x": joint}, joint + 1, 64, 20)
    assert before is not None
    assert torch.equal(before, image[:, :20])
    assert torch.equal(after, image[:, :20] + 1)
    assert torch.equal(ZImageText().tokens({"x": joint}, joint + 1, 64, 20)[1], text + 1)
    assert torch.equal(ZImageText().put({}, joint, text + 3), torch.cat([image, text + 3], 1))
    for wrong in (joint[:, 1:], (image, text)):
        with pytest.raises(AutointerpError, match="not known"):
            Z_IMAGE.image_tokens({"x": joint}, wrong, 64, 20)


def test_qwen_image_21_is_read_as_with_its_cache_of_the_text(case: Callable[[str], Case]) -> None:
    """The pipeline by itself runs later steps on the image alone, whose tokens and pictures are the same."""
    one = case("qwen-image-21")
    pipeline, layer, cells = one.model.pipeline, one.layers[1], one.layers[1].grid[0] ** 2
    outputs: list[torch.Tensor] = []
    handle = one.model.module(layer.hookpoint).register_forward_hook(lambda _m, _a, out: outputs.append(out))
    with torch.inference_mode():
        made = pipeline(
            prompt=[job.prompt for job in JOBS],
            negative_prompt=[" ", " "],
            true_cfg_scale=3.0,
            num_inference_steps=3,
            height=64,
            width=64,
            generator=[torch.Generator().manual_seed(job.seed) for job in JOBS],
        )
    handle.remove()
    assert outputs[0].shape[1] > outputs[2].shape[1] == cells
    for c in one.got:
        if c.layer == layer:
            found = one.model.family.image_tokens({}, outputs[2 * c.step], outputs[0].shape[1] - cells, cells)[1]
            assert torch.allclose(found, c.acts, rtol=1e-4, atol=1e-5)
    for picture, plain in zip(made.images, one.plain, strict=True):
        assert picture.mode == "RGBA"
        laid = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
        assert np.abs(np.asarray(laid, int) - plain).max() <= 1


def test_the_stand_in_of_qwen_image_21_is_no_other_tests(case: Callable[[str], Case]) -> None:
    import transformers

    own = type(case("qwen-image-21").model.pipeline.processor)
    assert own.__name__ == transformers.Qwen3VLProcessor.__name__
    assert transformers.Qwen3VLProcessor is not own
    with without_torchvision():
        assert transformers.Qwen3VLProcessor.__call__.__module__.startswith("tests.")
    assert transformers.Qwen3VLProcessor is transformers.models.qwen3_vl.processing_qwen3_vl.Qwen3VLProcessor


def test_a_prediction_of_qwen_image_21_leaves_the_text_out(case: Callable[[str], Case]) -> None:
    family = case("qwen-image-21").model.family
    text, image = torch.randn(2, 5, 4), torch.randn(2, 16, 4)
    assert torch.equal(family.prediction((torch.cat([text, image], 1),), 16), image)


def test_the_text_of_qwen_image_21_is_what_follows_its_system_message(case: Callable[[str], Case]) -> None:
    model, read = case("qwen-image-21").model, []
    handle = model.denoiser.register_forward_pre_hook(
        lambda _m, _a, kw: read.append(kw["encoder_hidden_states"].shape[1]), with_kwargs=True
    )
    list(generate(model, JOBS[:1], settings_of(model, steps=1)))
    handle.remove()
    stream = model.family.text_stream()
    assert read == [len(model.pipeline.processor.tokenizer(stream.render(None, JOBS[0].prompt)).input_ids)]


def test_steps_of_qwen_image_21_may_be_in_its_files() -> None:
    family = family_of("QwenImage21Pipeline")
    assert family.read_defaults({"model_index": {"sample_sigmas": [1.0, 0.8, 0.5, 0.2]}}) == {"steps": 4}
    assert family.read_defaults({"model_index": {}}) == {}


def test_guidance_of_krea_2_is_told_as_elsewhere(case: Callable[[str], Case]) -> None:
    """The pipeline adds g (cond - uncond) to cond, which is a scale of 1 + g."""
    one = case("krea2")
    call = one.model.family.call
    assert call(one.model.configs, 3.0, 2) == ({"guidance_scale": 2.0}, 2, 0)
    assert call(one.model.configs, 1.0, 2) == call(one.model.configs, 0.0, 2) == ({"guidance_scale": 0.0}, 1, 0)
    assert one.model.family.read_defaults({"model_index": {"is_distilled": True}}) == {"steps": 8, "guidance": 0.0}
    predicted: list[torch.Tensor] = []
    given: list[torch.Tensor] = []
    handle = one.model.denoiser.register_forward_hook(lambda _m, _a, out: predicted.append(out[0]))
    with listening(one.model.pipeline.scheduler, lambda answer, _: given.append(answer)):
        list(generate(one.model, JOBS, settings_of(one.model, guidance=3.0, steps=1)))
    handle.remove()
    conditional, other = predicted
    assert torch.allclose(given[0], other + 3.0 * (conditional - other), atol=1e-5)


def test_the_end_of_krea_2s_template_is_never_taken_for_a_prompt(case: Callable[[str], Case]) -> None:
    """It stands behind the padding, so that a long prompt is cut before it."""
    model, long = case("krea2").model, "large red solid circle " * 60
    pipeline = model.pipeline
    length = model.defaults.max_sequence_length
    text = [pipeline.prompt_template_encode_prefix + long]
    how = {"truncation": True, "padding": "max_length", "max_length": length + 34 - 5}
    kept = pipeline.tokenizer(text, **how).input_ids[0][34:]
    reader = TokenReader(model.description)
    own = reader.own(long)
    assert sum(own[-10:]) == 5
    assert not any(own[-5:])
    assert reader.read(long)[:-5] == pipeline.tokenizer.convert_ids_to_tokens(kept)
    seen = SeenText(model.description).of(long)
    assert long.startswith(seen)
    assert 0 <= sum(own) - len(pipeline.tokenizer(seen).input_ids) <= 2


def test_angles_of_sana_sprint_are_noise_levels_of_flow_matching(case: Callable[[str], Case]) -> None:
    """A denoiser that knows the picture is led to it, by inputs that are mixed as pictures are noised."""
    model = case("sana-sprint").model
    scheduler, settings = model.pipeline.scheduler, settings_of(model, steps=2)
    batch = Pass(model, (JOBS[0],), settings)
    clean, noise = torch.randn(1, 4, 4, 4), torch.randn(1, 4, 4, 4)
    given: list[torch.Tensor] = []
    after: list[torch.Tensor] = []

    def knowing(inputs: dict[str, Any]) -> Any:
        given.append(inputs["hidden_states"])
        share = noise_share(scheduler, len(given) - 1)
        return model.family.answer((given[-1] - clean) / share)

    with answering(model, knowing):
        run_pipeline(batch, after_step=lambda _run, latents: after.append(of_unit_scale(scheduler, latents)))
    assert torch.allclose(after[-1], clean, atol=1e-5)
    assert scheduler.timesteps.tolist() == pytest.approx([1.5708, 1.3, 0.0])
    angle = scheduler.timesteps[1]
    drawn = (after[0] - angle.cos() * clean) / angle.sin()
    assert torch.allclose(given[1], noised(model, 1, clean, drawn), atol=1e-5)
    assert torch.allclose(noised(model, 0, clean, noise), noise, atol=1e-4)
    (told,) = model.family.timesteps(noise_share(scheduler, 1))
    assert told == pytest.approx(1.3)
    list(generate(model, JOBS[:1], settings_of(model, steps=4)))
    assert scheduler.timesteps.tolist() == pytest.approx([1.5708 * share for share in (1, 0.75, 0.5, 0.25, 0)])


def test_guidance_of_sana_sprint_is_an_input(case: Callable[[str], Case]) -> None:
    one = case("sana-sprint")
    plain = [np.asarray(p) for _, made in generate(one.model, JOBS, settings_of(one.model, guidance=1.0)) for p in made]
    assert not any(np.array_equal(a, b) for a, b in zip(plain, one.plain, strict=True))
    with pytest.raises(UsageError, match="SanaSprintPipeline at guidance 3 takes no negative prompt"):
        list(generate(one.model, [dataclasses.replace(JOBS[0], negative="star")], settings_of(one.model, guidance=3.0)))


def test_ernie_image_has_the_image_first_and_the_tokens_before_the_rows(case: Callable[[str], Case]) -> None:
    family = case("ernie-image").model.family
    image, text = torch.randn(16, 2, 4), torch.randn(5, 2, 4)
    joint = torch.cat([image, text])
    before, after = family.image_tokens({"x": joint}, joint + 1, 5, 16)
    assert before is not None
    assert torch.equal(before, image.transpose(0, 1))
    assert torch.equal(after, image.transpose(0, 1) + 1)
    assert torch.equal(family.text_stream().tokens({"x": joint}, joint, 5, 0)[1], text.transpose(0, 1))
    changed = family.text_stream().put({}, joint, text.transpose(0, 1) + 3)
    assert torch.equal(changed, torch.cat([image, text + 3]))
    assert torch.equal(family.put_image_tokens({}, joint, image.transpose(0, 1) + 3), torch.cat([image + 3, text]))
    for wrong in (joint[1:], joint.transpose(0, 1), (image, text)):
        with pytest.raises(AutointerpError, match="not known"):
            family.image_tokens({"x": joint}, wrong, 5, 16)


def test_the_model_that_rewrites_prompts_of_ernie_image_is_not_loaded(case: Callable[[str], Case]) -> None:
    model = case("ernie-image").model
    assert model.description.index["pe"][1] == "Ministral3ForCausalLM"
    assert model.pipeline.pe is None
    assert model.family.call(model.configs, 1.0, 2).arguments["use_pe"] is False


def test_registers_of_aura_flow_are_neither_text_nor_image(case: Callable[[str], Case]) -> None:
    family = case("aura-flow").model.family
    registers, text, image = torch.zeros(2, 8, 4), torch.randn(2, 5, 4), torch.randn(2, 16, 4)
    joint = torch.cat([registers, text, image], 1)
    before, after = family.image_tokens({"hidden_states": joint}, joint + 1, 5, 16)
    assert before is not None
    assert torch.equal(before, image)
    assert torch.equal(after, image + 1)
    assert torch.equal(family.text_stream().tokens({"hidden_states": joint}, joint, 5, 0)[1], text)
    changed = family.text_stream().put({}, joint, text + 3)
    assert torch.equal(changed, torch.cat([registers, text + 3, image], 1))
    for wrong in (joint[:, 1:], torch.cat([text, image], 1), (text, image)):
        with pytest.raises(AutointerpError, match="not known"):
            family.image_tokens({"hidden_states": joint}, wrong, 5, 16)


def test_reference_pictures_would_be_seen(case: Callable[[str], Case]) -> None:
    """Their tokens stand behind the image's, so a call with some has more image tokens than its grid has cells."""
    family = case("flux2").model.family
    text, image = torch.randn(2, 5, 8), torch.randn(2, 24, 8)
    _, after = family.image_tokens({"hidden_states": image, "encoder_hidden_states": text}, (text, image), 5, 24)
    assert after.shape[1] == 24
    with pytest.raises(AutointerpError, match="not known"):
        family.image_tokens({"hidden_states": image, "encoder_hidden_states": text}, (text, image), 5, 16)


DOUBLE, SINGLE = "transformer.transformer_blocks.{}", "transformer.single_transformer_blocks.{}"
HALVES_THREE_TIMES = {"block_out_channels": [128, 256, 512, 512]}
# class -> (denoiser, its configuration beside the defaults, autoencoder, aliases, width, side of the grid at 1024 px)
FULL_SIZE: dict[str, tuple[str, dict[str, Any], dict[str, Any], list[str], int, int]] = {
    "Flux2Pipeline": (
        "Flux2Transformer2DModel",
        {"num_layers": 8, "num_single_layers": 48, "num_attention_heads": 48, "attention_head_dim": 128},
        HALVES_THREE_TIMES,
        [DOUBLE.format(3), DOUBLE.format(7), SINGLE.format(23)],
        6144,
        64,
    ),
    "Flux2KleinPipeline": (
        "Flux2Transformer2DModel",
        {"num_layers": 5, "num_single_layers": 20, "num_attention_heads": 24, "attention_head_dim": 128},
        HALVES_THREE_TIMES,
        [DOUBLE.format(2), DOUBLE.format(4), SINGLE.format(9)],
        3072,
        64,
    ),
    "ZImagePipeline": (
        "ZImageTransformer2DModel",
        {"n_layers": 30, "n_refiner_layers": 2, "dim": 3840},
        HALVES_THREE_TIMES,
        [f"transformer.layers.{i}" for i in (7, 15, 22)],
        3840,
        64,
    ),
    "QwenImagePipeline": (
        "QwenImageTransformer2DModel",
        {"num_layers": 60, "num_attention_heads": 24, "attention_head_dim": 128},
        {"temperal_downsample": [False, True, True]},
        [DOUBLE.format(i) for i in (15, 30, 45)],
        3072,
        64,
    ),
    "QwenImage21Pipeline": (
        "QwenImage21Transformer2DModel",
        {"num_layers": 32, "num_attention_heads": 32, "attention_head_dim": 128},
        {"temperal_downsample": [False, True, True, True], "scale_factor_spatial": 16},
        [DOUBLE.format(i) for i in (8, 16, 24)],
        4096,
        64,
    ),
    "Krea2Pipeline": (
        "Krea2Transformer2DModel",
        {"num_layers": 28, "num_attention_heads": 48, "attention_head_dim": 128, "num_layerwise_text_blocks": 0},
        {"temperal_downsample": [False, True, True]},
        [DOUBLE.format(i) for i in (7, 14, 21)],
        6144,
        64,
    ),
    "SanaPipeline": (
        "SanaTransformer2DModel",
        {"num_layers": 20, "num_attention_heads": 70, "attention_head_dim": 32, "patch_size": 1, "sample_size": 32},
        {"encoder_block_out_channels": [128, 256, 512, 512, 1024, 1024]},
        [DOUBLE.format(i) for i in (5, 10, 15)],
        2240,
        32,
    ),
    "SanaSprintPipeline": (
        "SanaTransformer2DModel",
        {
            "num_layers": 20,
            "num_attention_heads": 70,
            "attention_head_dim": 32,
            "patch_size": 1,
            "guidance_embeds": True,
        },
        {"encoder_block_out_channels": [128, 256, 512, 512, 1024, 1024]},
        [DOUBLE.format(i) for i in (5, 10, 15)],
        2240,
        32,
    ),
    "ChromaPipeline": (
        "ChromaTransformer2DModel",
        {"num_layers": 19, "num_single_layers": 38, "num_attention_heads": 24, "attention_head_dim": 128},
        HALVES_THREE_TIMES,
        [DOUBLE.format(9), DOUBLE.format(18), SINGLE.format(18)],
        3072,
        64,
    ),
    "LongCatImagePipeline": (
        "LongCatImageTransformer2DModel",
        {"num_layers": 19, "num_single_layers": 38, "num_attention_heads": 24, "attention_head_dim": 128},
        HALVES_THREE_TIMES,
        [DOUBLE.format(9), DOUBLE.format(18), SINGLE.format(18)],
        3072,
        64,
    ),
    "CogView4Pipeline": (
        "CogView4Transformer2DModel",
        {"num_layers": 28, "num_attention_heads": 32, "attention_head_dim": 128, "patch_size": 2},
        HALVES_THREE_TIMES,
        [DOUBLE.format(i) for i in (7, 14, 21)],
        4096,
        64,
    ),
    "AuraFlowPipeline": (
        "AuraFlowTransformer2DModel",
        {"num_mmdit_layers": 4, "num_single_dit_layers": 32, "num_attention_heads": 12, "attention_head_dim": 256},
        HALVES_THREE_TIMES,
        [SINGLE.format(i) for i in (5, 14, 23)],
        3072,
        64,
    ),
    "ErnieImagePipeline": (
        "ErnieImageTransformer2DModel",
        {"num_layers": 36, "hidden_size": 4096, "num_attention_heads": 32, "patch_size": 1},
        HALVES_THREE_TIMES,
        [f"transformer.layers.{i}" for i in (9, 18, 27)],
        4096,
        64,
    ),
    "PRXPipeline": (
        "PRXTransformer2DModel",
        {"depth": 16, "hidden_size": 1792, "patch_size": 2},
        HALVES_THREE_TIMES,
        [f"transformer.blocks.{i}" for i in (4, 8, 12)],
        1792,
        64,
    ),
    "OvisImagePipeline": (
        "OvisImageTransformer2DModel",
        {"num_layers": 6, "num_single_layers": 27, "num_attention_heads": 24, "attention_head_dim": 128},
        HALVES_THREE_TIMES,
        [DOUBLE.format(2), DOUBLE.format(5), SINGLE.format(13)],
        3072,
        64,
    ),
}


@pytest.mark.parametrize("pipeline_class", FULL_SIZE)
def test_a_full_size_model_has_every_hookpoint_with_its_width(pipeline_class: str) -> None:
    """The real class is built on the meta device; the entry read its configuration alone."""
    kind, sizes, vae, aliases, width, side = FULL_SIZE[pipeline_class]
    family = family_of(pipeline_class)
    configs: Configs = {"transformer": sizes, "vae": vae, "model_index": {}}
    blocks = {f"transformer.{block.path}": block.width for block in blocks_of({"_class_name": kind, **sizes})}
    assert list(family.aliases(configs).values()) == aliases
    streams = [family.hookpoints(configs), family.text.hookpoints(configs) if family.text else []]
    assert {hookpoint for stream in streams for hookpoint in stream} == set(blocks)
    for hookpoint, found in blocks.items():
        own = 2560 if "text_fusion" in hookpoint else width  # Krea 2's text has its own width before it is joined.
        assert found == family.width(configs, hookpoint) == own
    assert 1024 // family.cell_pixels(configs, aliases[0]) == side
