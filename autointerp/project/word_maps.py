"""Word maps of a workspace's images: each image is run once more from its prompt and seed, without its picture.

Maps are not stored: they would be larger than the pictures, and a run without decoding costs little. An image that the
settings no longer make is refused, because its maps would be those of another picture.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from autointerp.db import queries
from autointerp.diffusion.jobs import ImageJob, generation_hash
from autointerp.diffusion.words import attention_of
from autointerp.errors import AutointerpError
from autointerp.project.context import Context

if TYPE_CHECKING:
    from autointerp.db.queries.images import ImageSource
    from autointerp.diffusion.word_maps import WordMaps

_KEPT = 4000
"""Images whose maps are kept in memory: features share many."""


class RerunWordMaps:
    """A `WordMapSource` of the images that a workspace has stored.

    Args:
        ctx: The workspace.

    Raises:
        UsageError: It is not known where the model attends to words.
    """

    def __init__(self, ctx: Context) -> None:
        attention_of(ctx.description)
        self._ctx = ctx
        self.name = f"{ctx.description.name}@{ctx.description.revision}"
        self._known: dict[int, WordMaps] = {}

    def of(self, image_ids: Collection[int]) -> dict[int, WordMaps]:
        """Return the word maps of images, of which those that are not known yet are run.

        Raises:
            AutointerpError: An image cannot be made again by the workspace's settings.
        """
        missing = sorted(set(image_ids) - set(self._known))
        if len(self._known) + len(missing) > _KEPT:
            self._known = {image: self._known[image] for image in image_ids if image in self._known}
        self._run(missing)
        return {image: self._known[image] for image in image_ids}

    def _run(self, image_ids: Collection[int]) -> None:
        from autointerp.diffusion.capture import Capture
        from autointerp.diffusion.generation import generate
        from autointerp.diffusion.word_maps import WordRequest
        from autointerp.diffusion.words import WordReader

        if not image_ids:
            return
        ctx = self._ctx
        with ctx.db.session() as session:
            sources = queries.images.sources(session, image_ids)
        jobs = [self._job(sources[image]) for image in image_ids]
        found: list[WordMaps] = []
        request = WordRequest(
            WordReader(ctx.description, ctx.generation.max_sequence_length), lambda _, maps: found.append(maps)
        )
        # Real pictures are read at the captured steps; generated images are run through all their steps.
        capture = Capture([], ctx.capture_steps, lambda _: None, request)
        for _ in generate(ctx.model, jobs, ctx.generation, capture, ctx.settings.batch_size, decode=False):
            pass
        self._known.update(zip(image_ids, found, strict=True))

    def _job(self, source: ImageSource) -> ImageJob:
        """Return the job that makes an image again.

        Raises:
            AutointerpError: The settings make another image of it.
        """
        ctx, plain = self._ctx, ImageJob(source.image_index, source.prompt, source.seed)
        if self._makes(plain, source):
            return plain
        # A size of its own, or a real picture, is known to the source of prompts alone.
        try:
            (job,) = ctx.jobs(source.image_index, source.image_index + 1)
        except (AutointerpError, ValueError):
            job = plain
        if not self._makes(job, source):
            raise AutointerpError(
                f"the image {source.prompt[:60]!r} was made by other settings than these, so its words cannot be read",
                "set model, steps, guidance and size as it was harvested, or harvest again",
            )
        return job

    def _makes(self, job: ImageJob, source: ImageSource) -> bool:
        described = self._ctx.description
        made = generation_hash(described.name, described.revision, job, self._ctx.generation)
        return made == source.generation_hash
