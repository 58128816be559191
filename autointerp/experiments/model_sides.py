"""The two models of a comparison: the workspace's, and another one that generates the same prompts and seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from autointerp.diffusion.loras import lora_name, split_weight
from autointerp.errors import UsageError
from autointerp.experiments.subjects import OtherRun
from autointerp.project.settings_file import settings_of_assignments
from autointerp.views.compared_models import CHANCE, DIFFERENCE

if TYPE_CHECKING:
    from autointerp.db.models import DictionaryRow
    from autointerp.diffusion.layers import Layer
    from autointerp.project.context import Context


@dataclass(frozen=True)
class ModelSide:
    """A model of a comparison.

    Attributes:
        name: What tables call it.
        ctx: The workspace with this model.
        layer: The layer that the dictionary reads.
        told: The steps that are read, each with the step of the workspace's model that the dictionary is told.
    """

    name: str
    ctx: Context
    layer: Layer
    told: Mapping[int, int]

    @property
    def shares_model(self) -> bool:
        """Whether its weights are those of the workspace's model, which is then loaded once."""
        return not isinstance(self.ctx, OtherRun) or self.ctx.shares_model

    def configuration(self) -> dict[str, Any]:
        """Return what decides its pictures, as plain JSON."""
        about = self.ctx.description
        return {
            "name": self.name,
            "model": about.name,
            "revision": about.revision,
            "generation": asdict(self.ctx.generation),
            "steps": sorted(self.told),
        }


def sides_of(ctx: Context, row: DictionaryRow, options: Mapping[str, Any]) -> tuple[ModelSide, ModelSide]:
    """Return the workspace's model, and the other one that options name: `model`, `revision`, `loading`, `steps`.

    The other model is read at the steps that lie at the same share of its run.

    Raises:
        UsageError: Nothing differs, the other model lacks the dictionary's layer or has another by its alias, or an
            option is wrong.
    """
    wanted = settings_of_assignments([f"loading.{text}" for text in options["loading"]], {}).loading
    loading = wanted.model_dump(include=wanted.model_fields_set)
    is_named = bool(options["model"] or options["revision"] or loading)
    other = OtherRun(
        ctx,
        loading if is_named else None,
        options["revision"],
        model=options["model"],
        steps=options["steps"],
        size=ctx.generation.size,
    )
    home = [step for step in row.steps if step < ctx.generation.steps] or list(ctx.capture_steps)
    told = {same_share(step, ctx.generation.steps, other.generation.steps): step for step in home}
    names = _names(ctx, other)
    first = ModelSide(names[0], ctx, ctx.layer_of(row), {step: step for step in home})
    second = ModelSide(names[1], other, other.layer_of(row), told)
    if second.layer.hookpoint != row.hookpoint:
        raise UsageError(
            f"{row.name} reads {row.hookpoint}, and {second.layer.name} of {names[1]} is {second.layer.hookpoint}",
            "name a model of the same pipeline class",
        )
    alike = ({**side.configuration(), "name": ""} for side in (first, second))
    if next(alike) == next(alike):
        raise UsageError(
            f"{names[0]} is both models, and nothing differs between them",
            "name another one: --model, --revision, --loading lora=FILE or --steps",
        )
    return first, second


def same_share(step: int, of: int, steps: int) -> int:
    """Return the step of a run of `steps` steps that ends at the same share of the run as a step of one of `of` steps.

    >>> [same_share(step, 4, 12) for step in range(4)], same_share(7, 12, 4)
    ([2, 5, 8, 11], 2)
    """
    return max(round((step + 1) * steps / of) - 1, 0)


def _names(ctx: Context, other: Context) -> tuple[str, str]:
    """Return what the models are called: by their own names where these tell them apart."""
    shown = [_parts(ctx), _parts(other)]
    for number in range(1, len(shown[0]) + 1):
        first, second = (" ".join(part for part in parts[:number] if part) for parts in shown)
        if first != second:
            break
    reserved = (DIFFERENCE, CHANCE)
    first, second = (f"{name} (model)" if name in reserved else name for name in (first, second))
    return first, second if second != first else f"{second} (other)"


def _parts(ctx: Context) -> Sequence[str]:
    """Return the words of a model's name, the most telling first."""
    settings = ctx.settings
    loras = [split_weight(entry) for entry in settings.loading.lora]
    return (
        settings.model.rstrip("/").rpartition("/")[2],
        " ".join(f"+ {lora_name(place)}:{weight:g}" for place, weight in loras),
        "" if settings.loading.quantize == "none" else settings.loading.quantize,
        settings.revision or "",
        f"{ctx.generation.steps} steps",
    )
