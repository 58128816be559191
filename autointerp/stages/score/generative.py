"""The judge of the generative score: the model that is explained, by how much a feature fires in its pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from autointerp.crops.reading import read_code
from autointerp.db.models import DictionaryRow
from autointerp.labeling.protocol import Trial, Verdict
from autointerp.project.context import Context

if TYPE_CHECKING:
    from autointerp.diffusion.capture import LayerActivations
    from autointerp.diffusion.jobs import ImageJob

_KEPT = 20_000
"""Pictures whose activations are kept in memory: the unrelated ones come back with every label."""


class ModelJudge:
    """Answers with the largest activation of the trial's latent in the picture of the trial's prompt and seed.

    The maximum is over all cells and over the steps that the dictionary reads. Each picture is generated once.
    """

    kind, base_url, prompt_hash = "model", "", ""
    asker = None
    jobs = together = 1

    def __init__(self, ctx: Context, row: DictionaryRow) -> None:
        self.ctx, self.row, self.model = ctx, row, ctx.description.name
        self.config: dict[str, Any] = {}
        # (prompt, seed) of a picture -> latent -> its largest activation.
        self._known: dict[tuple[str, int], dict[int, float]] = {}

    def judge(self, trials: Sequence[Trial]) -> list[Verdict]:
        """Measure all trials, which may belong to several labels."""
        from autointerp.diffusion.jobs import ImageJob

        wanted = list(dict.fromkeys((trial.prompt, trial.seed) for trial in trials))
        if len(self._known) > _KEPT:
            self._known = {key: self._known[key] for key in wanted if key in self._known}
        missing = [key for key in wanted if key not in self._known]
        self._generate([ImageJob(i, prompt, seed) for i, (prompt, seed) in enumerate(missing)])
        return [Verdict(t, value=self._known[t.prompt, t.seed].get(t.latent, 0.0)) for t in trials]

    def _generate(self, jobs: Sequence[ImageJob]) -> None:
        import torch

        from autointerp.dictionaries.storage import load_dictionary
        from autointerp.diffusion.capture import Capture
        from autointerp.diffusion.generation import generate

        if not jobs:
            return
        ctx, layer = self.ctx, self.ctx.layer_of(self.row)
        folder = ctx.workspace.dictionary_dir(self.row.name)
        dictionary = load_dictionary(folder, self.row.weights_sha256).to(ctx.model.device)

        def read(captured: LayerActivations) -> None:
            code = captured.counted(dictionary.encode(captured.acts.reshape(-1, self.row.d_in), captured.step))
            read = read_code(code, len(captured.jobs), captured.acts.shape[1], self.row.num_latents)
            for number, job in enumerate(captured.jobs):
                mine = read.place == number
                known = self._known.setdefault((job.prompt, job.seed), {})
                for latent, value in zip(read.latent[mine].tolist(), read.activation[mine].tolist(), strict=True):
                    known[latent] = max(known.get(latent, 0.0), value)

        what = f"generate for {self.row.name}"
        with ctx.progress.task(what, len(jobs), unit="image") as bar, torch.inference_mode():
            for batch, _ in generate(
                ctx.model,
                jobs,
                ctx.generation,
                capture=Capture([layer], self.row.steps, read),
                batch_size=ctx.settings.batch_size,
                decode=False,
            ):
                bar.advance(len(batch))
