"""Every family on a tiny pipeline of its real classes: what capture hands over, and what a splice puts back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autointerp.diffusion.capture import Calls, Captured
from autointerp.diffusion.families.generic import generic_image_tokens, generic_put_image_tokens
from autointerp.diffusion.families.sd3 import sd3_image_tokens, sd3_put_image_tokens
from autointerp.diffusion.families.unet import unet_image_tokens, unet_put_image_tokens
from autointerp.diffusion.generation import GenerationSettings, ImageJob, generate, steps_of_calls
from autointerp.diffusion.layers import Layer, list_layers, neurons_of, resolve_layer
from autointerp.diffusion.loading import Model, load_model
from autointerp.diffusion.splice import UNCHANGED, splice_images, zeroed
from autointerp.errors import AutointerpError, UsageError

from . import tiny

JOBS = [ImageJob(n, prompt, 100 + n) for n, prompt in enumerate(["large red solid circle", "small blue star"])]
NAMES = list(tiny.FAMILIES)
Models = Callable[[str], Model]


def settings_of(model: Model, guided: str | None = None, **overrides: Any) -> GenerationSettings:
    given = {"guidance": tiny.GUIDED[guided], **overrides} if guided else overrides
    return GenerationSettings.resolve(model.defaults, given)


def captured_of(
    model: Model, layers: list[Layer], steps: tuple[int, ...], settings: GenerationSettings, **how: Any
) -> tuple[list[Captured], list[np.ndarray]]:
    got: list[Captured] = []

    def keep(c: Captured) -> None:
        got.append(dataclasses.replace(c, acts=c.acts.clone()))

    jobs = how.pop("jobs", JOBS)
    batches = list(generate(model, jobs, settings, layers, steps, keep, **how))
    return got, [np.asarray(picture) for _, pictures in batches for picture in pictures]


def hooks_on(model: Model) -> int:
    """Hooks on what generates; text encoders of transformers have some of their own."""
    parts = [*model.denoiser.modules(), *model.pipeline.vae.modules()]
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in parts)


def by_hand(model: Model, hookpoints: list[str], settings: GenerationSettings) -> dict[str, list[tuple[Any, Any]]]:
    """(input, output) of modules at every call of the denoiser, as plain hooks see them."""
    seen: dict[str, list[tuple[Any, Any]]] = {h: [] for h in hookpoints}

    def copied(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(copied(v) for v in value)
        return value.clone() if isinstance(value, torch.Tensor) else value

    def hook_of(hookpoint: str) -> Callable[..., None]:
        def hook(module: Any, args: Any, kwargs: Any, output: Any) -> None:
            seen[hookpoint].append((copied(args[0] if args else kwargs["hidden_states"]), copied(output)))

        return hook

    parts = [(h, model.pipeline) for h in hookpoints]
    handles = []
    for hookpoint, part in parts:
        for name in hookpoint.split("."):
            part = part[int(name)] if name.isdigit() else getattr(part, name)
        handles.append(part.register_forward_hook(hook_of(hookpoint), with_kwargs=True))
    list(generate(model, JOBS, settings))
    for handle in handles:
        handle.remove()
    return seen


def rows_of(states: torch.Tensor) -> torch.Tensor:
    """[batch, width, rows, cols] as tokens, cell by cell."""
    cells = [states[:, :, r, c] for r in range(states.shape[2]) for c in range(states.shape[3])]
    return torch.stack(cells, 1)


# Which of a family's denoiser calls counts for each of three steps, with guidance: PNDM corrects its first step in a
# call of its own, and FLUX's second call a step is the negative prompt's.
CALLS = {"sd": [0, 2, 3], "flux": [0, 2, 4]}


@pytest.mark.parametrize("guided", [False, True], ids=["plain", "guided"])
@pytest.mark.parametrize("signal", ["output", "update"])
@pytest.mark.parametrize("name", NAMES)
def test_captured_tensors_are_bit_for_bit_what_plain_hooks_see(
    tiny_model: Models, name: str, signal: str, guided: bool
) -> None:
    model = tiny_model(name)
    settings = settings_of(model, name if guided else None)
    layers = [resolve_layer(model, alias, signal=signal) for alias in model.aliases]
    got, _ = captured_of(model, layers, (0, 1, 2), settings)
    seen = by_hand(model, [layer.hookpoint for layer in layers], settings)
    calls = [0, 1, 2] if name == "flux" and not guided else CALLS.get(name, [0, 1, 2])
    for layer in layers:
        mine = [c for c in got if c.layer == layer]
        assert [c.step for c in mine] == [0, 1, 2]
        assert len(seen[layer.hookpoint]) == {"sd": 4, "flux": 6 if guided else 3}.get(name, 3)
        for c, call in zip(mine, calls, strict=True):
            before, after = seen[layer.hookpoint][call]
            if name in ("sd", "sdxl"):
                (after,) = after  # a 1-tuple
                before, after = rows_of(before), rows_of(after)
            elif name in ("flux", "sd3"):
                after = after[1]
            doubled = guided and name != "flux"
            assert len(after) == (4 if doubled else 2)
            before, after = before[-2:], after[-2:]  # [negative; positive]
            assert torch.equal(c.acts, after - before if signal == "update" else after)
            assert c.acts.shape == (2, layer.grid[0] * layer.grid[1], layer.d_in)


@pytest.mark.parametrize("name", NAMES)
def test_the_half_that_is_harvested_is_that_of_the_prompt(tiny_model: Models, name: str) -> None:
    """At the first step guidance has not changed the latents: without it the same activations come."""
    model = tiny_model(name)
    layer = resolve_layer(model, "mid")
    plain, _ = captured_of(model, [layer], (0,), settings_of(model))
    guided, _ = captured_of(model, [layer], (0,), settings_of(model, name))
    assert torch.allclose(plain[0].acts, guided[0].acts, rtol=1e-4, atol=1e-5)
    other, _ = captured_of(model, [layer], (0,), settings_of(model), jobs=[dataclasses.replace(JOBS[0], prompt="")])
    assert not torch.allclose(other[0].acts[0], plain[0].acts[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_an_image_does_not_depend_on_its_batch(tiny_model: Models, name: str) -> None:
    model = tiny_model(name)
    layer = resolve_layer(model, "late", signal="output")
    together, pictures = captured_of(model, [layer], (2,), settings_of(model, name))
    alone, single = captured_of(model, [layer], (2,), settings_of(model, name), batch_size=1)
    assert torch.allclose(together[0].acts, torch.cat([c.acts for c in alone]), rtol=1e-3, atol=1e-4)
    assert not torch.allclose(together[0].acts[0], together[0].acts[1], rtol=1e-2, atol=1e-2)
    for a, b in zip(pictures, single, strict=True):
        assert np.abs(a.astype(int) - b).max() <= 2


@pytest.mark.parametrize("name", NAMES)
def test_capture_changes_no_picture_and_leaves_no_hook(tiny_model: Models, name: str) -> None:
    model = tiny_model(name)
    settings = settings_of(model, name)
    layers = [resolve_layer(model, alias) for alias in model.aliases]
    assert hooks_on(model) == 0
    _, with_capture = captured_of(model, layers, (0, 1, 2), settings)
    assert hooks_on(model) == 0
    _, without = captured_of(model, [], (), settings)
    assert len(without) == 2 and without[0].shape == (64, 64, 3)
    assert all(np.array_equal(a, b) for a, b in zip(with_capture, without, strict=True))

    def fail(captured: Captured) -> None:
        raise KeyError("the consumer's own")

    for decode in (True, False):
        with pytest.raises(KeyError, match="own"):
            list(generate(model, JOBS, settings, layers, (1,), fail, decode=decode))
        assert hooks_on(model) == 0


@pytest.mark.parametrize("name", NAMES)
def test_without_pictures_a_run_ends_after_its_last_wanted_step(tiny_model: Models, name: str) -> None:
    model = tiny_model(name)
    layer = resolve_layer(model, "mid")
    settings = settings_of(model, name)
    calls = 0

    def count(*_: Any) -> None:
        nonlocal calls
        calls += 1

    handle = model.denoiser.register_forward_pre_hook(count)
    got, pictures = captured_of(model, [layer], (1,), settings, decode=False)
    handle.remove()
    assert pictures == [] and calls == {"sd": 3, "flux": 4}.get(name, 2)
    full, _ = captured_of(model, [layer], (1,), settings)
    assert torch.equal(got[0].acts, full[0].acts)
    assert hooks_on(model) == 0


@pytest.mark.parametrize("name", NAMES)
def test_every_hookpoint_gives_tokens_of_the_width_and_grid_it_says(tiny_model: Models, name: str) -> None:
    model = tiny_model(name)
    layers = [dataclasses.replace(lay, signal="output") for lay in list_layers(model, all_hookpoints=True)]
    units = [neurons_of(model, lay) for lay in layers if ".attentions." in lay.hookpoint or name not in ("sd", "sdxl")]
    every = list({lay.hookpoint: lay for lay in [*layers, *units]}.values())
    got, _ = captured_of(model, every, (0,), settings_of(model, name), decode=False)
    assert {c.layer.hookpoint for c in got} == {lay.hookpoint for lay in every}


def test_the_forms_of_a_u_net(tiny_model: Models) -> None:
    """Mid blocks and ResNets return a tensor, attentions a 1-tuple, down blocks (tensor, skips)."""
    model = tiny_model("sd")
    assert not any(h.startswith("unet.up_blocks.0.attentions") for h in model.family.hookpoints(model.configs))
    assert model.aliases["late"] == "unet.up_blocks.1.attentions.2"
    names = {
        "unet.down_blocks.0": lambda out: rows_of(out[0]),
        "unet.down_blocks.1.resnets.0": rows_of,
        "unet.mid_block": rows_of,
        "unet.mid_block.attentions.0": lambda out: rows_of(out[0]),
        "unet.mid_block.attentions.0.transformer_blocks.0": lambda out: out,
        "unet.up_blocks.0": rows_of,
        "unet.up_blocks.2.attentions.1": lambda out: rows_of(out[0]),
    }
    layers = [resolve_layer(model, h, signal="output") for h in names]
    assert [layer.grid for layer in layers] == [(4, 4), (4, 4), (2, 2), (2, 2), (2, 2), (4, 4), (8, 8)]
    got, _ = captured_of(model, layers, (2,), settings_of(model, "sd"))
    seen = by_hand(model, list(names), settings_of(model, "sd"))
    for c in got:
        output = seen[c.layer.hookpoint][3][1]
        assert torch.equal(c.acts, names[c.layer.hookpoint](output)[2:])
    for hookpoint in ("unet.down_blocks.0", "unet.up_blocks.2.resnets.0"):  # another grid, another width
        layer = resolve_layer(model, hookpoint, signal="update")
        with pytest.raises(AutointerpError, match="has no update"):
            captured_of(model, [layer], (0,), settings_of(model))
    with pytest.raises(UsageError, match="does not fit"):
        resolve_layer(model, "mid", size=72)
    with pytest.raises(UsageError, match="has no MLP"):
        neurons_of(model, layers[0])


def test_the_forms_of_sd3(tiny_model: Models) -> None:
    """Blocks return (text, image), the last (None, image), their attention (image, text)."""
    model = tiny_model("sd3")
    blocks = [f"transformer.transformer_blocks.{i}" for i in (0, 3)]
    names = [*blocks, *(f"{b}.attn" for b in blocks)]
    layers = [resolve_layer(model, h) for h in names]
    got, _ = captured_of(model, layers, (1,), settings_of(model, "sd3"))
    seen = by_hand(model, names, settings_of(model, "sd3"))
    assert seen[blocks[1]][1][1][0] is None
    for c in got:
        output = seen[c.layer.hookpoint][1][1]
        assert torch.equal(c.acts, output[0 if c.layer.hookpoint.endswith(".attn") else 1][2:])
    with pytest.raises(AutointerpError, match="has no update"):
        captured_of(model, [resolve_layer(model, names[2], signal="update")], (0,), settings_of(model))


def test_as_many_text_as_image_tokens_confuse_nothing() -> None:
    text, image = torch.randn(2, 16, 8), torch.randn(2, 16, 8)
    block = {"hidden_states": image, "encoder_hidden_states": text, "temb": torch.zeros(2, 8)}
    attention = {"hidden_states": image, "encoder_hidden_states": text}
    assert sd3_image_tokens(block, (text, image), 16, 16)[1] is image
    assert sd3_image_tokens(attention, (image, text), 16, 16)[1] is image
    new = torch.randn(2, 16, 8)
    assert torch.equal(sd3_put_image_tokens(block, (text, image), new)[1], new)
    assert torch.equal(sd3_put_image_tokens(attention, (image, text), new)[0], new)
    with pytest.raises(AutointerpError, match="not known"):
        sd3_image_tokens(block, (image, text), 16, 17)
    with pytest.raises(AutointerpError, match="several"):
        generic_image_tokens({}, (text, image), 16, 16)


def test_a_step_is_not_a_call() -> None:
    """The timesteps of PNDM and Heun for three steps; of a scheduler whose steps cannot be told; and of nothing odd."""
    from diffusers import DDIMScheduler, HeunDiscreteScheduler, KDPM2DiscreteScheduler, PNDMScheduler

    def plan(scheduler: Any) -> list[int]:
        scheduler.set_timesteps(3)
        return steps_of_calls([float(t) for t in scheduler.timesteps], 3)

    assert plan(PNDMScheduler(skip_prk_steps=True)) == [0, -1, 1, 2]
    assert plan(HeunDiscreteScheduler()) == [0, -1, 1, -1, 2]
    assert plan(DDIMScheduler()) == [0, 1, 2]
    with pytest.raises(AutointerpError, match="5 timesteps in 3 steps"):
        plan(KDPM2DiscreteScheduler())


def test_several_images_a_prompt_cannot_be_mistaken_for_guidance(tiny_model: Models) -> None:
    """They would be prompt-major inside each half: image 1 of prompt 0 where prompt 1 is looked for."""
    model = tiny_model("sd")

    def several(configs: Any, guidance: float, count: int) -> tuple[dict[str, Any], int]:
        return {"guidance_scale": guidance, "num_images_per_prompt": 2}, 1

    family = dataclasses.replace(model.family, call=several)
    wrong = dataclasses.replace(model, description=dataclasses.replace(model.description, family=family))
    with pytest.raises(ValueError, match="generators"):  # one an image: diffusers itself counts them
        captured_of(wrong, [resolve_layer(model, "mid")], (0,), settings_of(model, "sd"))
    assert hooks_on(model) == 0
    model.pipeline.scheduler.set_timesteps(3)
    timestep = model.pipeline.scheduler.timesteps[0]
    for rows, fits in ((2, True), (4, True), (1, False), (3, False), (8, False)):
        calls = Calls(model, 3, 1, 2)
        if fits:
            calls.before(model.denoiser, (torch.zeros(rows, 4, 8, 8), timestep), {})
        else:
            with pytest.raises(AutointerpError, match=f"a batch of {rows} for 2 images"):
                calls.before(model.denoiser, (torch.zeros(rows, 4, 8, 8), timestep), {})


@pytest.mark.parametrize("name", NAMES)
def test_a_splice_of_what_was_there_changes_nothing(tiny_model: Models, name: str) -> None:
    model = tiny_model(name)
    settings = settings_of(model, name)
    splices: dict[str, tuple[Layer, Any]] = {}
    for alias in model.aliases:
        layer = resolve_layer(model, alias, signal="output")
        splices[alias] = (layer, lambda acts, step: acts.clone())
        splices[f"{alias} units"] = (neurons_of(model, layer), lambda acts, step: acts.clone())
        splices[f"{alias} update"] = (dataclasses.replace(layer, signal="update"), lambda acts, step: acts.clone())
        splices[f"no {alias}"] = (layer, zeroed)
    ((batch, found),) = splice_images(model, JOBS, settings, splices, [1, 2])
    assert batch == JOBS and hooks_on(model) == 0
    _, plain = captured_of(model, [], (), settings)
    for label in [UNCHANGED, *splices]:
        pictures = [np.asarray(picture, int) for picture in found.pictures[label]]
        if label.startswith("no "):
            assert not torch.allclose(found.errors[label], found.errors[UNCHANGED], rtol=1e-6)
        elif label.endswith("update"):  # Subtracted and added again: the last bits.
            assert all(np.abs(a - b).max() <= 1 for a, b in zip(pictures, plain, strict=True))
            assert torch.allclose(found.errors[label], found.errors[UNCHANGED], rtol=1e-4)
        else:
            assert all(np.array_equal(a, b) for a, b in zip(pictures, plain, strict=True))
            assert torch.equal(found.errors[label], found.errors[UNCHANGED])


def test_a_splice_leaves_the_negative_half_and_the_form(tiny_model: Models) -> None:
    model = tiny_model("sd")
    settings = settings_of(model, "sd")
    layer = resolve_layer(model, "mid", signal="output")
    inner = "unet.mid_block.resnets.1"  # gets what the attention returns
    from autointerp.diffusion.splice import splice

    plain = by_hand(model, [inner], settings)[inner]
    with splice(model, layer, zeroed, (0,), 2, 3, 1):
        changed = by_hand(model, [inner], settings)[inner]
    assert torch.equal(changed[0][0][:2], plain[0][0][:2])
    assert plain[0][0][2:].abs().max() > 0 and changed[0][0][2:].abs().max() == 0
    assert changed[0][0].shape == plain[0][0].shape == (4, 32, 2, 2)


def test_a_u_nets_output_is_put_back_in_its_form() -> None:
    states, skip = torch.randn(2, 8, 3, 4), torch.randn(2, 8, 6, 8)
    _, image = unet_image_tokens({}, (states,), 0, 12)
    assert torch.equal(image[0, 5], states[0, :, 1, 1])  # row by row
    assert torch.equal(unet_put_image_tokens({}, (states,), image)[0], states)
    down = unet_put_image_tokens({}, (states, (skip, states)), image + 1)
    assert torch.equal(down[0], states + 1) and down[1][0] is skip and down[1][1] is down[0]
    with pytest.raises(AutointerpError, match="not known"):
        unet_image_tokens({}, states, 0, 13)
    text = torch.randn(2, 5, 8)
    joint = torch.cat([text, image], 1)
    assert torch.equal(generic_image_tokens({"hidden_states": joint}, joint + 1, 5, 12)[1], image + 1)
    assert torch.equal(generic_put_image_tokens({}, joint, image + 1)[:, 5:], image + 1)
    assert torch.equal(generic_put_image_tokens({}, (text, image), image + 1)[1], image + 1)


@pytest.mark.parametrize("predicts", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("scheduler", ["DDIMScheduler", "EulerDiscreteScheduler", "PNDMScheduler"])
def test_the_error_is_that_of_what_the_scheduler_says_is_predicted(
    tmp_path: Path, scheduler: str, predicts: str
) -> None:
    """Once more by hand, from the definition x = sqrt(a) clean + sqrt(1 - a) noise, at one step."""
    if (scheduler, predicts) == ("PNDMScheduler", "sample"):
        pytest.skip("diffusers has no such scheduler")
    folder = tiny.save(lambda: tiny.sd(scheduler, prediction_type=predicts), tmp_path / "model")
    model = load_model(str(folder), device="cpu", dtype="float32")
    settings = settings_of(model)
    ((_, found),) = splice_images(model, JOBS, settings, {}, [1])
    noise = torch.cat([torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(j.seed)) for j in JOBS])
    states: list[torch.Tensor] = []

    def last(pipeline: Any, step: int, timestep: Any, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        states.append(state["latents"].clone())
        return {}

    with torch.inference_mode():
        model.pipeline(
            [j.prompt for j in JOBS],
            num_inference_steps=3,
            guidance_scale=1.0,
            height=64,
            width=64,
            output_type="latent",
            generator=[torch.Generator().manual_seed(j.seed) for j in JOBS],
            callback_on_step_end=last,
        )
        clean, timesteps = states[-1], model.pipeline.scheduler.timesteps
        timestep = timesteps[2 if scheduler == "PNDMScheduler" else 1]
        kept = model.pipeline.scheduler.alphas_cumprod[int(timestep)]
        embeds = model.pipeline.encode_prompt([j.prompt for j in JOBS], "cpu", 1, False)[0]
        inputs = kept**0.5 * clean + (1 - kept) ** 0.5 * noise
        predicted = model.denoiser(inputs, timestep, encoder_hidden_states=embeds).sample
    target = {"epsilon": noise, "sample": clean, "v_prediction": kept**0.5 * noise - (1 - kept) ** 0.5 * clean}
    expected = (predicted - target[predicts]).square().flatten(1).mean(1)
    tolerance = 0.02 if scheduler == "EulerDiscreteScheduler" else 1e-4  # its noise level lies between two timesteps
    assert torch.allclose(found.errors[UNCHANGED].float(), expected, rtol=tolerance)


def lcm() -> Any:
    """A pipeline class without an entry."""
    from diffusers import LatentConsistencyModelPipeline, LCMScheduler

    parts = tiny.sd("DDIMScheduler", timestep_spacing="leading").components
    config = {**parts["unet"].config, "time_cond_proj_dim": 16, "_use_default_values": []}
    unet = type(parts["unet"]).from_config(config)
    parts |= {"unet": unet, "scheduler": LCMScheduler.from_config(parts["scheduler"].config)}
    return LatentConsistencyModelPipeline(**parts, requires_safety_checker=False)


def test_any_other_pipeline_works_by_hookpoint(tmp_path: Path) -> None:
    folder = tiny.save(lcm, tmp_path / "lcm")
    model = load_model(str(folder), device="cpu", dtype="float32")
    assert model.family.name == "generic" and list_layers(model) == []
    with pytest.raises(UsageError, match="has no aliases") as raised:
        resolve_layer(model, "mid")
    assert "--layer unet." in raised.value.hint
    layers = [resolve_layer(model, f"unet.mid_block.{path}") for path in ("attentions.0", "attentions.0.norm")]
    got, with_capture = captured_of(model, layers, (0, 2), settings_of(model))
    _, without = captured_of(model, [], (), settings_of(model))
    assert all(np.array_equal(a, b) for a, b in zip(with_capture, without, strict=True))
    seen = by_hand(model, [layer.hookpoint for layer in layers], settings_of(model))
    for c in got:
        output = seen[c.layer.hookpoint][c.step][1]
        assert torch.equal(c.acts, rows_of(output[0] if isinstance(output, tuple) else output))
    for path, says in {
        "mid_block.attentions.9": "no hookpoint",
        "mid_block.attentions.0.transformer_blocks.0.attn2.to_k": "fires no image tokens",
        "time_embedding": "the width of",
    }.items():
        with pytest.raises(AutointerpError) as failed:
            captured_of(model, [resolve_layer(model, f"unet.{path}")], (0,), settings_of(model))
        assert says in str(failed.value) and "\n" not in str(failed.value)
        assert hooks_on(model) == 0
