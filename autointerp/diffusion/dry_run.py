"""See how a pipeline without an entry is called, by running it for two steps on tiny pictures.

A dry run shows whether a guidance scale takes effect and by which arguments, how many calls a step it causes, which
call or half of a batch depends on the prompt, how many tokens each module returns for two sizes of picture, and
whether the scheduler is given the prediction itself.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from autointerp.diffusion.arguments import named
from autointerp.diffusion.families.generic import NOT_KNOWN, GenericFamily, Seen, token_counts
from autointerp.diffusion.sizing import exact_size
from autointerp.diffusion.stepping import listening
from autointerp.errors import AutointerpError, is_out_of_memory
from autointerp.hub import first_line

if TYPE_CHECKING:
    from autointerp.diffusion.layers import Layer
    from autointerp.diffusion.model import Model

_SIDES = (4, 6)
"""Coarsest cells a side of the pictures; numbers of text tokens do not change as these do."""
_PROMPTS = ("a large red circle", "a small blue square")
_STEPS = 2


@dataclass(frozen=True)
class _Run:
    """One dry run.

    Attributes:
        calls: Arguments by name of each denoiser call of the first step.
        counts: Module -> number of the denoiser's call -> tokens in each part of the module's output.
        sign: 1 where the scheduler is given the denoiser's prediction, -1 where its negative; None for anything else.
    """

    calls: list[dict[str, Any]]
    counts: dict[str, dict[int, tuple[int | None, ...]]]
    sign: int | None

    def at(self, number: int) -> dict[str, list[tuple[int | None, ...]]]:
        """Return the tokens that each module returned in one of the calls of a step, step by step."""
        return {
            path: [count for call, count in by_call.items() if call % len(self.calls) == number]
            for path, by_call in self.counts.items()
        }


def look(model: Model, guidance: float) -> None:
    """Run a pipeline without an entry dry at a guidance scale, once; its family keeps what was seen.

    Raises:
        AutointerpError: It does not run, the guidance has no effect, or it is not certain what is conditional.
    """
    family = model.family
    assert isinstance(family, GenericFamily)
    if guidance in family.seen:
        return
    accepted = set(inspect.signature(type(model.pipeline).__call__).parameters)
    plain = _run(model, _asking(accepted, 1.0)[0], _PROMPTS[0], _SIDES[0])
    if len(plain.calls) > 1 or len(family.latents(plain.calls[0])) > 1:
        raise AutointerpError(
            f"{family.pipeline_class} runs its denoiser several times a step even without guidance, and what for is "
            "not known",
            NOT_KNOWN,
        )
    chosen, found = _asking(accepted, guidance)[0], plain
    if guidance > 1:
        for arguments in _asking(accepted, guidance):
            run = _run(model, arguments, _PROMPTS[0], _SIDES[0])
            if _differ(run.calls, plain.calls):
                chosen, found = arguments, run
                break
        else:
            raise AutointerpError(
                f"guidance has no effect on {family.pipeline_class}", "set guidance = 1 in autointerp.toml"
            )
    other = _run(model, chosen, _PROMPTS[1], _SIDES[0])
    conditional, first = _conditional(model, chosen, found, other)
    larger = _run(model, chosen, _PROMPTS[0], _SIDES[1])
    small, large = (
        family.latents(run.calls[0]).numel() * side**2 for run, side in zip((found, larger), _SIDES[::-1], strict=True)
    )
    if small != large:
        raise AutointerpError(
            f"{family.pipeline_class} paints pictures of another size than it is asked for", NOT_KNOWN
        )
    family.conditional_first = family.conditional_first or first
    family.sign = plain.sign
    both = [run.at(conditional) for run in (found, larger)]
    changing = frozenset(path for run in both for path, counts in run.items() if len(set(counts)) > 1)
    first_step = tuple({path: counts[0] for path, counts in run.items() if counts} for run in both)
    family.seen[guidance] = Seen(chosen, len(found.calls), conditional, first_step, changing)


def check_layer(model: Model, layer: Layer, guidance: float) -> None:
    """Check that a hookpoint of a pipeline without an entry returns image tokens alone in one tensor.

    Raises:
        AutointerpError: It does not, as far as dry runs show.
    """
    family = model.family
    if isinstance(family, GenericFamily):
        look(model, guidance)
        sides = (_pixels(model, side) // family.cell_pixels(model.configs, layer.hookpoint) for side in _SIDES)
        family.check_place(layer.hookpoint, tuple(side**2 for side in sides))


def _asking(accepted: set[str], guidance: float) -> list[dict[str, Any]]:
    """List the ways to ask for a guidance scale that a pipeline's arguments allow; no argument is one of them."""
    # Some pipelines round a size to one of their training, so that a grid would be another one, or change a prompt.
    wanted = {"use_resolution_binning": False, "enable_prompt_rewrite": False, "complex_human_instruction": None}
    always = {key: value for key, value in wanted.items() if key in accepted}
    names = ("guidance_scale", "distilled_guidance_scale")
    ways: list[dict[str, Any]] = [{name: guidance} for name in names if name in accepted]
    if {"true_cfg_scale", "negative_prompt"} <= accepted:
        ways.append({"true_cfg_scale": guidance, **({"negative_prompt": [" "]} if guidance > 1 else {})})
    return [{**always, **way} for way in ways or [{}]]


def _pixels(model: Model, side: int) -> int:
    return side * model.description.coarsest_cell


def _run(model: Model, arguments: Mapping[str, Any], prompt: str, side: int, count: int = 1) -> _Run:
    """Run the pipeline on `count` pictures of one prompt, of `side` coarsest cells a side.

    Raises:
        AutointerpError: It fails, or its calls are not a whole number a step.
    """
    calls: list[dict[str, Any]] = []
    counts: dict[str, dict[int, tuple[int | None, ...]]] = {}
    answers: list[Any] = []
    given: list[Any] = []
    pipeline, pixels = model.pipeline, _pixels(model, side)
    accepted = set(inspect.signature(type(pipeline).__call__).parameters)
    sizes = {"width": pixels, "height": pixels}

    def note(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        calls.append(named(module, args, kwargs))

    def count_of(path: str) -> Callable[..., None]:
        def count(_module: torch.nn.Module, _args: Any, output: Any) -> None:
            counts.setdefault(path, {})[len(calls) - 1] = token_counts(output)

        return count

    handles = [model.denoiser.register_forward_pre_hook(note, with_kwargs=True)]
    handles += [model.denoiser.register_forward_hook(lambda _module, _args, output: answers.append(output))]
    handles += [module.register_forward_hook(count_of(path)) for path, module in model.denoiser.named_modules() if path]
    try:
        with (
            torch.inference_mode(),
            model.autocast(),
            warnings.catch_warnings(),
            exact_size(model, pixels, pixels),
            listening(pipeline.scheduler, lambda answer, _found: given.append(answer)),
        ):
            warnings.simplefilter("ignore")
            made = pipeline(
                prompt=[prompt] * count,
                num_inference_steps=_STEPS,
                generator=[torch.Generator("cpu").manual_seed(0) for _ in range(count)],
                output_type="latent",
                **{key: value for key, value in sizes.items() if key in accepted},
                **{key: value * count if isinstance(value, list) else value for key, value in arguments.items()},
            )
    except Exception as error:  # Pipelines raise whatever their libraries do.
        if is_out_of_memory(error):
            raise
        raise AutointerpError(
            f"{type(pipeline).__name__} does not run on a picture of {pixels} px: {first_line(error)}", NOT_KNOWN
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    if not hasattr(made, "images"):
        raise AutointerpError(f"{type(pipeline).__name__} gives no pictures by the name of images", NOT_KNOWN)
    runs = len(pipeline.scheduler.timesteps)
    if not calls or len(calls) % runs:
        raise AutointerpError(
            f"{type(pipeline).__name__} calls its denoiser {len(calls)} times in {runs} steps, in an order that is "
            "not known",
            NOT_KNOWN,
        )
    return _Run(calls[: len(calls) // runs], counts, _sign(answers[0], given[0] if given else None))


def _sign(answer: Any, given: Any) -> int | None:
    """Return the sign with which the scheduler is given the denoiser's answer; None where it is given another thing."""
    predicted = answer[0] if isinstance(answer, (tuple, Mapping)) else answer
    if not isinstance(predicted, torch.Tensor) or not isinstance(given, torch.Tensor):
        return None
    # Some denoisers also predict a variance, in channels after those of the noise.
    predicted = predicted[:, : given.shape[1]]
    signs = [sign for sign in (1, -1) if predicted.shape == given.shape and torch.equal(predicted * sign, given)]
    return signs[0] if len(signs) == 1 else None


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors in an argument."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _tensors(one)
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _tensors(one)


def _differ(one: Any, other: Any) -> bool:
    """Whether two arguments differ in any tensor."""
    mine, theirs = list(_tensors(one)), list(_tensors(other))
    return len(mine) != len(theirs) or any(
        a.shape != b.shape or not torch.equal(a, b) for a, b in zip(mine, theirs, strict=True)
    )


def _conditional(model: Model, arguments: Mapping[str, Any], found: _Run, other: _Run) -> tuple[int, bool]:
    """Return which call of a step depends on the prompt, and whether the first half of a doubled batch does.

    Raises:
        AutointerpError: None does, or several do.
    """
    family = model.family
    changed = [number for number, pair in enumerate(zip(found.calls, other.calls, strict=True)) if _differ(*pair)]
    rows = len(family.latents(found.calls[0]))
    halves = [0]
    if len(found.calls) == 1 and rows == 2:
        halves = _halves(found, other, _run(model, arguments, _PROMPTS[0], _SIDES[0], 2))
    if len(changed) != 1 or len(halves) != 1 or (len(found.calls) > 1 and rows > 1) or rows > 2:
        raise AutointerpError(
            f"which runs of the denoiser read the prompt is not certain of {family.pipeline_class}",
            "a guidance of 1 may do",
        )
    return changed[0], rows == 2 and halves == [0]


def _halves(found: _Run, other: _Run, both: _Run) -> list[int]:
    """Return which halves of a doubled batch depend on the prompt, told by two prompts and by two pictures.

    An argument may have two of another thing, such as layers of a text encoder. Only those of which two pictures have
    four are rows of a batch.
    """
    changes = set()
    for name, value in found.calls[0].items():
        tensors = [list(_tensors(given)) for given in (value, other.calls[0][name], both.calls[0][name])]
        for one, another, more in zip(*tensors, strict=False):  # Lists of one item a picture are of another length.
            if one.shape == another.shape and one.ndim > 0 and (len(one), more.shape[:1]) == (2, (4,)):
                changes |= {half for half in (0, 1) if not torch.equal(one[half], another[half])}
    return sorted(changes)
