"""Checks of images: their pictures decode, their hashes can be made again, and crops refer to them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from autointerp.crops.render import decode_picture
from autointerp.db import queries
from autointerp.diffusion.jobs import generation_hash
from autointerp.errors import AutointerpError

if TYPE_CHECKING:
    from autointerp.progress import Task
    from autointerp.project.context import Context


def check_pictures(ctx: Context, bar: Task) -> Iterator[str]:
    """Yield the images whose prompt's hash or whose picture is wrong."""
    with ctx.db.session() as session:
        for image in queries.checks.pictures(session):
            bar.advance(1)
            name = f"image {image.image_id}"
            # The prompt_hash of a picture without a caption is that of its file, which is not stored.
            if image.prompt and image.prompt_hash != hashlib.sha256(image.prompt.encode()).hexdigest():
                yield f"the prompt_hash of {name} is not that of its prompt"
            try:
                width, height = decode_picture(image.picture).size
            except AutointerpError:
                yield f"the picture of {name} does not decode"
                continue
            if (width, height) != (image.width, image.height):
                yield f"the picture of {name} is {width}x{height}, not {image.width}x{image.height}"


def check_use(ctx: Context, bar: Task) -> Iterator[str]:
    """Yield the images that nothing refers to; none while a harvest is unfinished, which may still need them."""
    del bar
    with ctx.db.session() as session:
        if queries.checks.harvest_is_unfinished(session):
            return
        for image_id in queries.checks.unused_images(session):
            yield f"image {image_id} is in no crop, and has no random cell"


def check_generation(ctx: Context, bar: Task) -> Iterator[str]:
    """Yield the images whose generation_hash belongs to no job of their harvest.

    A harvest is looked at where the settings still have its model, prompts and way of generating.
    """
    del bar
    with ctx.db.session() as session:
        harvests = queries.checks.finished_harvests(session)
    for harvest in harvests:
        try:
            if not _is_reproducible(ctx, harvest.config):
                continue
            model, revision = harvest.config["model"], harvest.config["revision"]
            jobs = {
                generation_hash(model, revision, job, ctx.generation): (job.prompt, job.seed)
                for job in ctx.jobs(0, harvest.config["images"])
            }
        except AutointerpError as error:
            # The model, its prompts or its pictures are not on this machine.
            ctx.progress.note(f"hashes of images are not looked at: {error.message}")
            return
        with ctx.db.session() as session:
            for image in queries.checks.images_of(session, harvest.dictionary_id):
                if jobs.get(image.generation_hash) != (image.prompt, image.seed):
                    yield (
                        f"the generation_hash of image {image.image_id} is not that of "
                        "its model, prompt, seed and settings"
                    )


def _is_reproducible(ctx: Context, config: dict[str, Any]) -> bool:
    """Return whether the settings would generate the images of a harvest again."""
    here = {
        "model": ctx.description.name,
        "revision": ctx.description.revision,
        "generation": asdict(ctx.generation),
        "seed": ctx.settings.seed,
    }
    if any(config[key] != value for key, value in here.items()):
        return False
    return bool(config["prompts"] == ctx.prompts.identity)
