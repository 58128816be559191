"""What dry runs find out by themselves, against what the entries of known families say."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import pytest
import torch

from autointerp.diffusion.dry_run import check_layer, look
from autointerp.diffusion.families import GenericFamily
from autointerp.diffusion.layers import list_layers, resolve_layer
from autointerp.diffusion.model import Model
from autointerp.errors import AutointerpError
from tests.diffusion.helpers import JOBS, Models, captured_of, hooks_on, settings_of


def without_entry(model: Model) -> Model:
    """The same model, as if its pipeline class had no entry."""
    family = GenericFamily(model.family.pipeline_class, model.family.denoiser)
    return dataclasses.replace(model, description=dataclasses.replace(model.description, family=family, aliases={}))


@pytest.mark.parametrize("name", ["pixart", "sana", "qwen-image", "flux2-klein-base"])
def test_guidance_halves_and_image_tokens_are_those_of_the_entry(tiny_model: Models, name: str) -> None:
    known, model = tiny_model(name), without_entry(tiny_model(name))
    look(model, 3.0)
    call, told = model.family.call(model.configs, 3.0, 2), known.family.call(known.configs, 3.0, 2)
    assert (call.branches, call.conditional) == (told.branches, told.conditional)
    assert call.arguments.items() <= told.arguments.items()
    assert model.family.conditional_first == known.family.conditional_first
    blocks = [layer.hookpoint for layer in list_layers(model, all_hookpoints=True)]
    assert blocks == known.family.hookpoints(known.configs)
    mine, theirs = resolve_layer(model, blocks[1]), resolve_layer(known, blocks[1])
    assert (mine.grid, mine.d_in) == (theirs.grid, theirs.d_in)
    how = {"jobs": JOBS, "decode": False}
    got, _ = captured_of(model, [mine], (0, 2), settings_of(model, guidance=3.0), **how)
    expected, _ = captured_of(known, [theirs], (0, 2), settings_of(known, guidance=3.0), **how)
    for one, other in zip(got, expected, strict=True):
        assert torch.equal(one.acts, other.acts)
    assert hooks_on(model) == 0


def test_an_argument_with_two_of_another_thing_than_rows_does_not_mislead(tiny_model: Models) -> None:
    """Such as two layers of a text encoder, both of which depend on the prompt."""
    model = without_entry(tiny_model("sd"))

    def add(_module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        prompt = kwargs["encoder_hidden_states"][-1]
        return args, {**kwargs, "added_cond_kwargs": {"layers": torch.stack([prompt, 2 * prompt])}}

    handle = model.denoiser.register_forward_pre_hook(add, with_kwargs=True)
    try:
        look(model, 3.0)
    finally:
        handle.remove()
    call = model.family.call(model.configs, 3.0, 1)
    assert (call.branches, call.conditional, model.family.conditional_first) == (1, 0, False)


@pytest.mark.parametrize(
    ("name", "guidance", "hookpoint", "says"),
    [
        ("flux2-klein", 3.0, "transformer.transformer_blocks.0", "guidance has no effect on Flux2KleinPipeline"),
        ("z-image", 1.0, "transformer.layers.0", "takes its latents in no known form"),
        ("flux2-klein", 1.0, "transformer.single_transformer_blocks.1", "which are which is not known"),
        ("sana", 1.0, "transformer.transformer_blocks.0.attn2.to_k", "fires no image tokens"),
    ],
)
def test_what_is_not_certain_is_refused_in_a_line(
    tiny_model: Models, name: str, guidance: float, hookpoint: str, says: str
) -> None:
    model = without_entry(tiny_model(name))
    layer = resolve_layer(model, hookpoint)
    with pytest.raises(AutointerpError) as refused:
        check_layer(model, layer, guidance)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)
    assert hooks_on(model) == 0


def test_a_pipeline_that_paints_another_size_is_refused(tiny_model: Models) -> None:
    """As HiDream-I1 by itself, which paints about a megapixel whatever size is asked for."""
    known = tiny_model("sd")
    plain = type(known.pipeline)

    class OneSize(plain):  # type: ignore[misc, valid-type]
        @functools.wraps(plain.__call__)
        def __call__(self, *args: Any, **given: Any) -> Any:
            return super().__call__(*args, **{**given, "width": 64, "height": 64})

    pipeline = OneSize(**known.pipeline.components, requires_safety_checker=False)
    with pytest.raises(AutointerpError, match="paints pictures of another size than it is asked for"):
        look(dataclasses.replace(without_entry(known), pipeline=pipeline), 1.0)


def test_whatever_a_pipeline_raises_is_a_line(tiny_model: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    model = without_entry(tiny_model("sd"))

    def fail(*args: Any, **given: Any) -> None:
        raise NameError("name 'ftfy' is not defined\nat all")

    monkeypatch.setattr(model.pipeline, "encode_prompt", fail)
    with pytest.raises(AutointerpError, match=r"does not run on a picture of \d+ px: name 'ftfy' is not") as refused:
        look(model, 1.0)
    assert "\n" not in str(refused.value)
    assert hooks_on(model) == 0
