"""The batches of a pass are the same for one process, for workers, and after any stop."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, strategies as st

from autointerp.diffusion.jobs import ImageJob
from autointerp.sizes import parse_size
from autointerp.stages.harvest.batches import SHARD_IMAGES, JobRanges, cut_batches, cut_shards, find_pending

JOBS = st.lists(st.sampled_from([None, parse_size("64x32")]), min_size=1, max_size=60).map(
    lambda sizes: [ImageJob(i, f"prompt {i}", i, size) for i, size in enumerate(sizes)]
)


@given(JOBS, st.integers(1, 9), st.data())
def test_what_is_left_after_a_stop_is_whole_batches_of_the_one_plan(
    jobs: list[ImageJob], size: int, data: st.DataObject
) -> None:
    """Two harvests stop anywhere between batches; what is pending is what they lack, batch by batch."""
    batches = cut_batches(jobs, size)
    assert [job for batch in batches for job in batch.jobs] == jobs
    assert all(len(batch.jobs) <= size and len({job.size for job in batch.jobs}) == 1 for batch in batches)
    done = [data.draw(st.sets(st.integers(0, len(batches) - 1))) for _ in range(2)]
    taken_in = []
    for numbers in done:
        ranges = JobRanges()
        for number in data.draw(st.permutations(sorted(numbers))):
            ranges = ranges.with_range(batches[number].start, batches[number].stop)
        assert ranges.count == sum(len(batches[number].jobs) for number in numbers)
        assert all(a[1] < b[0] for a, b in pairwise(ranges.ranges))
        taken_in.append(ranges)
    expected = [
        (batch, tuple(harvest for harvest in (0, 1) if number not in done[harvest]))
        for number, batch in enumerate(batches)
    ]
    pending = find_pending(batches, taken_in)
    assert [(one.batch, one.harvests) for one in pending] == [one for one in expected if one[1]]
    shards = cut_shards(pending)
    assert [(batch, shard.harvests) for shard in shards for batch in shard.batches] == [
        (one.batch, one.harvests) for one in pending
    ]
    assert all(shard.images < SHARD_IMAGES + size for shard in shards)


@given(JOBS, st.integers(1, 9), st.lists(st.tuples(st.integers(0, 70), st.integers(1, 20)), max_size=4))
def test_ranges_of_another_batch_size_are_neither_lost_nor_repeated(
    jobs: list[ImageJob], size: int, lengths: list[tuple[int, int]]
) -> None:
    """A harvest that was stopped with another batch size has its ends anywhere."""
    at, taken = 0, JobRanges()
    for gap, length in lengths:
        taken = taken.with_range(at + gap, at + gap + length)
        at += gap + length
    pending = find_pending(cut_batches(jobs, size), [taken])
    left = [job.index for one in pending for job in one.batch.jobs]
    assert left == [i for i in range(len(jobs)) if not taken.covers(i, i + 1)]


def test_a_shard_is_closed_once_it_is_large_enough() -> None:
    jobs = [ImageJob(i, "x", i) for i in range(150)]
    shards = cut_shards(find_pending(cut_batches(jobs, 24), [JobRanges()]))
    assert [shard.images for shard in shards] == [72, 72, 6]
