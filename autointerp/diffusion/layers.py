"""A layer: which tensor of a model a dictionary decomposes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, get_args

from autointerp.diffusion.families import Signal, Stream
from autointerp.diffusion.sizes import Size
from autointerp.errors import UsageError, nearest

if TYPE_CHECKING:
    from autointerp.diffusion.describe import ModelDescription
    from autointerp.diffusion.loading import Model


@dataclass(frozen=True)
class Layer:
    """A place in a model: `hookpoint` is the dotted module path in the pipeline.

    `grid` is (rows, cols) of image tokens in pictures of the size that the layer was resolved for, see `grid_at` for
    any other, or (1, number of text tokens); `signal` is `output` (the residual stream after the block) or `update`
    (output minus input); `stream` says whose tokens are read.
    """

    alias: str | None
    hookpoint: str
    d_in: int
    grid: tuple[int, int]
    stream: Stream
    signal: Signal

    @property
    def name(self) -> str:
        """What people call it: the alias where there is one."""
        return self.alias or self.hookpoint

    def as_dict(self) -> dict[str, Any]:
        """The layer as `layers --json` prints it."""
        return {
            "alias": self.alias,
            "hookpoint": self.hookpoint,
            "d_in": self.d_in,
            "grid": list(self.grid),
            "stream": self.stream,
            "signal": self.signal,
        }


def _description(model: ModelDescription | Model) -> ModelDescription:
    described: ModelDescription = getattr(model, "description", model)  # type: ignore[arg-type]
    return described


def list_layers(
    model: ModelDescription | Model, size: Size | None = None, all_hookpoints: bool = False, stream: str = "image"
) -> list[Layer]:
    """The layers of a model that have a name and this stream; with `all_hookpoints` every one that can be captured."""
    description = _description(model)
    family, aliases = description.family, description.aliases
    names = list(aliases)
    if all_hookpoints:
        named = set(aliases.values())
        names += [h for h in family.hookpoints(description.configs) if h not in named]
    if stream == "text":
        streaming = set(family.text_stream().hookpoints(description.configs))
        names = [name for name in names if aliases.get(name, name) in streaming]
    return [resolve_layer(description, name, size=size, stream=stream) for name in names]


def resolve_layer(
    model: ModelDescription | Model,
    name: str,
    signal: str | None = None,
    size: Size | None = None,
    stream: str = "image",
) -> Layer:
    """Find a layer by alias or hookpoint.

    Args:
        model: A loaded model or its description.
        name: An alias, or a dotted hookpoint; a hookpoint that has an alias gets it.
        signal: `output` or `update`; the model's default if None.
        size: Of the pictures, which decides the grid; the model's default if None.
        stream: `image` or `text`, whose grid is (1, text tokens of the model's default length).

    Raises:
        UsageError: The name, signal, size or stream does not exist here; the hint holds the nearest names.
    """
    description = _description(model)
    family, aliases = description.family, dict(description.aliases)
    hookpoints = family.hookpoints(description.configs)
    hookpoint = aliases.get(name, name)
    # Of a pipeline class without an entry, any module may be named; loading finds out whether it exists.
    if hookpoint not in hookpoints and not (family.open and hookpoint.startswith(f"{family.denoiser}.")):
        if not aliases and "." not in name:
            example = hookpoints[len(hookpoints) // 2] if hookpoints else f"{family.denoiser}.PATH"
            raise UsageError(
                f"{description.name} has no layer {name!r}: {family.pipeline_class} has no aliases",
                f"give a hookpoint, such as --layer {example}; `autointerp layers --all` lists some",
            )
        known = hookpoints if "." in name else list(aliases)
        raise UsageError(f"{description.name} has no layer {name!r}", nearest(name, known))
    signal = signal or description.defaults.signal
    if signal not in ("output", "update"):
        raise UsageError(f"there is no signal {signal!r}", nearest(signal, ["output", "update"]))
    if stream not in get_args(Stream):
        raise UsageError(f"there is no stream {stream!r}", nearest(stream, get_args(Stream)))
    alias = name if name in aliases else next((a for a, h in aliases.items() if h == hookpoint), None)
    width = family.width(description.configs, hookpoint)
    grid = description.grid(size, hookpoint) if stream == "image" else _text_grid(description, hookpoint)
    return Layer(alias, hookpoint, width, grid, stream, signal)  # type: ignore[arg-type]


def _text_grid(description: ModelDescription, hookpoint: str) -> tuple[int, int]:
    """One row of text tokens."""
    text = description.family.text_stream()
    if hookpoint not in text.hookpoints(description.configs):
        raise UsageError(f"{hookpoint} of {description.name} hands no text on", "name a block before it")
    return 1, text.length(description.defaults.max_sequence_length)


def grid_at(model: ModelDescription | Model, layer: Layer, size: Size | None) -> tuple[int, int]:
    """The grid of a layer's tokens in pictures of another size; in an MLP it is that of the block around it.

    Text tokens are as many in any picture: a capture holds them against the call's own.

    Raises:
        UsageError: The size does not fit the layer.
    """
    if layer.stream == "text":
        return layer.grid
    description = _description(model)
    known = set(description.family.hookpoints(description.configs))
    hookpoint = layer.hookpoint
    while hookpoint not in known and "." in hookpoint and not description.family.open:
        hookpoint = hookpoint.rpartition(".")[0]
    return description.grid(size, hookpoint)


def layer_at(model: ModelDescription | Model, layer: Layer, size: Size | None) -> Layer:
    """The layer in pictures of another size; see `grid_at`."""
    return replace(layer, grid=grid_at(model, layer, size))


def neurons_of(model: ModelDescription | Model, layer: Layer) -> Layer:
    """The hidden units of a layer's MLP, as a layer of the same name."""
    description = _description(model)
    family = description.family
    neurons = family.neurons if layer.stream == "image" else family.text_stream().neurons
    hookpoint, width = neurons(description.configs, layer.hookpoint)
    return replace(layer, alias=layer.name, hookpoint=hookpoint, d_in=width, signal="output")
