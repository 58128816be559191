"""Layers: the tensors of a model that dictionaries decompose."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, get_args

from autointerp.diffusion.families import Signal, Stream
from autointerp.errors import UsageError, nearest
from autointerp.sizes import Size

if TYPE_CHECKING:
    from autointerp.diffusion.description import Described, ModelDescription


_IN_MLP = (".net.0", ".act_fn")
"""Ends of the paths of an MLP's hidden units, where the MLP is a module of its own."""


@dataclass(frozen=True)
class Layer:
    """A tensor of a model.

    Attributes:
        alias: The layer's short name; None where it has none.
        hookpoint: The dotted path of the module in the pipeline.
        d_in: Channels of a token.
        grid: (rows, cols) of image tokens in pictures of the size that the layer was resolved for (see `grid_at` for
            other sizes), or (1, number of text tokens).
        stream: The stream whose tokens are read.
        signal: `output` (the residual stream after the block), `update` (output minus input), or `map` (the input and
            the output of a module, side by side, for a dictionary that rebuilds the one from the other).
    """

    alias: str | None
    hookpoint: str
    d_in: int
    grid: tuple[int, int]
    stream: Stream
    signal: Signal

    @property
    def name(self) -> str:
        """The alias, or the hookpoint of a layer without one."""
        return self.alias or self.hookpoint

    @property
    def width(self) -> int:
        """Channels that a capture hands over for each token: twice as many of a map."""
        return 2 * self.d_in if self.signal == "map" else self.d_in

    def as_dict(self) -> dict[str, Any]:
        """Return the layer as `layers --json` prints it."""
        return {
            "alias": self.alias,
            "hookpoint": self.hookpoint,
            "d_in": self.d_in,
            "grid": list(self.grid),
            "stream": self.stream,
            "signal": self.signal,
        }


def list_layers(
    model: Described, size: Size | None = None, all_hookpoints: bool = False, stream: str = "image"
) -> list[Layer]:
    """List the layers of a model that have an alias.

    Args:
        model: A loaded model or its description.
        size: Size of the pictures; the model's default if None.
        all_hookpoints: Whether to list every hookpoint of the family.
        stream: `image` or `text`; layers that lack the stream are left out.
    """
    description = model.description
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
    model: Described,
    name: str,
    signal: str | None = None,
    size: Size | None = None,
    stream: str = "image",
) -> Layer:
    """Find a layer by alias or hookpoint.

    Args:
        model: A loaded model or its description.
        name: An alias, or a dotted hookpoint, which may be that of a layer's MLP; one that has an alias gets it.
        signal: `output` or `update`; the model's default if None.
        size: Size of the pictures, which decides the grid; the model's default if None.
        stream: `image` or `text`, whose grid is (1, text tokens of the model's default length).

    Raises:
        UsageError: The name, signal, size or stream does not exist here; the hint holds the nearest names.
    """
    description = model.description
    family, aliases = description.family, dict(description.aliases)
    hookpoints = family.hookpoints(description.configs)
    hookpoint = aliases.get(name, name)
    # In an open family any module may be named; loading finds out whether it exists.
    block = hookpoint if hookpoint in hookpoints else _block_of_mlp(description, hookpoint)
    if block is None and not (family.open and hookpoint.startswith(f"{family.denoiser}.")):
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
    block = block or hookpoint
    width = family.width(description.configs, block)
    grid = description.grid(size, block) if stream == "image" else _text_grid(description, block)
    return Layer(alias, hookpoint, width, grid, stream, signal)  # type: ignore[arg-type]


def _text_grid(description: ModelDescription, hookpoint: str) -> tuple[int, int]:
    """Return the grid of text tokens: one row."""
    text = description.family.text_stream()
    if hookpoint not in text.hookpoints(description.configs):
        raise UsageError(f"{hookpoint} of {description.name} hands no text on", "name a block before it")
    return 1, text.length(description.defaults.max_sequence_length)


def _block_of_mlp(description: ModelDescription, hookpoint: str) -> str | None:
    """Return the layer whose MLP for image tokens a path is; None where it is no such path."""
    family, known = description.family, set(description.family.hookpoints(description.configs))
    block = hookpoint
    while "." in block:
        block = block.rpartition(".")[0]
        if block in known:
            with suppress(UsageError):
                units = family.neurons(description.configs, block)[0]
                return block if units in {hookpoint + end for end in _IN_MLP} else None
    return None


def grid_at(model: Described, layer: Layer, size: Size | None) -> tuple[int, int]:
    """Return the grid of a layer's tokens in pictures of another size; inside a block it is that of the block.

    The number of text tokens does not depend on the size. A capture compares it with that of the call.

    Raises:
        UsageError: The size does not fit the layer.
    """
    if layer.stream == "text":
        return layer.grid
    description = model.description
    known = set(description.family.hookpoints(description.configs))
    hookpoint = layer.hookpoint
    while hookpoint not in known and "." in hookpoint and not description.family.open:
        hookpoint = hookpoint.rpartition(".")[0]
    return description.grid(size, hookpoint)


def layer_at(model: Described, layer: Layer, size: Size | None) -> Layer:
    """Return the layer in pictures of another size; see `grid_at`."""
    return replace(layer, grid=grid_at(model, layer, size))


def neurons_of(model: Described, layer: Layer) -> Layer:
    """Return the hidden units of a layer's MLP, as a layer of the same name."""
    description = model.description
    family = description.family
    neurons = family.neurons if layer.stream == "image" else family.text_stream().neurons
    hookpoint, width = neurons(description.configs, layer.hookpoint)
    return replace(layer, alias=layer.name, hookpoint=hookpoint, d_in=width, signal="output")


def mlp_of(model: Described, layer: Layer) -> Layer:
    """Return the MLP of a layer as a map of its input to its output, as a layer of the same name.

    Raises:
        UsageError: The layer has no MLP that is known, or none that is a module of its own.
    """
    units = neurons_of(model, layer).hookpoint
    path = next((units.removesuffix(end) for end in _IN_MLP if units.endswith(end)), None)
    if path is None:
        raise UsageError(
            f"the MLP of {layer.hookpoint} is no module of its own", "name another block, or fit another kind"
        )
    return replace(layer, alias=layer.name, hookpoint=path, signal="map")
