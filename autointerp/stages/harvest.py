"""Stage `harvest`: run a dictionary over generated images and keep the crops on which each feature fires most."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select

from autointerp.crops.collect import CropCollector, CropRow, dump_state, load_state
from autointerp.crops.geometry import crop_box
from autointerp.crops.maxima import BatchMaxima, combine, reduce_batch
from autointerp.crops.render import encode_picture, picture_size
from autointerp.crops.split import split_of
from autointerp.db import models, queries
from autointerp.errors import UsageError
from autointerp.stages.context import Context, identity
from autointerp.stages.fit import FitPlan, branch_dictionary, branch_name
from autointerp.stages.plan import Step
from autointerp.stages.runs import checkpoint, finish, running

if TYPE_CHECKING:
    from autointerp.diffusion.capture import Captured
    from autointerp.diffusion.generation import ImageJob

DENSE = 0.5
"""A feature active in more than this share of all cells is `dense`: it says nothing about any of them."""
CHECKPOINT_IMAGES = 256


@dataclass(frozen=True)
class HarvestPlan:
    """A harvest that is there (`done`) or would be made for the dictionary of `fit`."""

    fit: FitPlan
    identity: str
    config: dict[str, Any]
    done: bool
    target: str = ""
    """Name that the result will have, where it is not the dictionary's own."""

    @property
    def step(self) -> Step:
        """The plan's line."""
        crops = self.config["crops"]
        detail = f"top {crops['top']} and {crops['quantile']} more crops a feature"
        return Step("harvest", self.target or self.fit.name, not self.done, detail, images=self.config["images"])


def harvest_config(ctx: Context, fit: FitPlan) -> dict[str, Any]:
    """Everything a harvest depends on beyond the dictionary's weights."""
    made = ctx.made_of(fit.layer)
    # What the dictionary was fitted on says which steps and signal it reads.
    for key in ("signal", "capture_steps"):
        made[key] = fit.config[key]
    return {**made, "images": ctx.settings.images, "crops": ctx.settings.crops.model_dump()}


def plan_harvest(ctx: Context, fit: FitPlan) -> HarvestPlan:
    """Find the harvest of these settings, under whichever name it is, or where a new one would go."""
    config = harvest_config(ctx, fit)
    weights = fit.identity if fit.row is None else fit.row.weights_sha256
    key = identity({"weights": weights, "harvest": config})
    if fit.row is None:
        return HarvestPlan(fit, key, config, False)
    with ctx.db.session() as session:
        run = queries.run_by_identity(session, "harvest", key)
        if run is not None and run.dictionary_id is not None:
            row = session.get(models.Dictionary, run.dictionary_id)
            if row is not None:
                session.expunge(row)
                found = replace(fit, name=row.name, identity=row.identity, row=row)
                return HarvestPlan(found, key, config, run.status == "done")
        target = fit.name
        if _other_harvest(session, fit.row.id, key) is not None:
            target = queries.free_name(session, branch_name(fit.row))
    return HarvestPlan(fit, key, config, False, target)


def _other_harvest(session: Any, dictionary_id: int, key: str) -> int | None:
    """A harvest of this dictionary that must stay beside the one of this key."""
    query = select(models.Run.id).where(
        models.Run.kind == "harvest", models.Run.dictionary_id == dictionary_id, models.Run.identity != key
    )
    return session.scalar(query.limit(1))


def run_harvest(ctx: Context, plan: HarvestPlan) -> HarvestPlan:
    """Harvest what is planned, going on from its last checkpoint. Returns the plan as done."""
    if plan.done:
        return plan
    if plan.fit.row is None:
        raise UsageError(f"{plan.fit.name} is not fitted yet", "run `autointerp fit` first")
    fit = plan.fit
    with ctx.db.session() as session:
        other = _other_harvest(session, plan.fit.row.id, plan.identity)
    if other is not None:
        fit = branch_dictionary(ctx, fit, plan.identity)
    plan = replace(plan, fit=fit)
    row = fit.row
    assert row is not None
    with running(ctx.db, "harvest", plan.identity, plan.config, plan.config["images"], row.id) as (run_id, done, state):
        _Harvest(ctx, plan, row, run_id).run(done, state)
    return replace(plan, done=True)


class _Harvest:
    """One harvest under way: the collector, and the pictures its crops may need."""

    def __init__(self, ctx: Context, plan: HarvestPlan, row: models.Dictionary, run_id: int) -> None:
        from autointerp.dictionaries.storage import load_dictionary

        self.ctx, self.plan, self.row, self.run_id = ctx, plan, row, run_id
        self.dictionary = load_dictionary(ctx.workspace.dictionary_dir(row.name))
        crops = plan.config["crops"]
        # Settings count both splits together; an odd one rounds up on each side.
        self.a_split = {role: (crops[role] + 1) // 2 for role in ("top", "quantile", "negatives")}
        self.layer = plan.fit.layer
        self.timesteps: dict[int, float] = {}
        self.new: dict[int, tuple[ImageJob, bytes, tuple[int, int]]] = {}
        self.parts: list[BatchMaxima] = []

    @cached_property
    def jobs(self) -> list[ImageJob]:
        """What to generate, each image once: a prompts file may name a prompt and seed twice."""
        jobs: dict[tuple[str, int], ImageJob] = {}
        for job in self.ctx.prompts.jobs(0, self.plan.config["images"], self.ctx.settings.seed):
            jobs.setdefault((job.prompt, job.seed), job)
        return list(jobs.values())

    def run(self, done: int, state: bytes | None) -> None:
        """Generate the rest of the images and store what they give."""
        from autointerp.diffusion.generation import generate

        ctx, config = self.ctx, self.plan.config
        collector = None if state is None else self._resumed(state, done)
        if collector is None:
            done = 0
            a_split = self.a_split
            collector = CropCollector(
                self.dictionary.num_latents,
                a_split["top"],
                a_split["quantile"],
                a_split["negatives"],
                ctx.settings.seed,
            )
        self.dictionary = self.dictionary.to(ctx.model.device)
        since, total = 0, len(self.jobs)
        with ctx.progress.task(f"harvest {self.row.name}", total, done, unit="image") as bar:
            for batch, pictures in generate(
                ctx.model,
                self.jobs[done:],
                ctx.generation,
                layers=[self.layer],
                capture_steps=config["capture_steps"],
                consumer=self._consume,
                batch_size=ctx.settings.batch_size,
            ):
                collector.update(combine(self.parts), [split_of(job.prompt) for job in batch])
                self.parts = []
                for job, picture in zip(batch, pictures, strict=True):
                    data = encode_picture(picture)
                    self.new[job.index] = (job, data, picture_size(data))
                done, since = done + len(batch), since + len(batch)
                bar.advance(len(batch))
                if since >= CHECKPOINT_IMAGES and done < total:
                    self._checkpoint(collector, done)
                    since = 0
        self._finish(collector)

    def _resumed(self, state: bytes, done: int) -> CropCollector | None:
        """The collector of a checkpoint; None where pictures that it needs were removed since."""
        arrays = load_state(state)
        steps, timesteps = arrays.pop("steps"), arrays.pop("timesteps")
        self.timesteps = {int(s): float(t) for s, t in zip(steps, timesteps, strict=True)}
        collector = CropCollector.from_state(arrays)
        wanted = collector.pictures_wanted()
        hashes = [self._hash_of(job) for job in self.jobs[:done] if job.index in wanted]
        with self.ctx.db.session() as session:
            if len(queries.image_ids(session, hashes)) == len(set(hashes)):
                return collector
        self.ctx.progress.note("pictures of the stopped harvest were removed: it starts again")
        return None

    def _consume(self, captured: Captured) -> None:
        self.timesteps[captured.step] = captured.timestep
        code = self.dictionary.encode(captured.acts.reshape(-1, self.row.d_in))
        indices = [job.index for job in captured.jobs]
        self.parts.append(reduce_batch(code, indices, self.layer.grid, captured.step, self.dictionary.num_latents))

    def _hash_of(self, job: ImageJob) -> str:
        from autointerp.diffusion.generation import generation_hash

        description = self.ctx.description
        return generation_hash(description.name, description.revision, job.prompt, job.seed, self.ctx.generation)

    def _store_pictures(self, session: Any, wanted: set[int]) -> None:
        """Write the new pictures that are wanted; the rest is let go."""
        import hashlib

        kept = {index: entry for index, entry in self.new.items() if index in wanted}
        hashes = {index: self._hash_of(entry[0]) for index, entry in kept.items()}
        there = queries.image_ids(session, hashes.values())
        rows = [
            {
                "image_index": index,
                "prompt": job.prompt,
                "prompt_hash": hashlib.sha256(job.prompt.encode()).hexdigest(),
                "seed": job.seed,
                "generation_hash": hashes[index],
                "width": size[0],
                "height": size[1],
                "picture": data,
            }
            for index, (job, data, size) in sorted(kept.items())
            if hashes[index] not in there
        ]
        queries.insert_many(session, models.Image, rows)
        self.new = {}

    def _checkpoint(self, collector: CropCollector, done: int) -> None:
        """One transaction: the collector, and the pictures that its crops need so far."""
        state = dict(collector.state())
        state["steps"] = _array(list(self.timesteps))
        state["timesteps"] = _array(list(self.timesteps.values()))
        with self.ctx.db.session() as session:
            self._store_pictures(session, collector.pictures_wanted())
            checkpoint(session, self.run_id, done, dump_state(state))

    def _finish(self, collector: CropCollector) -> None:
        """One transaction: features, crops, their pictures, and the end of the run."""
        rows = list(collector.rows())
        used = {row.image for row in rows}
        hashes = {job.index: self._hash_of(job) for job in self.jobs}
        with self.ctx.db.session() as session:
            self._store_pictures(session, used)
            ids = queries.image_ids(session, hashes.values())
            image_id = {index: ids[hashes[index]] for index in used}
            sizes = {
                i: (w, h)
                for part in queries.chunks(image_id.values())
                for i, w, h in session.execute(
                    select(models.Image.id, models.Image.width, models.Image.height).where(models.Image.id.in_(part))
                )
            }
            feature_id = self._store_features(session, collector)
            queries.insert_many(
                session,
                models.Crop,
                [self._crop(row, feature_id[row.feature], image_id[row.image], sizes) for row in rows],
            )
            session.flush()
            queries.remove_orphaned_images(session, [i for h, i in ids.items()])
            stats = collector.stats()
            result = {"images": collector.images_seen, "crops": len(rows), "dead": int((stats.images == 0).sum())}
            finish(session, self.run_id, self.row.id, result)

    def _store_features(self, session: Any, collector: CropCollector) -> dict[int, int]:
        """Every latent as a feature, with its state; latent -> feature id."""
        stats = collector.stats()
        session.execute(delete(models.Feature).where(models.Feature.dictionary_id == self.row.id))
        queries.insert_many(
            session,
            models.Feature,
            [
                {
                    "dictionary_id": self.row.id,
                    "latent_index": i,
                    "density": float(stats.density[i]),
                    "max_activation": float(stats.maximum[i]),
                    "mean_activation": float(stats.mean[i]),
                    "state": "dead" if not stats.images[i] else "dense" if stats.density[i] > DENSE else "live",
                }
                for i in range(self.row.num_latents)
            ],
        )
        query = select(models.Feature.latent_index, models.Feature.id)
        found = session.execute(query.where(models.Feature.dictionary_id == self.row.id))
        return {latent: feature for latent, feature in found}

    def _crop(self, row: CropRow, feature_id: int, image_id: int, sizes: dict[int, tuple[int, int]]) -> dict[str, Any]:
        size = sizes[image_id]
        if row.row is None or row.col is None:
            box = (0, 0, *size)
        else:
            box = crop_box((row.row, row.col), self.layer.grid, size)
        return {
            "feature_id": feature_id,
            "image_id": image_id,
            "step": row.step,
            "timestep": None if row.step is None else self.timesteps[row.step],
            "row": row.row,
            "col": row.col,
            "box_left": box[0],
            "box_top": box[1],
            "box_right": box[2],
            "box_bottom": box[3],
            "activation": row.activation,
            "activation_map": row.activation_map,
            "rank": row.rank,
            "quantile": row.quantile,
            "role": row.role,
            "split": row.split,
        }


def _array(values: list[Any]) -> Any:
    import numpy as np

    return np.array(values)
