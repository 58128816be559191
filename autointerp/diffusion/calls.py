"""The denoiser's calls: the step and the branch of each, checked against the call itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from autointerp.diffusion.arguments import named
from autointerp.errors import AutointerpError

if TYPE_CHECKING:
    from autointerp.diffusion.passes import Pass

UNSUPPORTED = "this version of diffusers is not supported; install the one in constraints.txt"


def steps_of_calls(scheduler: Any, steps: int, unrun: int = 0) -> list[int]:
    """Assign each run of the denoiser to a 0-based step, for a scheduler whose timesteps are set.

    Runs are told apart by their position alone: neighbouring steps may share a rounded timestep. Schedulers of second
    order (Heun, DPM2, DPM++ SDE) run the denoiser twice in every step but the last, and PNDM runs it once more in its
    second step, or four times in each of the first three. The run that starts from the sample that its step arrived at
    represents the step. The others get -1.

    Args:
        scheduler: diffusers' scheduler, after `set_timesteps`.
        steps: Number of denoising steps that were asked for.
        unrun: Last timesteps at which the denoiser does not run, see `Family.unrun`; they get -1 too.

    Raises:
        AutointerpError: The number of runs is none that is known for this number of steps.
    """
    runs, order = len(scheduler.timesteps), getattr(scheduler, "order", 1)
    if runs == steps + unrun and (order == 1 or steps == 1):
        return [*range(steps), *[-1] * unrun]
    if order == 2 and runs == 2 * steps - 1:
        return [-1 if run % 2 else run // 2 for run in range(runs)]
    if type(scheduler).__name__ == "PNDMScheduler":
        if scheduler.config.get("skip_prk_steps") and runs == steps + 1:
            return [0, -1, *range(1, steps)]
        if not scheduler.config.get("skip_prk_steps") and runs == steps + 9:
            return [run // 4 if run < 12 and run % 4 == 0 else run - 9 if run >= 12 else -1 for run in range(runs)]
    raise AutointerpError(
        f"the scheduler {type(scheduler).__name__} runs the denoiser {runs} times in {steps} steps, in an "
        "order that is not known",
        "use another number of steps, or a model with another scheduler",
    )


def reads_freely(tensor: torch.Tensor) -> bool:
    """Whether a number of the tensor is read without waiting for an accelerator."""
    return tensor.device.type == "cpu"


_ROUNDING = 2**-9
"""Largest relative error of a number that is rounded to bfloat16, the coarsest of half precision."""


class Calls:
    """Follows the denoiser through a pass, and describes its present call.

    Attributes:
        step: 0-based step; -1 in a call that only corrects the step before (see `steps_of_calls`).
        run: Number of the denoiser's run; calls of the branches of one run share it.
        conditional: Whether the call computes the conditional branch of a step.
        timestep: The scheduler's timestep.
        text_tokens: Number of text tokens in the call; 0 where text enters by cross-attention alone.
        image_tokens: Number of image tokens in the call; 0 where latents are not packed into tokens.
        batch: Number of rows of the call. Guidance may double the images.
    """

    def __init__(self, batch: Pass) -> None:
        self._pass = batch
        self._seen, self._plan, self._timesteps = 0, [-1], [0.0]
        self.step, self.run, self.conditional, self.timestep = -1, -1, False, 0.0
        self.text_tokens, self.image_tokens, self.batch = 0, 0, 0
        self._unread: list[tuple[int, torch.Tensor]] = []
        """Runs on an accelerator with the timestep that the denoiser was given, float32 [1]."""

    def before(self, module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Take in a call that is about to begin: a forward pre-hook of the denoiser.

        Raises:
            AutointerpError: The call differs from what is known of the model's family.
        """
        inputs, model = named(module, args, kwargs), self._pass.model
        scheduled = model.pipeline.scheduler.timesteps
        if not self._seen:
            # Read the timesteps once: on an accelerator, reading a number waits for all pending work.
            self._timesteps = [float(t) for t in torch.as_tensor(scheduled).tolist()]
            self._plan = steps_of_calls(model.pipeline.scheduler, self._pass.steps, model.family.unrun)
        self.run, branch = divmod(self._seen, self._pass.branches)
        self._seen += 1
        if self.run >= len(self._plan) or len(scheduled) != len(self._plan):
            raise AutointerpError("the pipeline ran its denoiser more often than its steps say", UNSUPPORTED)
        self.step, self.timestep = self._plan[self.run], self._timesteps[self.run]
        self.conditional = branch == self._pass.conditional_branch and self.step >= 0
        self._check_timestep(model.family.timestep(inputs))
        sizes, count = model.family.sizes(inputs), self._pass.count
        self.batch, self.text_tokens, self.image_tokens = sizes
        if self.batch != count and not (model.family.doubles and self.batch == 2 * count):
            raise AutointerpError(
                f"the denoiser ran a batch of {self.batch} for {count} images", "a guidance of 1 may do"
            )

    @property
    def rows(self) -> slice:
        """The rows of the call's batch that are of the conditional branch, in a conditional call."""
        return self._pass.model.family.conditional_rows(self.batch, self._pass.count)

    def _check_timestep(self, given: Any) -> None:
        """Compare the timestep that the denoiser is given with the scheduler's, or note it for `check`."""
        if isinstance(given, torch.Tensor) and not reads_freely(given):
            self._unread.append((self.run, given.detach().flatten()[:1].float()))
            return
        self._compare(self.run, float(given.flatten()[0] if isinstance(given, torch.Tensor) else given))

    @property
    def unread(self) -> torch.Tensor:
        """The timesteps that the denoiser was given on an accelerator so far, float32 [n], for `check`."""
        return torch.cat([given for _, given in self._unread]) if self._unread else torch.zeros(0)

    def check(self, given: torch.Tensor | None = None) -> None:
        """Compare the timesteps of all calls with the scheduler's, at the end of a pass: to read them is to wait.

        Args:
            given: What `unread` gave, where it was read together with other tensors.

        Raises:
            AutointerpError: They differ.
        """
        for (run, _), value in zip(self._unread, (self.unread if given is None else given).tolist(), strict=True):
            self._compare(run, value)
        self._unread = []

    def _compare(self, run: int, value: float) -> None:
        model, expected = self._pass.model, self._timesteps[run]
        family, told = model.family, model.family.timesteps(value)
        tolerance = 0.01 * abs(expected) + 1e-3
        # In half precision the denoiser may be given a rounded timestep, which can stand for a wide range of noise.
        rounding = 0.0 if model.dtype == torch.float32 else _ROUNDING
        ends = [family.timesteps(value * (1 + sign * rounding)) for sign in (-1, 1)]
        ranges = [sorted(end) for end in zip(*ends, strict=True)]
        if all(not low - tolerance <= expected <= high + tolerance for low, high in ranges):
            raise AutointerpError(
                f"call {run} of the denoiser ran at timestep {told[0]:g}, not {expected:g}",
                "a guidance of 1 may do" if family.open else UNSUPPORTED,
            )
