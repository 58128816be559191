"""Stage `harvest`: run a dictionary over generated images and keep the crops on which each feature fires most."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import delete, select, update

from autointerp.crops.collect import CropCollector, CropRow, FeatureStats, Quota
from autointerp.crops.geometry import crop_box
from autointerp.crops.maps import MOST_CELLS
from autointerp.crops.nearest import Nearest
from autointerp.db import models, queries
from autointerp.db.words import prompts_indexed_once
from autointerp.diffusion.layers import grid_at
from autointerp.errors import UsageError
from autointerp.stages.context import Context, identity
from autointerp.stages.fit import FitPlan, branch_dictionary, branch_name
from autointerp.stages.gather import Drawn, Reader, gather
from autointerp.stages.plan import Step
from autointerp.stages.runs import finish, read_checkpoint, running, write_checkpoint

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from autointerp.diffusion.generation import ImageJob

DENSE = 0.5
"""A feature active in more than this share of all cells is `dense`: it says nothing about any of them."""
CHECKPOINT_IMAGES = 256
NEAREST = 8
"""Features of like direction that hard negatives of a feature are looked for at."""
PICTURES = "pictures"
"""Array of a checkpoint with the generation hashes of the pictures that its crops are of."""
_INSERTED = 10_000
"""Crops written at a time."""


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
    """Everything a harvest depends on beyond the dictionary's weights.

    Raises:
        UsageError: A grid has more cells than an activation map can hold.
    """
    made = ctx.made_of(fit.layer)
    for size in (ctx.generation.size, *ctx.prompts.sizes):
        rows, cols = grid_at(ctx.description, fit.layer, size)
        if rows * cols > MOST_CELLS:
            raise UsageError(
                f"{fit.layer.name} has {rows}x{cols} cells in pictures of {size} px, more than {MOST_CELLS:,}",
                "take smaller pictures, or a layer with a coarser grid",
            )
    # What the dictionary was fitted on says which steps and signal it reads.
    for key in ("signal", "capture_steps"):
        made[key] = fit.config[key]
    return {**made, "images": ctx.available(ctx.settings.images), "crops": ctx.settings.crops.model_dump()}


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
            harvests.append(_Harvest(ctx, plan, row, stack.enter_context(run)[0]))
        if harvests:
            _Pass(ctx, harvests).run()
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


def pictures_of_stopped(session: Session, besides: Collection[int] = ()) -> set[str]:
    """Generation hashes of the pictures that stopped harvests need to go on, but for the runs `besides`."""
    stopped = select(models.Run.id).where(models.Run.kind == "harvest", models.Run.status != "done")
    found: set[str] = set()
    for run_id in set(session.scalars(stopped)) - set(besides):
        arrays = read_checkpoint(session, run_id, [PICTURES]) or {}
        found.update(*(array.astype(str).tolist() for array in arrays.values()))
    return found


class _Pass:
    """One generation pass for some harvests: what is still to generate, and the pictures of all of them."""

    def __init__(self, ctx: Context, harvests: Sequence[_Harvest]) -> None:
        self.ctx, self.harvests = ctx, harvests
        self.new: dict[int, Drawn] = {}
        """Pictures since the last checkpoint."""
        for harvest in harvests:
            harvest.resume()
        done = {i for harvest in harvests for start, stop in harvest.ranges for i in range(start, stop)}
        hashes = {self.jobs[i].index: self.hash_of(self.jobs[i]) for i in done}
        with ctx.db.session() as session:
            there = queries.image_ids(session, hashes.values())
        self.stored = {index: found for index, found in hashes.items() if found in there}
        """Generation hash of the images that lie in the database, by index."""

    @cached_property
    def jobs(self) -> list[ImageJob]:
        """What to generate, each image once: a prompts file may name a prompt and seed twice."""
        jobs: dict[str, ImageJob] = {}
        for job in self.ctx.jobs(0, self.harvests[0].plan.config["images"]):
            jobs.setdefault(self.hash_of(job), job)
        return list(jobs.values())

    def hash_of(self, job: ImageJob) -> str:
        """What identifies the job's image."""
        from autointerp.diffusion.generation import generation_hash

        description = self.ctx.description
        return generation_hash(description.name, description.revision, job, self.ctx.generation)

    def run(self) -> None:
        """Generate what any of the harvests lacks, give it to those that lack it, and store what they kept."""
        what = self.harvests[0].row.name if len(self.harvests) == 1 else f"{len(self.harvests)} dictionaries"
        missing = sum(stop - start for start, stop, _ in self.stretches())
        since = 0
        with self.ctx.progress.task(f"harvest {what}", len(self.jobs), len(self.jobs) - missing, unit="image") as bar:
            for start, stop, drawn in self._gathered():
                self.new.update({one.job.index: one for one in drawn})
                bar.advance(stop - start)
                since += stop - start
                missing -= stop - start
                if since >= CHECKPOINT_IMAGES and missing:
                    self.checkpoint()
                    since = 0
        self.finish()

    def stretches(self) -> list[tuple[int, int, list[_Harvest]]]:
        """Jobs from and to, and the harvests that lack them; none of them took in a part of a stretch alone.

        So a batch is always one that all of them have or lack, and begins where it would in a run without a stop.
        """
        ends = {0, len(self.jobs)} | {end for h in self.harvests for range_ in h.ranges for end in range_}
        cuts = sorted(end for end in ends if end <= len(self.jobs))
        found = []
        for start, stop in zip(cuts, cuts[1:], strict=False):
            lacking = [h for h in self.harvests if not any(a <= start and stop <= b for a, b in h.ranges)]
            if lacking:
                found.append((start, stop, lacking))
        return found

    def _gathered(self) -> Iterator[tuple[int, int, list[Drawn]]]:
        """Jobs from and to that have been taken in just now, with their pictures."""
        if self.ctx.settings.workers is not None or self.ctx.settings.ray is not None:
            yield from self._gathered_apart()
            return
        for harvest in self.harvests:
            harvest.reader.dictionary = harvest.reader.dictionary.to(self.ctx.model.device)
        for start, stop, lacking in self.stretches():
            readers = [harvest.reader for harvest in lacking]
            jobs, size = self.jobs[start:stop], self.ctx.settings.batch_size
            for drawn in gather(self.ctx.model, self.ctx.generation, jobs, readers, size):
                for harvest in lacking:
                    harvest.add_range(start, start + len(drawn))
                yield start, start + len(drawn), drawn
                start += len(drawn)

    def _gathered_apart(self) -> Iterator[tuple[int, int, list[Drawn]]]:
        """The same by several processes, in the order in which they come to an end."""
        from autointerp.stages.distribute import Workers, cut

        settings = self.ctx.settings
        shards = []
        for start, stop, lacking in self.stretches():
            numbers = tuple(self.harvests.index(harvest) for harvest in lacking)
            shards += cut(self.jobs, start, stop, settings.batch_size, numbers)
        readers = [harvest.reader for harvest in self.harvests]
        with Workers(self.ctx, readers, settings.workers, settings.ray) as workers:
            for shard, found in workers.gather(shards):
                for number, collector, timesteps in zip(shard.readers, found.collectors, found.timesteps, strict=True):
                    harvest = self.harvests[number]
                    harvest.reader.collector.merge(collector)
                    harvest.reader.timesteps |= timesteps
                    harvest.add_range(shard.start, shard.stop)
                yield shard.start, shard.stop, found.drawn

    def checkpoint(self) -> None:
        """One transaction: what the harvests hold, and the pictures that they need so far, no others."""
        with self.ctx.db.session() as session:
            self._store_pictures(session)
            for harvest in self.harvests:
                state = {**harvest.state(), PICTURES: self._pictures_of(harvest)}
                write_checkpoint(session, harvest.run_id, harvest.done, state)

    def finish(self) -> None:
        """One transaction: features, crops, their pictures, and the end of the runs."""
        with self.ctx.db.session() as session:
            self._store_pictures(session)
            ids = queries.image_ids(session, self.stored.values())
            image_ids = {index: ids[found] for index, found in self.stored.items() if found in ids}
            for harvest in self.harvests:
                harvest.store(session, image_ids)
            session.flush()
            spared = pictures_of_stopped(session, [harvest.run_id for harvest in self.harvests])
            gone = [i for index, i in image_ids.items() if self.stored[index] not in spared]
            queries.remove_orphaned_images(session, gone)

    def _pictures_of(self, harvest: _Harvest) -> np.ndarray:
        """Generation hashes of the stored pictures that a harvest needs to go on, bytes [n]."""
        wanted = harvest.reader.collector.pictures_wanted()
        return np.array(sorted(found for index, found in self.stored.items() if index in wanted), "S64")

    def _store_pictures(self, session: Any) -> None:
        """Write the new pictures that are wanted, and delete those that no longer are; the rest is let go."""
        wanted = set().union(*(harvest.reader.collector.pictures_wanted() for harvest in self.harvests))
        kept = {index: one for index, one in self.new.items() if index in wanted}
        hashes = {index: self.hash_of(one.job) for index, one in kept.items()}
        there = queries.image_ids(session, hashes.values())
        rows = [
            {
                "image_index": index,
                "prompt": one.job.prompt,
                "prompt_hash": hashlib.sha256(one.job.alike.encode()).hexdigest(),
                "seed": one.job.seed,
                "generation_hash": hashes[index],
                "width": one.size[0],
                "height": one.size[1],
                "picture": one.data,
            }
            for index, one in sorted(kept.items())
            if hashes[index] not in there
        ]
        queries.insert_many(session, models.Image, rows)
        self.new = {}
        self.stored |= hashes
        gone = self.stored.keys() - wanted
        if gone:
            spared = pictures_of_stopped(session, [harvest.run_id for harvest in self.harvests])
            gone = {index for index in gone if self.stored[index] not in spared}
            ids = queries.image_ids(session, [self.stored[index] for index in gone])
            queries.remove_orphaned_images(session, ids.values())
            self.stored = {index: found for index, found in self.stored.items() if index not in gone}


class _Harvest:
    """One harvest under way: its reader, and which jobs it has taken in."""

    def __init__(self, ctx: Context, plan: HarvestPlan, row: models.Dictionary, run_id: int) -> None:
        self.ctx, self.plan, self.row, self.run_id = ctx, plan, row, run_id
        self.ranges: list[tuple[int, int]] = []
        """Jobs, from and to, that were taken in."""

    @property
    def done(self) -> int:
        """Jobs that were taken in."""
        return sum(stop - start for start, stop in self.ranges)

    @cached_property
    def reader(self) -> Reader:
        """What reads the pass for it, at first with an empty collector."""
        from autointerp.dictionaries.neighbours import nearest_directions
        from autointerp.dictionaries.storage import load_dictionary
        from autointerp.diffusion.loading import pick_device

        dictionary = load_dictionary(self.ctx.workspace.dictionary_dir(self.row.name))
        crops, latents = self.plan.config["crops"], dictionary.num_latents
        # Settings count both splits together; an odd one rounds up on each side.
        top, quantile, random, hard = (
            (crops[name] + 1) // 2 for name in ("top", "quantile", "negatives", "hard_negatives")
        )
        # Rare features need more cells, as far as memory goes.
        quota = Quota(top, quantile, random, hard, cells=min(max(8192, 2 * latents), 131_072))
        nearest = None
        if quota.hard:
            settings = self.ctx.settings
            # The device that is set may be the workers' alone.
            here = "auto" if settings.workers is not None or settings.ray is not None else settings.device
            directions = dictionary.directions.to(pick_device(here))
            index, cosine = (t.cpu().numpy() for t in nearest_directions(directions, NEAREST))
            nearest = Nearest(index.astype(np.int32), cosine)
        collector = CropCollector(latents, quota, self.ctx.settings.seed, nearest)
        return Reader(dictionary, self.plan.fit.layer, tuple(self.plan.config["capture_steps"]), collector)

    def resume(self) -> None:
        """Go on from the last checkpoint; from the start where pictures that it needs were removed since."""
        with self.ctx.db.session() as session:
            state = read_checkpoint(session, self.run_id)
            if state is None:
                return
            ranges = [(int(start), int(stop)) for start, stop in state.pop("ranges")]
            steps, timesteps = state.pop("steps"), state.pop("timesteps")
            needed = state.pop(PICTURES).astype(str).tolist()
            if len(queries.image_ids(session, needed)) < len(needed):
                self.ctx.progress.note("pictures of the stopped harvest were removed: it starts again")
                return
        self.ranges, self.reader.collector = ranges, CropCollector.from_state(state)
        self.reader.timesteps = {int(s): float(t) for s, t in zip(steps, timesteps, strict=True)}

    def add_range(self, start: int, stop: int) -> None:
        """Note that these jobs were taken in."""
        joined: list[tuple[int, int]] = []
        for a, b in sorted([*self.ranges, (start, stop)]):
            if joined and joined[-1][1] == a:
                joined[-1] = (joined[-1][0], b)
            else:
                joined.append((a, b))
        self.ranges = joined

    def state(self) -> dict[str, np.ndarray]:
        """What it goes on from."""
        timesteps = self.reader.timesteps
        return {
            **self.reader.collector.state(),
            "ranges": np.array(self.ranges, np.int64).reshape(-1, 2),
            "steps": np.array(list(timesteps), np.int64),
            "timesteps": np.array(list(timesteps.values()), np.float64),
        }

    def store(self, session: Any, image_ids: Mapping[int, int]) -> None:
        """Write features and crops, and mark the run done, in the caller's transaction."""
        collector = self.reader.collector
        stats = collector.stats()
        feature_ids = self._store_features(session, stats)
        sizes = {
            i: (w, h)
            for part in queries.chunks(image_ids.values())
            for i, w, h in session.execute(
                select(models.Image.id, models.Image.width, models.Image.height).where(models.Image.id.in_(part))
            )
        }
        count = 0
        rows = (self._crop(row, feature_ids[row.feature], image_ids[row.image], sizes) for row in collector.rows())
        with prompts_indexed_once(session, [self.row.id]):
            mine = select(models.Feature.id).where(models.Feature.dictionary_id == self.row.id)
            session.execute(delete(models.Crop).where(models.Crop.feature_id.in_(mine)))
            for part in _pieces(rows, _INSERTED):
                queries.insert_many(session, models.Crop, part)
                count += len(part)
        result = {"images": collector.images_seen, "crops": count, "dead": int((stats.images == 0).sum())}
        finish(session, self.run_id, self.row.id, result)

    def _store_features(self, session: Any, stats: FeatureStats) -> dict[int, int]:
        """Every latent as a feature, with its state; latent -> feature id."""
        from autointerp.dictionaries.itda import ITDA

        dictionary = self.reader.dictionary
        sources = dictionary.sources.all() if isinstance(dictionary, ITDA) and dictionary.sources else []
        rows = [
            {
                **_atom(sources[i % len(sources)] if sources else None),
                "dictionary_id": self.row.id,
                "latent_index": i,
                "density": float(stats.density[i]),
                "max_activation": float(stats.maximum[i]),
                "mean_activation": float(stats.mean[i]),
                "state": "dead" if not stats.images[i] else "dense" if stats.density[i] > DENSE else "live",
                "histogram": _histogram(stats.histogram[i]),
                "steps": {str(step): round(float(share[i]), 6) for step, share in stats.steps.items()},
                "neighbours": {str(latent): round(share, 4) for latent, share in stats.neighbours[i]},
            }
            for i in range(self.row.num_latents)
        ]
        # Features that came with an import stay the same rows, so that their labels stay with them.
        known = self._feature_ids(session)
        if known:
            session.execute(update(models.Feature), [{**r, "id": known[i]} for i, r in enumerate(rows) if i in known])
        queries.insert_many(session, models.Feature, [r for i, r in enumerate(rows) if i not in known])
        return self._feature_ids(session)

    def _feature_ids(self, session: Any) -> dict[int, int]:
        """Latent -> feature id, of those that are stored."""
        query = select(models.Feature.latent_index, models.Feature.id)
        found = session.execute(query.where(models.Feature.dictionary_id == self.row.id))
        return {latent: feature for latent, feature in found}

    def _crop(
        self, row: CropRow, feature_id: int, image_id: int, sizes: Mapping[int, tuple[int, int]]
    ) -> dict[str, Any]:
        size = sizes[image_id]
        # A text token has no place in the picture.
        if row.row is None or row.col is None or row.grid is None or self.reader.layer.stream == "text":
            box = (0, 0, *size)
        else:
            box = crop_box((row.row, row.col), row.grid, size)
        return {
            "feature_id": feature_id,
            "image_id": image_id,
            "step": row.step,
            "timestep": None if row.step is None else self.reader.timesteps[row.step],
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
            "neighbour": row.neighbour,
        }


def _pieces(rows: Iterable[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    from itertools import islice

    left = iter(rows)
    while piece := list(islice(left, size)):
        yield piece


def _histogram(counts: np.ndarray) -> dict[str, Any]:
    """The levels from the first to the last that any cell is on; none where the feature never fired."""
    on = np.flatnonzero(counts)
    if not len(on):
        return {}
    return {"first": int(on[0]), "counts": counts[on[0] : on[-1] + 1].tolist()}


def _atom(source: tuple[str, int, int, int, int] | None) -> dict[str, Any]:
    """The columns that say where an atom was seen."""
    names = ("atom_prompt", "atom_seed", "atom_step", "atom_row", "atom_col")
    return dict(zip(names, source or (None,) * len(names), strict=True))
