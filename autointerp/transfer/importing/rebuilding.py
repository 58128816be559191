"""Whether an imported dictionary rebuilds the activations of this model, measured on a few images.

A dictionary that reads another signal, other steps or scaled activations loads without an error, and all that is made
with it is noise. The share of variance that it leaves unexplained (FVU) tells.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from autointerp.diffusion.devices import pick_device
from autointerp.diffusion.families import SIGNALS
from autointerp.errors import AutointerpError

if TYPE_CHECKING:
    import torch

    from autointerp.dictionaries.protocol import Dictionary
    from autointerp.dictionaries.rounds import Round
    from autointerp.project.context import Context
    from autointerp.transfer.importing.placement import Placement

IMAGES = 4
"""Images that are read where there is an accelerator and the user says nothing."""
SANE = 0.9
"""A larger FVU is worth a warning: the mean of the activations has 1."""
_BETTER = 0.8
"""Another reading is named as the likely one if its FVU is sane, and smaller than this share of the present one."""
_POOR, _FAR_BETTER = 0.5, 1 / 3
"""Above the first FVU, another reading with less than this share of it is worth a warning too."""
_ROWS = 4096
"""Activations that are measured, drawn evenly."""


@dataclass(frozen=True)
class Reading:
    """A way to read activations for a dictionary, with the FVU of the dictionary on them."""

    how: str
    remedy: str
    fvu: float


def warn_of_rebuilding(ctx: Context, dictionary: Dictionary, placement: Placement, asked: int | None) -> str | None:
    """Run the model on a few images, and return a warning if the dictionary does not rebuild its activations.

    Args:
        ctx: The command's view of the workspace.
        dictionary: The dictionary that is imported.
        placement: Its layer, signal and steps.
        asked: Images to read; None for a few where there is an accelerator, and none on a processor.

    Returns:
        The warning, with what usually is wrong; None where the dictionary rebuilds them, or nothing was read.

    Raises:
        AutointerpError: The model cannot be run, and the user asked for it.
    """
    images = IMAGES if asked is None and pick_device(ctx.settings.device) != "cpu" else asked or 0
    if not images or dictionary.kind == "neurons":  # Neurons are the activations themselves.
        return None
    try:
        readings = measure_readings(ctx, dictionary, placement, images)
    except AutointerpError as error:
        if asked is not None:
            raise
        return f"whether it rebuilds the layer was not measured: {error.message}"
    return warning_of(readings, images)


def warning_of(readings: list[Reading], images: int) -> str | None:
    """Return the warning for the readings of a dictionary, of which the first is the present one; None if it is sane.

    >>> warning_of([Reading("as it is", "", 0.2)], 4) is None
    True
    """
    here, others = readings[0], readings[1:]
    likely = min(others, key=lambda reading: reading.fvu, default=here)
    if here.fvu <= (_POOR if likely.fvu <= _FAR_BETTER * here.fvu else SANE):
        return None
    said = f"it does not rebuild the layer: FVU {here.fvu:.2f} on {images} images, and their mean alone has 1"
    if likely.fvu <= min(SANE, _BETTER * here.fvu):
        return f"{said}; {likely.how} it has {likely.fvu:.2f}: {likely.remedy}"
    tried = ", ".join(f"{reading.how} {reading.fvu:.2f}" for reading in others)
    return f"{said}; tried in vain: {tried}; maybe it is of another layer, model, or scale of activations"


def measure_readings(ctx: Context, dictionary: Dictionary, placement: Placement, images: int) -> list[Reading]:
    """Measure a dictionary on the activations as they are read, and as they may have been read where it was fitted.

    Returns:
        The present reading; then the other signal, other single steps, and normalised activations.
    """
    from autointerp.stages.fit.activations import generate_rounds

    layer, steps = placement.layer, sorted(placement.steps)
    # A transcoder reads an MLP, which has no other signal, and whose two tensors have scales of their own.
    is_map = layer.signal == "map"
    others = {} if is_map else {signal: replace(layer, signal=signal) for signal in SIGNALS if signal != layer.signal}
    last = ctx.generation.steps - 1
    is_per_step = getattr(dictionary, "modulation", None) is not None
    tried = [] if is_per_step else sorted({0, last // 2, last} - set(steps))
    with ctx.progress.task("checking the reconstruction", images, unit="image") as bar:
        found = generate_rounds(ctx, [layer, *others.values()], ctx.jobs(0, images), [*steps, *tried], bar)
    here = found[layer].of_steps(steps)
    readings = [Reading("as it is", "", _fvu(dictionary, here))]
    for signal, other in others.items():
        fvu = _fvu(dictionary, found[other].of_steps(steps))
        readings.append(Reading(f"with the signal {signal}", f"import it again with --signal {signal}", fvu))
    for step in tried:
        fvu = _fvu(dictionary, found[layer].of_steps([step]))
        readings.append(Reading(f"at step {step}", f"set capture_steps to [{step}]", fvu))
    for how, scaled in ({} if is_map else _SCALED).items():
        fvu = _fvu(dictionary, replace(here, acts=scaled(here.acts.float())))
        readings.append(Reading(how, "fold that into the weights, and import it again", fvu))
    return readings


def _standard(acts: torch.Tensor) -> torch.Tensor:
    return (acts - acts.mean(0)) / acts.std(0).clamp_min(1e-6)


def _to_mean_norm(acts: torch.Tensor, norm: float) -> torch.Tensor:
    return acts * (norm / acts.norm(dim=1).mean().clamp_min(1e-6))


_SCALED: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "on activations of mean 0 and deviation 1": _standard,
    "on activations less their mean": lambda acts: acts - acts.mean(0),
    "on activations of mean norm 1": lambda acts: _to_mean_norm(acts, 1.0),
    "on activations of mean norm sqrt(d_in)": lambda acts: _to_mean_norm(acts, acts.shape[1] ** 0.5),
}
"""Normalisations that tools do before they fit, by what the warning calls them."""


def _fvu(dictionary: Dictionary, read: Round) -> float:
    """Return the FVU of a dictionary on activations drawn evenly from a round."""
    from autointerp.dictionaries.metrics import Reconstruction

    every = max(len(read) // _ROWS, 1)
    figures = Reconstruction(dictionary.d_in, dictionary.num_latents)
    figures.update(dictionary, read.acts[::every].float(), read.steps[::every])
    return figures.fvu
