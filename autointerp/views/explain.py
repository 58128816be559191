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
from autointerp.views.explained_words import PictureWords
from autointerp.views.labeled import LabeledFeature, labeled_features
from autointerp.views.picture_files import read_picture

if TYPE_CHECKING:
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
    nameable = _nameable_features(ctx, request)
    words = PictureWords(ctx, job) if request.words else None
    if not nameable and words is None:
        raise AutointerpError("no dictionary of image tokens is labeled here", "run `autointerp label --layer mid`")
    note_before_torch(
        ctx.progress, f"reading {', '.join([*(row.name for row, _ in nameable), *(['words'] if words else [])])}"
    )
    # Imported after the note, because PyTorch takes seconds to import.
    from autointerp.diffusion.capture import Capture
    from autointerp.diffusion.generation import generate

    activities = [PictureActivity(ctx, row, features, job) for row, features in nameable]

    def consume(captured: LayerActivations) -> None:
        for activity in activities:
            activity.consume(captured)

    capture = Capture(
        list(dict.fromkeys(activity.layer for activity in activities)),
        {step for activity in activities for step in activity.steps} or ctx.capture_steps,
        consume,
        None if words is None else words.request(),
    )
    ((_, (picture,)),) = generate(ctx.model, [job], ctx.generation, capture)
    active = [one for activity in activities for one in activity.active_features(picture.size, request.count)]
    kind: Literal["prompt", "picture"] = "prompt" if job.picture is None else "picture"
    strongest = sorted(active, key=_worth)[: request.count]
    said = None if words is None else words.explained(picture.size)
    return ExplainedPicture(request.source, kind, job.seed, picture, tuple(strongest), said)


def _worth(one: ActiveFeature) -> tuple[float, float, str]:
    """Return the key that sorts features, the strongest first."""
    return (-(one.strength or 0.0), -one.activation, one.feature)


def _job_of(ctx: Context, request: ExplainRequest) -> ImageJob:
    """Return the job of the prompt, or of the real picture."""
    from autointerp.diffusion.jobs import ImageJob
    from autointerp.diffusion.sources.picture_files import SUFFIXES
    from autointerp.diffusion.sources.pictures import picture_job
    from autointerp.diffusion.sources.prompt import check_prompt

    seed = ctx.settings.seed if request.seed is None else request.seed
    try:
        path = expanded(request.source)
    except UsageError:
        # A prompt may begin like the name of a user's folder.
        path = Path(request.source)
    # Unlike those of `Path`, these take a prompt that is too long for a file's name.
    if os.path.isfile(path):
        keep = (ctx.generation.size, ctx.description.coarsest_cell) if ctx.settings.keep_aspect else None
        read_picture(path, request.source)
        return picture_job(path, seed, keep, request.invert or ctx.settings.invert)
    if "/" in request.source and os.path.isdir(path):
        raise UsageError(f"{request.source} is a folder", "name the file of a picture, or say what to generate")
    if path.suffix.lower() in SUFFIXES:
        raise UsageError(f"there is no picture {request.source}", "check the path; a prompt has no file's ending")
    if not request.source.strip():
        raise UsageError("the prompt is empty", "say what to generate, or name a picture")
    check_prompt(request.source, "the prompt")
    return ImageJob(0, request.source, seed)


def _nameable_features(ctx: Context, request: ExplainRequest) -> list[tuple[DictionaryRow, list[LabeledFeature]]]:
    """Read the features that may be named, by dictionary; dictionaries without such features are left out."""
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
