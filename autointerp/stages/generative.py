"""Who answers the trials of the generative score: the model that is explained, by how much a feature fires."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from autointerp.db.models import Dictionary
from autointerp.labeling.protocol import Trial, Verdict
from autointerp.stages.context import Context

if TYPE_CHECKING:
    from autointerp.diffusion.capture import Captured
    from autointerp.diffusion.generation import ImageJob

_KEPT = 20_000
"""Images whose activations are kept: unrelated ones come back with every label."""


class ModelJudge:
    """Answers with the largest activation of the trial's latent in the picture generated from its prompt and seed.

    The largest is over all cells and the steps that the dictionary reads. Each picture is generated once.
    """

    kind, base_url, prompt_hash = "model", "", ""

    def __init__(self, ctx: Context, row: Dictionary) -> None:
        self.ctx, self.row, self.model = ctx, row, ctx.description.name
        self.config: dict[str, Any] = {}
        self._known: dict[tuple[str, int], dict[int, float]] = {}
        """What fires in a picture: latent -> its largest activation."""

    def judge(self, trials: Sequence[Trial]) -> list[Verdict]:
        """Measure all trials; they may be of several labels."""
        from autointerp.diffusion.generation import ImageJob

        wanted = list(dict.fromkeys((trial.prompt, trial.seed) for trial in trials))
        if len(self._known) > _KEPT:
            self._known = {key: self._known[key] for key in wanted if key in self._known}
        missing = [key for key in wanted if key not in self._known]
        self._generate([ImageJob(i, prompt, seed) for i, (prompt, seed) in enumerate(missing)])
        return [Verdict(t, value=self._known[t.prompt, t.seed].get(t.latent, 0.0)) for t in trials]

    def _generate(self, jobs: Sequence[ImageJob]) -> None:
        import torch

        from autointerp.dictionaries.storage import load_dictionary
        from autointerp.diffusion.generation import generate

        if not jobs:
            return
        ctx, layer = self.ctx, self.ctx.layer_of(self.row)
        dictionary = load_dictionary(ctx.workspace.dictionary_dir(self.row.name)).to(ctx.model.device)

        def read(captured: Captured) -> None:
            for job, acts in zip(captured.jobs, captured.acts, strict=True):
                code = dictionary.encode(acts.reshape(-1, self.row.d_in), captured.step)
                latents = code.latent_indices.reshape(-1).cpu().numpy()
                values = code.latent_acts.reshape(-1).float().cpu().numpy()
                on = values > 0
                fired, place = np.unique(latents[on], return_inverse=True)
                most = np.zeros(len(fired))
                np.maximum.at(most, place, values[on])
                known = self._known.setdefault((job.prompt, job.seed), {})
                for latent, value in zip(fired.tolist(), most.tolist(), strict=True):
                    known[latent] = max(known.get(latent, 0.0), value)

        what = f"generate for {self.row.name}"
        with ctx.progress.task(what, len(jobs), unit="image") as bar, torch.inference_mode():
            for batch, _ in generate(
                ctx.model,
                jobs,
                ctx.generation,
                layers=[layer],
                capture_steps=self.row.steps,
                consumer=read,
                batch_size=ctx.settings.batch_size,
                decode=False,
            ):
                bar.advance(len(batch))
