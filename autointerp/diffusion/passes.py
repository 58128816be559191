"""A pass: one generation of one batch, the value that all that happens during it is built from."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from autointerp.errors import UsageError

if TYPE_CHECKING:
    from autointerp.diffusion.description import ModelDescription
    from autointerp.diffusion.families import PipelineCall
    from autointerp.diffusion.jobs import GenerationSettings, ImageJob
    from autointerp.diffusion.model import Model


@dataclass(frozen=True, eq=False)
class Pass:
    """One run of a model's pipeline over a batch of images.

    Attributes:
        model: The model that runs.
        jobs: The images of the batch, in the pipeline's order; all of one size and kind.
        settings: Settings of the generation; their size is that of the batch.
    """

    model: Model
    jobs: tuple[ImageJob, ...]
    settings: GenerationSettings

    def __post_init__(self) -> None:
        """See how a pipeline without an entry is called, before anything hooks on it."""
        if self.model.family.open:
            from autointerp.diffusion.dry_run import look

            look(self.model, self.settings.guidance)

    @property
    def count(self) -> int:
        """Number of images in the batch."""
        return len(self.jobs)

    @property
    def steps(self) -> int:
        """Number of denoising steps."""
        return self.settings.steps

    @property
    def branches(self) -> int:
        """Number of denoiser calls a step."""
        return self._call.branches

    @property
    def conditional_branch(self) -> int:
        """Number of the conditional call among the calls of a step."""
        return self._call.conditional

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The pipeline's arguments that ask for the guidance of the settings, and for negative prompts.

        Raises:
            UsageError: An image has a negative prompt, and there is no guidance that could lead away from it.
        """
        if not any(job.negative for job in self.jobs):
            return self._call.arguments
        if not takes_negative_prompts(self.model.description, self.settings.guidance):
            raise UsageError(
                f"{self.model.family.pipeline_class} at guidance {self.settings.guidance:g} takes no negative prompt",
                "leave it out, or set guidance above 1 where the pipeline has two branches",
            )
        return {**self._call.arguments, "negative_prompt": [job.negative for job in self.jobs]}

    @cached_property
    def _call(self) -> PipelineCall:
        """The call that the model's family makes for this guidance."""
        return self.model.family.call(self.model.configs, self.settings.guidance, self.count)


def takes_negative_prompts(model: ModelDescription, guidance: float) -> bool:
    """Whether a guidance scale has a branch for what it leads away from, and the pipeline lets that be told."""
    family = model.family
    if guidance <= 1 or not (family.doubles or family.call(model.configs, guidance, 1).branches > 1):
        return False
    import diffusers

    return "negative_prompt" in inspect.signature(getattr(diffusers, family.pipeline_class).__call__).parameters
