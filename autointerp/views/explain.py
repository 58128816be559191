"""The explanation of one picture: which labeled features are active in it, how strongly, and where."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from autointerp.db import queries
from autointerp.db.models import DictionaryRow
from autointerp.errors import AutointerpError, UsageError
from autointerp.files import expanded
from autointerp.progress import note_before_torch
from autointerp.project.context import Context
from autointerp.project.targets import Target, find_dictionary
from autointerp.views.activity import PictureActivity
from autointerp.views.explained import ActiveFeature, ExplainedPicture
from autointerp.views.explained_words import ExplainedWord, PictureWords
from autointerp.views.labeled import LabeledFeature, labeled_features
from autointerp.views.picture_files import read_picture

if TYPE_CHECKING:
    from PIL import Image

    from autointerp.diffusion.capture import LayerActivations
    from autointerp.diffusion.jobs import ImageJob


@dataclass(frozen=True)
class ExplainRequest:
    """Which picture is explained, and by which features.

    Attributes:
        source: A prompt, or the path of a picture.
        targets: The dictionaries whose features may be named; every labeled dictionary of image tokens if empty.
        count: Features at most.
        unnamed: Features without a name count too.
        seed: Seed of the noise; None takes the workspace's.
        invert: Find the noise that leads to a real picture, see the setting.
        words: Find where the model attends to each word of the prompt, too.
        labelers: Ids of the labelers whose labels are shown; None shows the labels that count.
    """

    source: str
    targets: Sequence[Target] = ()
    count: int = 10
    unnamed: bool = False
    seed: int | None = None
    invert: bool = False
    words: bool = False
    labelers: Collection[int] | None = None


def explain(ctx: Context, request: ExplainRequest) -> ExplainedPicture:
    """Generate the picture of a prompt, or read a real one, and find the features that are active in it.

    Raises:
        UsageError: There is no such picture, layer or dictionary, the prompt is empty, or there are no words to find.
        AutointerpError: Nothing is labeled and no words are asked for, or the picture cannot be read.
    """
    job = _job_of(ctx, request)
    nameable = nameable_features(ctx, request)
    if not nameable and not request.words:
        raise AutointerpError("no dictionary of image tokens is labeled here", "run `autointerp label --layer mid`")
    run = run_picture(ctx, job, nameable, request.words)
    active = [one for activity in run.activities for one in activity.active_features(run.picture.size, request.count)]
    kind: Literal["prompt", "picture"] = "prompt" if job.picture is None else "picture"
    strongest = tuple(sorted(active, key=by_strength)[: request.count])
    return ExplainedPicture(request.source, kind, job.seed, run.picture, strongest, run.words)


@dataclass(frozen=True)
class PictureRun:
    """A picture that the model generated or read, with what was read meanwhile.

    Attributes:
        picture: The whole picture, RGB.
        activities: The features in it, by dictionary.
        words: The words of the prompt with their maps; None where they were not asked for.
    """

    picture: Image.Image
    activities: Sequence[PictureActivity]
    words: tuple[ExplainedWord, ...] | None


def run_picture(
    ctx: Context,
    job: ImageJob,
    nameable: Sequence[tuple[DictionaryRow, list[LabeledFeature]]],
    with_words: bool,
    looks: Collection[int] = (),
) -> PictureRun:
    """Generate a picture, or read a real one, and read dictionaries and words on the way.

    Args:
        ctx: The workspace.
        job: The picture.
        nameable: The dictionaries, each with the features that may be named.
        with_words: Whether word maps are read too.
        looks: Further steps at which features get maps, see `PictureActivity`.

    Raises:
        UsageError: There are no words to find, or a dictionary reads none of the steps.
        AutointerpError: The picture cannot be read.
    """
    words = PictureWords(ctx, job) if with_words else None
    note_before_torch(
        ctx.progress, f"reading {', '.join([*(row.name for row, _ in nameable), *(['words'] if words else [])])}"
    )
    # Imported after the note, because PyTorch takes seconds to import.
    from autointerp.diffusion.capture import Capture
    from autointerp.diffusion.generation import generate

    activities = [PictureActivity(ctx, row, features, job, looks) for row, features in nameable]

    def consume(captured: LayerActivations) -> None:
        for activity in activities:
            activity.consume(captured)

    capture = Capture(
        list(dict.fromkeys(activity.layer for activity in activities)),
        {step for one in activities for step in (*one.steps, *one.looks)} or ctx.capture_steps,
        consume,
        None if words is None else words.request(),
    )
    ((_, (picture,)),) = generate(ctx.model, [job], ctx.generation, capture)
    return PictureRun(picture, activities, None if words is None else words.explained(picture.size))


def by_strength(one: ActiveFeature) -> tuple[float, float, str]:
    """Return the key that sorts features, the strongest first."""
    return (-(one.strength or 0.0), -one.activation, one.feature)


def _job_of(ctx: Context, request: ExplainRequest) -> ImageJob:
    """Return the job of the prompt, or of the real picture."""
    from autointerp.diffusion.sources.picture_files import SUFFIXES

    seed = ctx.settings.seed if request.seed is None else request.seed
    try:
        path = expanded(request.source)
    except UsageError:
        # A prompt may begin like the name of a user's folder.
        path = Path(request.source)
    # Unlike those of `Path`, these take a prompt that is too long for a file's name.
    if os.path.isfile(path):
        read_picture(path, request.source)
        return real_picture_job(ctx, path, seed, request.invert or ctx.settings.invert)
    if "/" in request.source and os.path.isdir(path):
        raise UsageError(f"{request.source} is a folder", "name the file of a picture, or say what to generate")
    if path.suffix.lower() in SUFFIXES:
        raise UsageError(f"there is no picture {request.source}", "check the path; a prompt has no file's ending")
    return prompt_job(request.source, seed)


def prompt_job(prompt: str, seed: int) -> ImageJob:
    """Return the job of a prompt.

    Raises:
        UsageError: It is empty, or holds what cannot be read.
    """
    from autointerp.diffusion.jobs import ImageJob
    from autointerp.diffusion.sources.prompt import check_prompt

    if not prompt.strip():
        raise UsageError("the prompt is empty", "say what to generate, or name a picture")
    check_prompt(prompt, "the prompt")
    return ImageJob(0, prompt, seed)


def real_picture_job(ctx: Context, path: Path, seed: int, invert: bool) -> ImageJob:
    """Return the job of a picture in a file, by the settings of real pictures."""
    from autointerp.diffusion.sources.pictures import picture_job

    keep = (ctx.generation.size, ctx.description.coarsest_cell) if ctx.settings.keep_aspect else None
    return picture_job(path, seed, keep, invert)


def nameable_features(ctx: Context, request: ExplainRequest) -> list[tuple[DictionaryRow, list[LabeledFeature]]]:
    """Read the features that may be named, by dictionary; dictionaries without such features are left out.

    Raises:
        UsageError: A dictionary does not exist, or reads text tokens.
    """
    with ctx.db.session() as session:
        if request.targets:
            rows = [find_dictionary(ctx, target) for target in request.targets]
        else:
            rows = [row for row in queries.dictionaries.list_all(session) if row.stream == "image"]
        by_dictionary = []
        for row in rows:
            if row.stream != "image":
                raise UsageError(f"{row.name} reads text tokens, which have no place in a picture", "name another one")
            features = labeled_features(session, row, labelers=request.labelers)
            nameable = [one for one in features if request.unnamed or one.row.status == "ok"]
            if nameable:
                by_dictionary.append((row, nameable))
        session.expunge_all()
    return by_dictionary
