"""A layer: which tensor of a model a dictionary decomposes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from autointerp.diffusion.families import Signal
from autointerp.diffusion.sizes import Size
from autointerp.errors import UsageError, nearest

if TYPE_CHECKING:
    from autointerp.diffusion.describe import ModelDescription
    from autointerp.diffusion.loading import Model


@dataclass(frozen=True)
class Layer:
    """A place in a model: `hookpoint` is the dotted module path in the pipeline.

    `grid` is (rows, cols) of image tokens in pictures of the size that the layer was resolved for, see `grid_at` for
    any other; `signal` is `output` (the residual stream after the block) or `update` (output minus input).
    """

    alias: str | None
    hookpoint: str
    d_in: int
    grid: tuple[int, int]
    stream: str
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


def list_layers(model: ModelDescription | Model, size: Size | None = None, all_hookpoints: bool = False) -> list[Layer]:
    """The layers of a model that have a name; with `all_hookpoints` every one that can be captured."""
    description = _description(model)
    names = list(description.aliases)
    if all_hookpoints:
        named = set(description.aliases.values())
        names += [h for h in description.family.hookpoints(description.configs) if h not in named]
    return [resolve_layer(description, name, size=size) for name in names]


def resolve_layer(
    model: ModelDescription | Model, name: str, signal: str | None = None, size: Size | None = None
) -> Layer:
    """Find a layer by alias or hookpoint.

    Args:
        model: A loaded model or its description.
        name: An alias, or a dotted hookpoint; a hookpoint that has an alias gets it.
        signal: `output` or `update`; the model's default if None.
        size: Of the pictures, which decides the grid; the model's default if None.

    Raises:
        UsageError: The name, signal or size does not exist here; the hint holds the nearest names.
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
    alias = name if name in aliases else next((a for a, h in aliases.items() if h == hookpoint), None)
    width = family.width(description.configs, hookpoint)
    return Layer(alias, hookpoint, width, description.grid(size, hookpoint), family.stream, signal)  # type: ignore[arg-type]


def grid_at(model: ModelDescription | Model, layer: Layer, size: Size | None) -> tuple[int, int]:
    """The grid of a layer's tokens in pictures of another size; in an MLP it is that of the block around it.

    Raises:
        UsageError: The size does not fit the layer.
    """
    description = _description(model)
    known = set(description.family.hookpoints(description.configs))
    hookpoint = layer.hookpoint
    while hookpoint not in known and "." in hookpoint and not description.family.open:
        hookpoint = hookpoint.rpartition(".")[0]
    return description.grid(size, hookpoint)


def neurons_of(model: ModelDescription | Model, layer: Layer) -> Layer:
    """The hidden units of a layer's MLP, as a layer of the same name."""
    description = _description(model)
    hookpoint, width = description.family.neurons(description.configs, layer.hookpoint)
    return replace(layer, alias=layer.name, hookpoint=hookpoint, d_in=width, signal="output")
