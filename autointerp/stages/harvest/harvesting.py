"""Stage `harvest`, carried out: one generation pass for some dictionaries, with checkpoints, stored at the end."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from autointerp.db import queries
from autointerp.project.context import Context
from autointerp.project.runs import running
from autointerp.project.schedule import part_of
from autointerp.stages.harvest.batches import PendingBatch, cut_batches, cut_shards, find_pending
from autointerp.stages.harvest.gathering import EncodedPicture, gather_crops
from autointerp.stages.harvest.planning import HarvestPlan, with_own_dictionary
from autointerp.stages.harvest.running import RunningHarvest
from autointerp.stages.harvest.storing import store_harvest

if TYPE_CHECKING:
    from autointerp.db import Session
    from autointerp.diffusion.jobs import ImageJob

CHECKPOINT_IMAGES = 256
"""A checkpoint is written after this many images."""


def run_harvest(ctx: Context, plan: HarvestPlan) -> HarvestPlan:
    """Harvest as planned, from the last checkpoint on. Returns the plan as done."""
    return run_harvests(ctx, [plan])[0]


def run_harvests(ctx: Context, plans: Sequence[HarvestPlan]) -> list[HarvestPlan]:
    """Harvest several dictionaries, of any layers, in one generation pass. Returns the plans as done.

    All plans have the same images; each dictionary reads its own steps.
    """
    ready = [plan if plan.done else with_own_dictionary(ctx, plan) for plan in plans]
    with ExitStack() as stack:
        harvests = []
        for plan in ready:
            if plan.done:
                continue
            row = plan.fit.row
            assert row is not None
            work = queries.runs.PlannedRun("harvest", plan.identity, plan.config, plan.images, row.id)
            run = stack.enter_context(running(ctx.db, work))
            harvests.append(RunningHarvest(ctx, plan, row, run.id))
        if harvests:
            with part_of(ctx.progress, "harvest"):
                HarvestPass(ctx, harvests).run()
    return [replace(plan, done=True) for plan in ready]


@dataclass(frozen=True)
class GatheredImages:
    """Images that the harvests have just taken in: how many, and the pictures that they may need."""

    count: int
    pictures: list[EncodedPicture]


class HarvestPass:
    """One generation pass for some harvests: the batches still to run, and the pictures of all of them."""

    def __init__(self, ctx: Context, harvests: Sequence[RunningHarvest]) -> None:
        self.ctx, self.harvests = ctx, harvests
        self.new: dict[int, EncodedPicture] = {}
        """Pictures since the last checkpoint, by the image's index."""
        for harvest in harvests:
            harvest.resume()
        done = {i for harvest in harvests for start, stop in harvest.taken_in.ranges for i in range(start, stop)}
        hashes = {self.jobs[i].index: self.hash_of(self.jobs[i]) for i in done}
        with ctx.db.session() as session:
            there = queries.images.ids(session, hashes.values())
        self.stored = {index: generation for index, generation in hashes.items() if generation in there}
        """Generation hash of the images whose picture is in the database, by the image's index."""

    @cached_property
    def jobs(self) -> list[ImageJob]:
        """The jobs of the pass, each image once: a prompts file may name a prompt and seed twice."""
        jobs: dict[str, ImageJob] = {}
        for job in self.ctx.jobs(0, self.harvests[0].plan.images):
            jobs.setdefault(self.hash_of(job), job)
        return list(jobs.values())

    def hash_of(self, job: ImageJob) -> str:
        """Return what identifies the job's image."""
        from autointerp.diffusion.jobs import generation_hash

        description = self.ctx.description
        return generation_hash(description.name, description.revision, job, self.ctx.generation)

    def run(self) -> None:
        """Generate the images that any harvest lacks, for those that lack them, and store what they kept."""
        what = self.harvests[0].row.name if len(self.harvests) == 1 else f"{len(self.harvests)} dictionaries"
        missing = sum(len(one.batch.jobs) for one in self.pending())
        since = 0
        with self.ctx.progress.task(f"harvest {what}", len(self.jobs), len(self.jobs) - missing, unit="image") as bar:
            for gathered in self._gathered():
                self.new.update({picture.job.index: picture for picture in gathered.pictures})
                bar.advance(gathered.count)
                since += gathered.count
                missing -= gathered.count
                if since >= CHECKPOINT_IMAGES and missing:
                    self.checkpoint()
                    since = 0
        self.finish()

    def pending(self) -> list[PendingBatch]:
        """Return the batches of the whole pass that some harvests lack."""
        batches = cut_batches(self.jobs, self.ctx.settings.batch_size)
        return find_pending(batches, [harvest.taken_in for harvest in self.harvests])

    def _gathered(self) -> Iterator[GatheredImages]:
        """Run the pending batches, here or by workers."""
        if self.ctx.settings.workers is not None or self.ctx.settings.ray is not None:
            yield from self._gathered_by_workers()
            return
        for harvest in self.harvests:
            harvest.reader.dictionary = harvest.reader.dictionary.to(self.ctx.model.device)
        for one in self.pending():
            lacking = [self.harvests[number] for number in one.harvests]
            readers = [harvest.reader for harvest in lacking]
            for pictures in gather_crops(self.ctx.model, self.ctx.generation, [one.batch], readers):
                for harvest in lacking:
                    harvest.take_in(one.batch.start, one.batch.stop)
                yield GatheredImages(len(one.batch.jobs), pictures)

    def _gathered_by_workers(self) -> Iterator[GatheredImages]:
        """Run the pending batches by several processes; shards come in the order in which they are finished."""
        from autointerp.stages.harvest.workers import Workers

        settings = self.ctx.settings
        readers = [harvest.reader for harvest in self.harvests]
        with Workers(self.ctx, readers, settings.workers, settings.ray) as workers:
            for shard, found in workers.gather(cut_shards(self.pending())):
                for number, collector, timesteps in zip(shard.harvests, found.collectors, found.timesteps, strict=True):
                    harvest = self.harvests[number]
                    harvest.reader.collector.merge(collector)
                    harvest.reader.timesteps |= timesteps
                    for batch in shard.batches:
                        harvest.take_in(batch.start, batch.stop)
                yield GatheredImages(shard.images, found.pictures)

    def checkpoint(self) -> None:
        """Write what the harvests hold, and the pictures that they need so far, in one transaction."""
        with self.ctx.db.session() as session:
            self._store_pictures(session)
            for harvest in self.harvests:
                queries.checkpoints.write(session, harvest.run_id, harvest.taken_in.count, harvest.state(self.stored))

    def finish(self) -> None:
        """Write features, crops and their pictures, and end the runs, in one transaction."""
        with self.ctx.db.session() as session:
            self._store_pictures(session)
            ids = queries.images.ids(session, self.stored.values())
            image_ids = {index: ids[generation] for index, generation in self.stored.items() if generation in ids}
            for harvest in self.harvests:
                store_harvest(session, harvest, image_ids)
            session.flush()
            spared = self._needed_by_others(session)
            gone = [i for index, i in image_ids.items() if self.stored[index] not in spared]
            queries.images.remove_orphans(session, gone)

    def _needed_by_others(self, session: Session) -> set[str]:
        """Return the generation hashes of pictures that other, stopped harvests need to go on."""
        return queries.checkpoints.pictures_of_stopped(session, [harvest.run_id for harvest in self.harvests])

    def _store_pictures(self, session: Session) -> None:
        """Write the new pictures that a harvest needs, and delete stored ones that no harvest needs any more."""
        wanted = set().union(*(harvest.reader.collector.pictures_wanted() for harvest in self.harvests))
        kept = {index: picture for index, picture in self.new.items() if index in wanted}
        hashes = {index: self.hash_of(picture.job) for index, picture in kept.items()}
        there = queries.images.ids(session, hashes.values())
        rows = [
            {
                "image_index": index,
                "prompt": picture.job.prompt,
                "prompt_hash": hashlib.sha256(picture.job.alike.encode()).hexdigest(),
                "seed": picture.job.seed,
                "generation_hash": hashes[index],
                "width": picture.size[0],
                "height": picture.size[1],
                "picture": picture.data,
            }
            for index, picture in sorted(kept.items())
            if hashes[index] not in there
        ]
        queries.images.add(session, rows)
        self.new = {}
        self.stored |= hashes
        gone = self.stored.keys() - wanted
        if gone:
            spared = self._needed_by_others(session)
            gone = {index for index in gone if self.stored[index] not in spared}
            ids = queries.images.ids(session, [self.stored[index] for index in gone])
            queries.images.remove_orphans(session, ids.values())
            self.stored = {index: generation for index, generation in self.stored.items() if index not in gone}
