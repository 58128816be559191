"""Stage `harvest`: run a dictionary over generated images and keep the crops on which each feature fires most."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select, update

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
    return run_harvests(ctx, [plan])[0]


def run_harvests(ctx: Context, plans: Sequence[HarvestPlan]) -> list[HarvestPlan]:
    """Harvest several dictionaries, of any layers, from one generation pass. Returns the plans as done.

    All plans have the same images; each reads its own steps.
    """
    ready = [plan if plan.done else _with_place(ctx, plan) for plan in plans]
    with ExitStack() as stack:
        harvests = []
        for plan in ready:
            if plan.done:
                continue
            row = plan.fit.row
            assert row is not None
            run = running(ctx.db, "harvest", plan.identity, plan.config, plan.config["images"], row.id)
            harvests.append(_Harvest(ctx, plan, row, *stack.enter_context(run)))
        if harvests:
            _harvest_all(ctx, harvests)
    return [replace(plan, done=True) for plan in ready]


def _with_place(ctx: Context, plan: HarvestPlan) -> HarvestPlan:
    """The plan with the dictionary that the result will belong to."""
    if plan.fit.row is None:
        raise UsageError(f"{plan.fit.name} is not fitted yet", "run `autointerp fit` first")
    fit = plan.fit
    with ctx.db.session() as session:
        other = _other_harvest(session, plan.fit.row.id, plan.identity)
    if other is not None:
        fit = branch_dictionary(ctx, fit, plan.identity)
    return replace(plan, fit=fit)


def _harvest_all(ctx: Context, harvests: Sequence[_Harvest]) -> None:
    """Generate what any of them lacks, and give it to those that lack it."""
    from autointerp.diffusion.generation import generate

    jobs = harvests[0].jobs
    steps = {step for harvest in harvests for step in harvest.plan.config["capture_steps"]}
    done, since = min(harvest.done for harvest in harvests), 0
    what = harvests[0].row.name if len(harvests) == 1 else f"{len(harvests)} dictionaries"

    def consume(captured: Captured) -> None:
        for harvest in harvests:
            reads = harvest.layer == captured.layer and captured.step in harvest.plan.config["capture_steps"]
            if harvest.done <= done and reads:
                harvest.consume(captured)

    with ctx.progress.task(f"harvest {what}", len(jobs), done, unit="image") as bar:
        while done < len(jobs):
            # A stretch ends where one that was stopped later joins in, so that batches begin there for all.
            stop = min([harvest.done for harvest in harvests if harvest.done > done], default=len(jobs))
            for batch, pictures in generate(
                ctx.model,
                jobs[done:stop],
                ctx.generation,
                layers=list({harvest.layer: None for harvest in harvests}),
                capture_steps=steps,
                consumer=consume,
                batch_size=ctx.settings.batch_size,
            ):
                encoded = [(job, encode_picture(p)) for job, p in zip(batch, pictures, strict=True)]
                taking = [harvest for harvest in harvests if harvest.done <= done]
                done, since = done + len(batch), since + len(batch)
                for harvest in taking:
                    harvest.take(encoded, done)
                bar.advance(len(batch))
                if since >= CHECKPOINT_IMAGES and done < len(jobs):
                    for harvest in taking:
                        harvest.checkpoint()
                    since = 0
    for harvest in harvests:
        # Before the last one, pictures that no crop names yet may be those of a harvest that is still to finish.
        harvest.finish(sweep=harvest is harvests[-1])


class _Harvest:
    """One harvest under way: the collector, and the pictures its crops may need."""

    def __init__(
        self,
        ctx: Context,
        plan: HarvestPlan,
        row: models.Dictionary,
        run_id: int,
        done: int,
        state: bytes | None,
    ) -> None:
        from autointerp.dictionaries.storage import load_dictionary

        self.ctx, self.plan, self.row, self.run_id = ctx, plan, row, run_id
        self.dictionary = load_dictionary(ctx.workspace.dictionary_dir(row.name))
        self.layer = plan.fit.layer
        self.timesteps: dict[int, float] = {}
        self.new: dict[int, tuple[ImageJob, bytes, tuple[int, int]]] = {}
        self.parts: list[BatchMaxima] = []
        resumed = None if state is None else self._resumed(state, done)
        self.collector = resumed or self._collector()
        self.done = done if resumed is not None else 0
        """Images that it has seen."""
        self.dictionary = self.dictionary.to(ctx.model.device)

    def _collector(self) -> CropCollector:
        crops = self.plan.config["crops"]
        # Settings count both splits together; an odd one rounds up on each side.
        top, quantile, negatives = ((crops[role] + 1) // 2 for role in ("top", "quantile", "negatives"))
        return CropCollector(self.dictionary.num_latents, top, quantile, negatives, self.ctx.settings.seed)

    @cached_property
    def jobs(self) -> list[ImageJob]:
        """What to generate, each image once: a prompts file may name a prompt and seed twice."""
        jobs: dict[tuple[str, int], ImageJob] = {}
        for job in self.ctx.prompts.jobs(0, self.plan.config["images"], self.ctx.settings.seed):
            jobs.setdefault((job.prompt, job.seed), job)
        return list(jobs.values())

    def take(self, encoded: Sequence[tuple[ImageJob, bytes]], done: int) -> None:
        """Take in a batch whose activations were consumed: its pictures, and how many images that makes."""
        self.collector.update(combine(self.parts), [split_of(job.prompt) for job, _ in encoded])
        self.parts = []
        for job, data in encoded:
            self.new[job.index] = (job, data, picture_size(data))
        self.done = done

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

    def consume(self, captured: Captured) -> None:
        """Encode a batch's activations and keep each feature's maximum an image."""
        self.timesteps[captured.step] = captured.timestep
        code = self.dictionary.encode(captured.acts.reshape(-1, self.row.d_in), captured.step)
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

    def checkpoint(self) -> None:
        """One transaction: the collector, and the pictures that its crops need so far."""
        state = dict(self.collector.state())
        state["steps"] = _array(list(self.timesteps))
        state["timesteps"] = _array(list(self.timesteps.values()))
        with self.ctx.db.session() as session:
            self._store_pictures(session, self.collector.pictures_wanted())
            checkpoint(session, self.run_id, self.done, dump_state(state))

    def finish(self, sweep: bool = True) -> None:
        """One transaction: features, crops, their pictures, and the end of the run.

        With `sweep` pictures that no crop needs any more go.
        """
        collector = self.collector
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
            if sweep:
                queries.remove_orphaned_images(session, list(ids.values()))
            stats = collector.stats()
            result = {"images": collector.images_seen, "crops": len(rows), "dead": int((stats.images == 0).sum())}
            finish(session, self.run_id, self.row.id, result)

    def _store_features(self, session: Any, collector: CropCollector) -> dict[int, int]:
        """Every latent as a feature, with its state; latent -> feature id."""
        from autointerp.dictionaries.itda import ITDA

        stats = collector.stats()
        sources = self.dictionary.sources.all() if isinstance(self.dictionary, ITDA) and self.dictionary.sources else []
        rows = [
            {
                **_atom(sources[i % len(sources)] if sources else None),
                "dictionary_id": self.row.id,
                "latent_index": i,
                "density": float(stats.density[i]),
                "max_activation": float(stats.maximum[i]),
                "mean_activation": float(stats.mean[i]),
                "state": "dead" if not stats.images[i] else "dense" if stats.density[i] > DENSE else "live",
            }
            for i in range(self.row.num_latents)
        ]
        # Features that came with an import stay the same rows, so that their labels stay with them.
        known = self._feature_ids(session)
        mine = select(models.Feature.id).where(models.Feature.dictionary_id == self.row.id)
        session.execute(delete(models.Crop).where(models.Crop.feature_id.in_(mine)))
        if known:
            session.execute(update(models.Feature), [{**r, "id": known[i]} for i, r in enumerate(rows) if i in known])
        queries.insert_many(session, models.Feature, [r for i, r in enumerate(rows) if i not in known])
        return self._feature_ids(session)

    def _feature_ids(self, session: Any) -> dict[int, int]:
        """Latent -> feature id, of those that are stored."""
        query = select(models.Feature.latent_index, models.Feature.id)
        found = session.execute(query.where(models.Feature.dictionary_id == self.row.id))
        return {latent: feature for latent, feature in found}

    def _crop(self, row: CropRow, feature_id: int, image_id: int, sizes: dict[int, tuple[int, int]]) -> dict[str, Any]:
        size = sizes[image_id]
        # A text token has no place in the picture.
        if row.row is None or row.col is None or self.layer.stream == "text":
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


def _atom(source: tuple[str, int, int, int, int] | None) -> dict[str, Any]:
    """The columns that say where an atom was seen."""
    names = ("atom_prompt", "atom_seed", "atom_step", "atom_row", "atom_col")
    return dict(zip(names, source or (None,) * len(names), strict=True))


def _array(values: list[Any]) -> Any:
    import numpy as np

    return np.array(values)
