"""Stage `check`: whether a workspace is whole, beyond what its database checks by itself.

Every picture, activation map and checkpoint decodes; every hash that can be made again is what it was; crops are what
a harvest makes; indexes hold what they were made of. Rows are streamed, so memory does not grow with the workspace.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sqlalchemy import Executable, func, select

from autointerp.crops.collect import CropCollector
from autointerp.crops.maps import decode_map
from autointerp.crops.render import decode_picture
from autointerp.crops.split import split_of
from autointerp.db.check import first
from autointerp.db.errors import DatabaseError
from autointerp.db.models import Crop, Dictionary, Feature, Image, Index, Label, Labeler, Run, Score
from autointerp.errors import AutointerpError
from autointerp.files import sha256_of
from autointerp.search.indexes import read_index
from autointerp.stages.context import Context, identity
from autointerp.stages.index import SOURCES
from autointerp.stages.runs import read_checkpoint

if TYPE_CHECKING:
    from autointerp.progress import Task

_ROWS, _PICTURES = 2_000, 100


def run_check(ctx: Context) -> list[str]:
    """One line a problem, none for a sound workspace."""
    problems: list[str] = ctx.db.check()
    with ctx.db.session() as session:
        total = {table: session.scalar(select(func.count()).select_from(table)) or 0 for table in (Image, Crop)}
    with ctx.progress.task("check", sum(total.values()), unit="row") as bar:
        for lines in (
            _images(ctx, bar),
            _orphans(ctx),
            _generated(ctx),
            _crops(ctx, bar),
            _features(ctx),
            _labels(ctx),
            _runs(ctx),
            _weights(ctx),
            _indexes(ctx),
        ):
            try:
                problems += first(lines)
            except DatabaseError as error:
                # What is on a damaged page cannot be read; the rest may be.
                problems.append(error.message)
    return list(dict.fromkeys(problems))


def _rows(ctx: Context, query: Executable, size: int = _ROWS) -> Iterator[Any]:
    """The rows of a query, a few in memory at a time."""
    with ctx.db.session() as session:
        yield from session.execute(query.execution_options(yield_per=size))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _images(ctx: Context, bar: Task) -> Iterator[str]:
    query = select(Image.id, Image.width, Image.height, Image.prompt, Image.prompt_hash, Image.picture)
    for image, width, height, prompt, digest, data in _rows(ctx, query.order_by(Image.id), _PICTURES):
        bar.advance(1)
        # A picture without a caption goes by its content, which is not here.
        if prompt and digest != _sha256(prompt):
            yield f"the prompt_hash of image {image} is not that of its prompt"
        try:
            size = decode_picture(data).size
        except AutointerpError:
            yield f"the picture of image {image} does not decode"
            continue
        if size != (width, height):
            yield f"the picture of image {image} is {size[0]}x{size[1]}, not {width}x{height}"


def _orphans(ctx: Context) -> Iterator[str]:
    """Images that nothing refers to, unless an unfinished harvest may yet."""
    with ctx.db.session() as session:
        under_way = select(Run.id).where(Run.kind == "harvest", Run.status != "done").limit(1)
        if session.scalar(under_way) is not None:
            return
    query = select(Image.id).outerjoin(Crop, Crop.image_id == Image.id).where(Crop.id.is_(None)).order_by(Image.id)
    for (image,) in _rows(ctx, query):
        yield f"image {image} is in no crop"


def _generated(ctx: Context) -> Iterator[str]:
    """The generation_hash of every image is that of a job of the harvests whose prompts and settings are those here."""
    from autointerp.diffusion.generation import generation_hash

    with ctx.db.session() as session:
        made = session.execute(
            select(Run.dictionary_id, Run.config).where(Run.kind == "harvest", Run.status == "done").order_by(Run.id)
        ).all()
    for dictionary, config in made:
        try:
            if not _is_of(ctx, config):
                continue
            jobs = {
                generation_hash(config["model"], config["revision"], job, ctx.generation): (job.prompt, job.seed)
                for job in ctx.jobs(0, config["images"])
            }
        except AutointerpError as error:
            # A model, prompts or pictures that are not on this machine cannot be asked.
            ctx.progress.note(f"hashes of images are not looked at: {error.message}")
            return
        used = select(Crop.image_id).join(Feature).where(Feature.dictionary_id == dictionary)
        query = select(Image.id, Image.prompt, Image.seed, Image.generation_hash).where(Image.id.in_(used))
        for image, prompt, seed, digest in _rows(ctx, query.order_by(Image.id)):
            if jobs.get(digest) != (prompt, seed):
                yield f"the generation_hash of image {image} is not that of its model, prompt, seed and settings"


def _is_of(ctx: Context, config: dict[str, Any]) -> bool:
    """Whether a harvest's images are those of the settings here."""
    here = {
        "model": ctx.description.name,
        "revision": ctx.description.revision,
        "generation": asdict(ctx.generation),
        "seed": ctx.settings.seed,
    }
    if any(config[key] != value for key, value in here.items()):
        return False
    return bool(config["prompts"] == ctx.prompts.identity)


def _crops(ctx: Context, bar: Task) -> Iterator[str]:
    # Columns and not objects: a session would keep those.
    query = (
        select(*Crop.__table__.c, Image.width, Image.height, Image.prompt, Dictionary.stream)
        .join(Image, Image.id == Crop.image_id)
        .join(Feature, Feature.id == Crop.feature_id)
        .join(Dictionary, Dictionary.id == Feature.dictionary_id)
        .order_by(Crop.id)
    )
    for row in _rows(ctx, query):
        bar.advance(1)
        for line in _crop(row):
            yield f"crop {row.id} {line}"


def _crop(row: Any) -> Iterator[str]:
    """What is wrong with one crop, joined with its image and its dictionary's stream."""
    box = (row.box_left, row.box_top, row.box_right, row.box_bottom)
    if not (0 <= box[0] < box[2] <= row.width and 0 <= box[1] < box[3] <= row.height):
        yield f"has a box outside of its {row.width}x{row.height} picture"
    if row.prompt and row.split != split_of(row.prompt):
        yield f"is of split {row.split}, and its prompt of the other: labels would be scored on what was shown"
    if row.role == "negative":
        if row.activation != 0:
            yield f"is a negative with activation {row.activation:g}"
        if (row.step, row.row, row.col, row.activation_map) != (None,) * 4 or box != (0, 0, row.width, row.height):
            yield "is a negative that is not a whole image without step and cell"
        return
    if row.neighbour is not None:
        yield f"has the neighbour {row.neighbour}, and is no negative"
    if row.step is None or row.row is None or row.col is None or row.activation_map is None:
        yield "lacks its step, cell or activation map"
        return
    if not row.activation > 0:
        yield f"has activation {row.activation:g}"
    try:
        heat = decode_map(row.activation_map)
    except ValueError as error:
        yield f"has an activation map that does not decode: {error}"
        return
    # Pictures of another shape have a grid of another shape, but of as large cells.
    rows, cols = heat.shape
    if not (0 <= row.row < rows and 0 <= row.col < cols):
        yield f"lies at cell {row.row}, {row.col} of a grid of {rows} x {cols}"
    elif row.stream == "image" and not 0.95 < (rows * row.width) / (cols * row.height) < 1.05:
        yield f"has an activation map of {rows} x {cols} cells on a picture of {row.width}x{row.height}"
    elif not heat.max() == heat[row.row, row.col] or abs(heat.max() - row.activation) > 1e-2 * row.activation + 1e-6:
        yield "has an activation map whose maximum is not its activation at its cell"


def _features(ctx: Context) -> Iterator[str]:
    """After a harvest every latent is one feature; before, what an import named."""
    harvested = select(Run.dictionary_id).where(Run.kind == "harvest", Run.status == "done")
    query = (
        select(Dictionary.name, Dictionary.num_latents, func.count(), func.min(Feature.latent_index))
        .add_columns(func.max(Feature.latent_index), Dictionary.id.in_(harvested))
        .join(Feature)
        .group_by(Dictionary.id, Dictionary.name, Dictionary.num_latents)
        .order_by(Dictionary.id)
    )
    for name, latents, count, least, most, whole in _rows(ctx, query):
        if least < 0 or most >= latents or (whole and count != latents):
            yield f"{name} has {count} features from {least} to {most}, and {latents} latents"


def _labels(ctx: Context) -> Iterator[str]:
    query = select(Label.id, Label.status, Label.name, Label.error).order_by(Label.id)
    for label, status, name, error in _rows(ctx, query):
        if bool(name) != (status == "ok") or (status == "failed" and not error):
            yield f"label {label} is {status}, with the name {name!r} and the error {error!r}"
    for score, value, low, high in _rows(
        ctx, select(Score.id, Score.value, Score.ci_low, Score.ci_high).where(Score.value.is_not(None))
    ):
        if low is not None and high is not None and not low <= value <= high:
            yield f"score {score} is {value:g}, outside of its interval from {low:g} to {high:g}"
    for labeler, config, digest in _rows(ctx, select(Labeler.id, Labeler.config, Labeler.config_hash)):
        if digest and digest != identity(config):
            yield f"the config_hash of labeler {labeler} is not that of its config"


def _runs(ctx: Context) -> Iterator[str]:
    """Checkpoints load, what is done has none, and identities follow from what was run."""
    query = (
        select(Run.id, Run.kind, Run.status, Run.done, Run.total, Run.identity, Run.config)
        .add_columns(Dictionary.weights_sha256)
        .outerjoin(Dictionary, Dictionary.id == Run.dictionary_id)
        .order_by(Run.id)
    )
    for run, kind, status, done, total, key, config, weights in _rows(ctx, query, 1):
        if not 0 <= done <= total or (status == "done" and done != total):
            yield f"run {run} ({kind}) is {status} at {done} of {total}"
        try:
            with ctx.db.session() as session:
                state = read_checkpoint(session, run)
            if state is not None and status == "done":
                yield f"run {run} ({kind}) is done and has a checkpoint"
            if state is not None:
                CropCollector.from_state(state)
        # Damaged arrays may fail in any way.
        except Exception as error:
            yield f"the checkpoint of run {run} ({kind}) does not load: {str(error)[:80]}"
        if kind == "harvest" and weights is not None and key != identity({"weights": weights, "harvest": config}):
            yield f"the identity of run {run} (harvest) is not that of its weights and config"
        if kind == "evaluate" and key != identity({"evaluate": config}):
            yield f"the identity of run {run} (evaluate) is not that of its config"


def _weights(ctx: Context) -> Iterator[str]:
    for name, digest in _rows(ctx, select(Dictionary.name, Dictionary.weights_sha256).order_by(Dictionary.id)):
        path = ctx.workspace.dictionary_dir(name) / "weights.safetensors"
        try:
            found = sha256_of(path)
        except OSError as error:
            yield f"the weights of {name} cannot be read: {path} ({error.strerror})"
            continue
        if found != digest:
            yield f"the weights of {name} in {path} are not those it was made with"


def _indexes(ctx: Context) -> Iterator[str]:
    """Each index can be read, and holds the ids and the contents that it would be made of now."""
    with ctx.db.session() as session:
        rows = session.execute(select(Index, Dictionary).join(Dictionary).order_by(Index.id)).all()
        session.expunge_all()
    for index, dictionary in rows:
        hint = f"`autointerp label --layer {dictionary.layer} --dictionary {dictionary.name}` rebuilds it"
        try:
            found = read_index(ctx.workspace.path / index.path)
        except AutointerpError as error:
            yield f"index {index.name}: {error.message}; {hint}"
            continue
        source = SOURCES[index.kind](ctx, dictionary)
        fingerprint = source.fingerprint(index.embedder)
        if (found.fingerprint, index.content_hash) != (fingerprint,) * 2 or len(found) != index.count:
            yield f"index {index.name} is stale; {hint}"
        elif not found.holds(source.rows()).all():
            yield f"index {index.name} does not hold the {index.kind} of its dictionary; {hint}"
