"""What an entry of the table of families says, and what entries share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from autointerp.errors import AutointerpError, UsageError, nearest

Signal = Literal["output", "update"]
Stream = Literal["image", "text"]
Tokens = Callable[[Mapping[str, Any], Any, int, int], tuple[Any, Any]]
"""(a module's inputs by name, its output, text tokens and image tokens of the call) -> (tokens before it, after it)."""
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
class TextStream:
    """The text tokens that run through a family's blocks beside the image tokens.

    `hookpoints(configs)` are those that hand text on. `parts(max_sequence_length)` lists the tokenizers whose tokens
    stand after each other, each with its number of tokens. `tokens` and `put` are to the text what a family's
    `image_tokens` and `put_image_tokens` are to the image; `neurons` are the hidden units of the text's own MLP.
    """

    hookpoints: Callable[[Configs], list[str]]
    parts: Callable[[int], tuple[tuple[str, int], ...]]
    tokens: Tokens
    put: Callable[[Mapping[str, Any], Any, Any], Any]
    neurons: Callable[[Configs, str], tuple[str, int]]

    def length(self, max_sequence_length: int) -> int:
        """Text tokens of a prompt, padding included."""
        return sum(length for _, length in self.parts(max_sequence_length))


@dataclass(frozen=True)
class Family:
    """One family of pipelines.

    `denoiser` is the component that runs once a branch and step. `hookpoints(configs)` lists the dotted paths that
    can be captured, `aliases(configs)` names some of them, `width(configs, hookpoint)` is their number of
    channels, `cell_pixels(configs, hookpoint)` the side of one of its tokens' patches in pixels (without a hookpoint:
    what a picture's side must be a multiple of). `call(configs, guidance, count)` gives
    the pipeline arguments that ask for this guidance, and how often the denoiser then runs a step; the conditional
    run comes first. Where guidance doubles the batch instead, as [negative; positive], `doubles` says so; whether a
    call is doubled is read off its own shapes. `image_tokens(inputs, output, text_tokens, image_tokens)` finds a
    block's image tokens before (None where the block has no such input) and after it, each [batch, image_tokens,
    width], see `flux_image_tokens`.
    `put_image_tokens(inputs, output, image)` is a block's output with other image tokens.
    `text` is the text stream inside the blocks, where there is one.
    `neurons(configs, hookpoint)` is the path and number of the hidden units of a layer's MLP, after their activation.
    `read_defaults(configs)` is what a model's own files say of its defaults: the size, most of all.
    """

    name: str
    pipeline_class: str
    denoiser: str
    components: tuple[str, ...]
    defaults: ModelDefaults
    hookpoints: Callable[[Configs], list[str]]
    aliases: Callable[[Configs], dict[str, str]]
    width: Callable[[Configs, str], int]
    cell_pixels: Callable[[Configs, str | None], int]
    call: Callable[[Configs, float, int], tuple[dict[str, Any], int]]
    image_tokens: Tokens
    put_image_tokens: Callable[[Mapping[str, Any], Any, Any], Any]
    neurons: Callable[[Configs, str], tuple[str, int]]
    read_defaults: Callable[[Configs], Mapping[str, Any]] = lambda configs: {}
    pack_latents: Callable[[Any], Any] = lambda latents: latents
    """Latents [batch, channels, rows, cols] as the denoiser gets them: packed into tokens, where it takes those."""
    timestep_scales: tuple[float, ...] = (1.0,)
    """The scheduler's timestep over what the denoiser is told; several where that is not known for sure."""
    doubles: bool = False
    dtype: Literal["bfloat16", "float16"] = "bfloat16"
    """The half precision that its weights are made for."""
    load_arguments: Mapping[str, Any] = field(default_factory=dict)
    """What diffusers is told when it loads the pipeline."""
    open: bool = False
    """Whether any module of the denoiser can be named as a hookpoint, known here or not."""
    text: TextStream | None = None

    def tokens(self, stream: Stream) -> Tokens:
        """What finds a stream's tokens before and after a module."""
        return self.image_tokens if stream == "image" else self.text_stream().tokens

    def put(self, stream: Stream) -> Callable[[Mapping[str, Any], Any, Any], Any]:
        """What puts other tokens of a stream into a module's output."""
        return self.put_image_tokens if stream == "image" else self.text_stream().put

    def text_stream(self) -> TextStream:
        """The text stream.

        Raises:
            UsageError: There is none inside its blocks, or none is known.
        """
        if self.text is None:
            none = "is not known to have" if self.open else "has no"
            raise UsageError(f"{self.pipeline_class} {none} text tokens inside its blocks", "read its image tokens")
        return self.text


def autoencoder_pixels(configs: Configs) -> int:
    """Pixels a side of one latent: the autoencoder halves once a level but the first."""
    return int(2 ** (len(configs["vae"]["block_out_channels"]) - 1))


def tokens(states: Any) -> Any:
    """A module's states as tokens [batch, tokens, width], row by row where they are [batch, width, rows, cols].

    None where they are neither.
    """
    if not hasattr(states, "shape") or states.ndim not in (3, 4):
        return None
    return states.flatten(2).transpose(1, 2) if states.ndim == 4 else states


def states_like(image: Any, states: Any) -> Any:
    """The inverse of `tokens`: `image` [batch, tokens, width] in the form and dtype of `states`."""
    import torch

    # In the same memory format too: another one may make what follows add up in another order.
    new: Any = torch.empty_like(states)
    return new.copy_(image.transpose(1, 2).reshape(states.shape) if states.ndim == 4 else image)


def unknown_form(what: str) -> AutointerpError:
    """The error of a module whose tokens come in no known form."""
    return AutointerpError(
        f"{what} returned tokens in a form that is not known",
        "this version of diffusers is not supported; install the one in constraints.txt",
    )


def depths(blocks: int, prefix: str) -> dict[str, str]:
    """Aliases at a quarter, a half and three quarters of a stack of equal blocks."""
    shares = {"early": 1 / 4, "mid": 1 / 2, "late": 3 / 4}
    return {alias: f"{prefix}.{min(int(blocks * share), blocks - 1)}" for alias, share in shares.items()}


def doubling_call(configs: Configs, guidance: float, count: int) -> tuple[dict[str, Any], int]:
    """Guidance by one run of a doubled batch, as diffusers' pipelines do it above a scale of 1."""
    return {"guidance_scale": guidance}, 1


def native_size(configs: Configs, denoiser: str, fallback: int) -> int:
    """Side in pixels of the pictures that a model was trained on, of its `sample_size` in latents."""
    sample = configs[denoiser].get("sample_size")
    if isinstance(sample, (list, tuple)):
        sample = max(sample)
    return int(sample) * autoencoder_pixels(configs) if sample else fallback


def transformer_blocks(configs: Configs) -> list[str]:
    """The blocks of a transformer that is one stack of them."""
    return [f"transformer.transformer_blocks.{i}" for i in range(configs["transformer"]["num_layers"])]


def transformer_width(configs: Configs, hookpoint: str) -> int:
    """Channels of a transformer's stream: that of all its heads."""
    return int(configs["transformer"]["num_attention_heads"] * configs["transformer"]["attention_head_dim"])


def transformer_family(
    name: str,
    pipeline_class: str,
    defaults: ModelDefaults,
    *,
    call: Callable[[Configs, float, int], tuple[dict[str, Any], int]],
    image_tokens: Callable[[Mapping[str, Any], Any, int, int], tuple[Any, Any]],
    put_image_tokens: Callable[[Mapping[str, Any], Any, Any], Any],
    hookpoints: Callable[[Configs], list[str]] = transformer_blocks,
    text: TextStream | None = None,
) -> Family:
    """A family whose transformer is one stack of blocks on latent patches, and whose guidance doubles the batch."""
    return Family(
        name=name,
        pipeline_class=pipeline_class,
        denoiser="transformer",
        components=("transformer", "vae"),
        defaults=defaults,
        hookpoints=hookpoints,
        # No paper says which blocks are best.
        aliases=lambda configs: depths(configs["transformer"]["num_layers"], "transformer.transformer_blocks"),
        width=transformer_width,
        cell_pixels=lambda configs, _: autoencoder_pixels(configs) * int(configs["transformer"].get("patch_size", 2)),
        call=call,
        image_tokens=image_tokens,
        put_image_tokens=put_image_tokens,
        # The MLP of the image's stream is four times as wide, beside a block's attention.
        neurons=lambda configs, hookpoint: (
            f"{hookpoint.removesuffix('.attn')}.ff.net.0",
            4 * transformer_width(configs, hookpoint),
        ),
        read_defaults=lambda configs: {"size": native_size(configs, "transformer", 1024)},
        doubles=True,
        text=text,
    )
