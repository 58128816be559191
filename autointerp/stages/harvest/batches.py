"""The batches of a generation pass: cut once for the whole pass, so that workers and stops change none.

The size of a batch changes float32 sums, and with them pictures and activations. So a shard is a list of whole batches
of this one plan, and so is the rest of a harvest that was stopped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from autointerp.diffusion.jobs import batched

if TYPE_CHECKING:
    from autointerp.diffusion.jobs import ImageJob

SHARD_IMAGES = 64
"""A shard is closed once it has this many images."""


@dataclass(frozen=True)
class JobBatch:
    """Jobs that the model runs at once; `start` is the first one's place among the jobs of the pass."""

    start: int
    jobs: tuple[ImageJob, ...]

    @property
    def stop(self) -> int:
        """The place behind the last job."""
        return self.start + len(self.jobs)


@dataclass(frozen=True)
class PendingBatch:
    """A batch that some harvests have not taken in yet; `harvests` are their numbers."""

    batch: JobBatch
    harvests: tuple[int, ...]


@dataclass(frozen=True)
class Shard:
    """Whole batches that a worker runs in one go, for the harvests of these numbers."""

    harvests: tuple[int, ...]
    batches: tuple[JobBatch, ...]

    @property
    def images(self) -> int:
        """How many images the shard has."""
        return sum(len(batch.jobs) for batch in self.batches)


@dataclass(frozen=True)
class JobRanges:
    """The jobs that a harvest has taken in: ranges from and to (exclusive), in order, that do not touch."""

    ranges: tuple[tuple[int, int], ...] = ()

    @property
    def count(self) -> int:
        """How many jobs there are in all ranges."""
        return sum(stop - start for start, stop in self.ranges)

    def covers(self, start: int, stop: int) -> bool:
        """Whether all jobs from `start` to `stop` were taken in."""
        return any(first <= start and stop <= end for first, end in self.ranges)

    def with_range(self, start: int, stop: int) -> JobRanges:
        """Return the ranges with one more, joined to those that it touches."""
        joined: list[tuple[int, int]] = []
        for first, end in sorted([*self.ranges, (start, stop)]):
            if joined and joined[-1][1] == first:
                joined[-1] = (joined[-1][0], end)
            else:
                joined.append((first, end))
        return JobRanges(tuple(joined))


def cut_batches(jobs: Sequence[ImageJob], batch_size: int) -> list[JobBatch]:
    """Cut all jobs of a pass into its batches, in order."""
    batches: list[JobBatch] = []
    start = 0
    for batch in batched(iter(jobs), batch_size):
        batches.append(JobBatch(start, tuple(batch)))
        start += len(batch)
    return batches


def find_pending(batches: Iterable[JobBatch], taken_in: Sequence[JobRanges]) -> list[PendingBatch]:
    """Find the batches that at least one harvest lacks.

    Args:
        batches: Those of the whole pass.
        taken_in: The jobs that each harvest has, by the harvest's number.

    Returns:
        The batches, in order. Where a harvest has a part of a batch, because it was stopped while batches had another
        size, the batch is cut at the ends of that part, so that no image is taken in twice.
    """
    edges = {edge for taken in taken_in for limits in taken.ranges for edge in limits}
    pending: list[PendingBatch] = []
    for batch in batches:
        inner = sorted(edge for edge in edges if batch.start < edge < batch.stop)
        for start, stop in pairwise([batch.start, *inner, batch.stop]):
            lacking = tuple(number for number, taken in enumerate(taken_in) if not taken.covers(start, stop))
            if lacking:
                part = JobBatch(start, batch.jobs[start - batch.start : stop - batch.start])
                pending.append(PendingBatch(part, lacking))
    return pending


def cut_shards(pending: Iterable[PendingBatch]) -> list[Shard]:
    """Collect batches of the same harvests into shards of about `SHARD_IMAGES` images, in order."""
    shards: list[Shard] = []
    for one in pending:
        last = shards[-1] if shards else None
        if last is not None and last.harvests == one.harvests and last.images < SHARD_IMAGES:
            shards[-1] = Shard(last.harvests, (*last.batches, one.batch))
        else:
            shards.append(Shard(one.harvests, (one.batch,)))
    return shards
