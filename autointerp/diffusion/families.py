"""What is known of each family of pipelines: one entry a family, and nothing about it anywhere else.

An entry reads its sizes from the model's own configuration files, so that a small model and a full-size one of
the same family need no entry of their own, and so that nothing here needs weights or torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from autointerp.errors import AutointerpError, nearest

Signal = Literal["output", "update"]
Configs = Mapping[str, Mapping[str, Any]]
"""Component name (`transformer`, `vae`) -> its `config.json`."""


@dataclass(frozen=True)
class ModelDefaults:
    """How a model is run and read unless told otherwise.

    `size` is the side of the square picture in pixels; `expansion` the latents of a dictionary over the layer's
    width, `k` how many of them fire in a token (None: chosen by the width), `passes` how often an activation is
    trained on.
    """

    steps: int
    guidance: float
    size: int
    max_sequence_length: int
    capture_steps: tuple[int, ...]
    signal: Signal = "output"
    expansion: int = 8
    k: int | None = None
    passes: int = 4

    def capture_at(self, steps: int) -> tuple[int, ...]:
        """The default capture steps of a run of `steps` steps: those at about the same noise level."""
        if steps == self.steps:
            return self.capture_steps
        return tuple(sorted({min(round(s * steps / self.steps), steps - 1) for s in self.capture_steps}))

    def updated(self, values: Mapping[str, Any], where: str) -> ModelDefaults:
        """These defaults with those of a model folder's `autointerp.json` over them.

        Raises:
            AutointerpError: An unknown key, or a value of the wrong type or range; `where` names the file.
        """
        known = {f.name for f in fields(self)}
        for key in values:
            if key not in known:
                raise AutointerpError(f"{where} has the unknown key {key!r}", nearest(key, sorted(known)))
        merged = replace(self, **values)
        for key in (
            "steps",
            "size",
            "max_sequence_length",
            "expansion",
            "passes",
            *(["k"] if merged.k is not None else []),
        ):
            if type(getattr(merged, key)) is not int or getattr(merged, key) < 1:
                raise AutointerpError(f"{where}: {key} is {getattr(merged, key)!r}", "give a whole number above 0")
        if type(merged.guidance) not in (int, float) or merged.guidance < 0:
            raise AutointerpError(f"{where}: guidance is {merged.guidance!r}", "give a number of 0 or more")
        if merged.signal not in ("output", "update"):
            raise AutointerpError(f"{where}: signal is {merged.signal!r}", nearest(merged.signal, ["output", "update"]))
        steps = merged.capture_steps
        if not isinstance(steps, Sequence) or not steps or not all(type(s) is int for s in steps):
            raise AutointerpError(f"{where}: capture_steps is {steps!r}", "give a list of step numbers")
        if "capture_steps" not in values:
            return replace(merged, capture_steps=self.capture_at(merged.steps), guidance=float(merged.guidance))
        if not 0 <= min(steps) <= max(steps) < merged.steps:
            raise AutointerpError(
                f"{where}: capture_steps {list(steps)} do not fit {merged.steps} steps",
                f"give numbers from 0 to {merged.steps - 1}",
            )
        return replace(merged, capture_steps=tuple(sorted(set(steps))), guidance=float(merged.guidance))


@dataclass(frozen=True)
class Family:
    """One family of pipelines.

    `denoiser` is the component that runs once a branch and step. `hookpoints(configs)` lists the dotted paths that
    can be captured, `aliases(configs)` names some of them, `width(configs, hookpoint)` is their number of
    channels, `cell_pixels(configs)` the side of one token's patch in pixels. `call(configs, guidance, count)` gives
    the pipeline arguments that ask for this guidance, and how often the denoiser then runs a step; the conditional
    run comes first. `image_tokens(...)` finds a block's image tokens, see `flux_image_tokens`.
    `put_image_tokens(output, image)` is a block's output with other image tokens, the last ones of a joint tensor.
    `neurons(configs, hookpoint)` is the path and number of the hidden units of a layer's MLP, after their activation.
    """

    name: str
    pipeline_class: str
    denoiser: str
    components: tuple[str, ...]
    defaults: ModelDefaults
    hookpoints: Callable[[Configs], list[str]]
    aliases: Callable[[Configs], dict[str, str]]
    width: Callable[[Configs, str], int]
    cell_pixels: Callable[[Configs], int]
    call: Callable[[Configs, float, int], tuple[dict[str, Any], int]]
    image_tokens: Callable[[Mapping[str, Any], Any, int, int], tuple[Any, Any]]
    put_image_tokens: Callable[[Any, Any], Any]
    neurons: Callable[[Configs, str], tuple[str, int]]
    timestep_scale: float = 1000.0
    """The scheduler's timestep over what the denoiser is told."""
    stream: Literal["image"] = "image"


def _flux_hookpoints(configs: Configs) -> list[str]:
    sizes = configs["transformer"]
    double = [f"transformer.transformer_blocks.{i}" for i in range(sizes["num_layers"])]
    return double + [f"transformer.single_transformer_blocks.{i}" for i in range(sizes["num_single_layers"])]


def _flux_aliases(configs: Configs) -> dict[str, str]:
    """The sites of arXiv 2505.24360, at the same relative depth in a model of any size.

    There: double block 18 (the last of 19), double block 9, single block 18 of 38.
    """
    double, single = configs["transformer"]["num_layers"], configs["transformer"]["num_single_layers"]
    aliases = {}
    if double:
        aliases["early"] = f"transformer.transformer_blocks.{(double - 1) // 2}"
        aliases["mid"] = f"transformer.transformer_blocks.{double - 1}"
    if single:
        aliases["late"] = f"transformer.single_transformer_blocks.{min(round(single * 18 / 38), single - 1)}"
    return aliases


def _flux_width(configs: Configs, hookpoint: str) -> int:
    return configs["transformer"]["num_attention_heads"] * configs["transformer"]["attention_head_dim"]


def _flux_neurons(configs: Configs, hookpoint: str) -> tuple[str, int]:
    """Both kinds of block have an MLP four times as wide as the stream."""
    inside = "act_mlp" if "single_transformer_blocks" in hookpoint else "ff.net.0"
    return f"{hookpoint}.{inside}", 4 * _flux_width(configs, hookpoint)


def _flux_cell_pixels(configs: Configs) -> int:
    """The autoencoder halves once a level but the first; FLUX packs 2x2 latents into a token."""
    return 2 ** (len(configs["vae"]["block_out_channels"]) - 1) * 2


def _flux_call(configs: Configs, guidance: float, count: int) -> tuple[dict[str, Any], int]:
    """Distilled guidance (FLUX.1-dev) is an input of the transformer; any other model needs a second run."""
    if configs["transformer"].get("guidance_embeds"):
        return {"guidance_scale": guidance}, 1
    if guidance > 1:
        return {"true_cfg_scale": guidance, "negative_prompt": [""] * count}, 2
    return {}, 1


def flux_image_tokens(inputs: Mapping[str, Any], output: Any, text_tokens: int, image_tokens: int) -> tuple[Any, Any]:
    """A FLUX block's image tokens before and after it, each [batch, image_tokens, width].

    Double blocks, and single blocks since diffusers 0.35, take and return (text, image) apart. Until 0.34 single
    blocks took and returned one tensor, text first, as their MLP does still: what to cut off is known from the
    transformer's own call. Inside a block `before` is None where the width changes.

    Args:
        inputs: The module's arguments by name.
        output: What it returned.
        text_tokens: Number of text tokens in this call of the transformer.
        image_tokens: Number of image tokens in it.

    Raises:
        AutointerpError: No form fits the shapes.
    """
    before: Any = inputs.get("hidden_states")
    after: Any = None
    fits = False
    if isinstance(output, tuple) and len(output) == 2 and inputs.get("encoder_hidden_states") is not None:
        text, after = output
        fits = text is None or text.shape[1] == text_tokens
    elif hasattr(output, "shape"):
        # One tensor: of both with the text first, or, inside a double block, of the image alone.
        both = output.shape[1] == text_tokens + image_tokens
        fits = both or (output.shape[1] == image_tokens and inputs.get("encoder_hidden_states") is None)
        after = output[:, text_tokens:] if both else output
        before = before[:, text_tokens:] if both and before is not None else before
    if before is not None and after is not None and before.shape[-1] != after.shape[-1]:
        before = None
    fits = fits and (before is None or before.shape == after.shape)
    if not fits or not hasattr(after, "shape") or after.shape[1] != image_tokens:
        raise AutointerpError(
            "a FLUX block returned tokens in a form that is not known",
            "this version of diffusers is not supported; install the one in constraints.txt",
        )
    return before, after


def flux_put_image_tokens(output: Any, image: Any) -> Any:
    """The inverse of `flux_image_tokens`: `output` with `image` [batch, image_tokens, width] in its place."""
    if isinstance(output, tuple):
        return output[0], image.to(output[1].dtype)
    changed = output.clone()
    changed[:, output.shape[1] - image.shape[1] :] = image
    return changed


FLUX = Family(
    name="flux",
    pipeline_class="FluxPipeline",
    denoiser="transformer",
    components=("transformer", "vae"),
    # Those of FLUX.1-schnell; step 0 of few is where the paper's dictionaries read.
    defaults=ModelDefaults(steps=4, guidance=0.0, size=512, max_sequence_length=256, capture_steps=(0,)),
    hookpoints=_flux_hookpoints,
    aliases=_flux_aliases,
    width=_flux_width,
    cell_pixels=_flux_cell_pixels,
    call=_flux_call,
    image_tokens=flux_image_tokens,
    put_image_tokens=flux_put_image_tokens,
    neurons=_flux_neurons,
)

FAMILIES: dict[str, Family] = {family.pipeline_class: family for family in (FLUX,)}
"""Pipeline class name -> its family."""


def family_of(pipeline_class: str) -> Family:
    """The entry of a pipeline class.

    Raises:
        AutointerpError: There is none.
    """
    if pipeline_class not in FAMILIES:
        raise AutointerpError(
            f"no family is known for the pipeline class {pipeline_class!r}", f"known: {', '.join(sorted(FAMILIES))}"
        )
    return FAMILIES[pipeline_class]
