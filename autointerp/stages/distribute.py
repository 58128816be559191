"""A harvest's generation pass over several processes or machines, through Ray.

Workers generate, encode and keep what may be a crop of their share of the images. What they send merges exactly, so the
rows are those of a single process. Only the process that asked writes to the database.
"""

from __future__ import annotations

import os
import secrets
import socket
import sys
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from autointerp.crops.collect import CropCollector
from autointerp.errors import AutointerpError, UsageError
from autointerp.stages.gather import Drawn, Reader, gather
from autointerp.version import VERSION

if TYPE_CHECKING:
    from autointerp.diffusion.generation import ImageJob
    from autointerp.stages.context import Context

SHARD_IMAGES = 64
"""About how many images are given to a worker at a time."""
AHEAD = 2
"""Shards that a worker has at a time: one under way, one that waits."""
_DEATHS = 3
"""Deaths for each worker, on average, after which it is not worth going on."""


class Shard(NamedTuple):
    """Jobs of a pass from `start` to `stop`, for the readers of these numbers."""

    start: int
    stop: int
    readers: tuple[int, ...]
    jobs: Sequence[ImageJob]


@dataclass(frozen=True)
class Gathered:
    """What came of a shard: of each of its readers the collector and the timesteps, and the pictures."""

    collectors: list[CropCollector]
    timesteps: list[dict[int, float]]
    drawn: list[Drawn]


@dataclass(frozen=True)
class _Task:
    """What all workers are sent once."""

    settings: dict[str, Any]
    readers: list[Reader]
    threads: int
    version: str = VERSION


@dataclass(frozen=True)
class _Failure:
    """An error that another worker would meet too."""

    message: str
    hint: str


class Workers:
    """Processes that gather shards; as a context they are there, and gone afterwards.

    Args:
        ctx: The command's view of the workspace.
        readers: What reads the pass, with dictionaries on the processor.
        count: How many; one a GPU of the cluster if None, or one where it has none.
        address: Of a Ray cluster; a cluster of this machine's is started, and ended, if None.
        threads: Of each; its share of the cores if None.

    Raises:
        UsageError: Ray is not installed.
        AutointerpError: There is no such cluster, or it is too small.
    """

    def __init__(
        self,
        ctx: Context,
        readers: Sequence[Reader],
        count: int | None = None,
        address: str | None = None,
        threads: int | None = None,
    ) -> None:
        self.ctx, self.readers, self.count, self.address, self.threads = ctx, readers, count, address, threads
        self._actors: list[Any] = []

    def __enter__(self) -> Workers:
        if self.address is None:
            self.ray = _start_local(self.count or 1)
        else:
            self.ray = _join(self.address)
        try:
            self._options = self._place()
            readers = [replace(reader, collector=reader.collector.fresh()) for reader in self.readers]
            self._task = self.ray.put(_Task(self._settings(), readers, self.threads or 1))
            self._actors = [self._new_actor() for _ in range(self.count or 1)]
        except BaseException:
            self.ray.shutdown()
            raise
        return self

    def __exit__(self, *raised: object) -> None:
        for actor in self._actors:
            self.ray.kill(actor)
        self.ray.shutdown()

    def _place(self) -> dict[str, Any]:
        """What a worker asks of the cluster: a GPU of its own where there are any, else its part of the cores."""
        found = self.ray.cluster_resources()
        gpus, cores = int(found.get("GPU", 0)), max(int(found.get("CPU", 1)), 1)
        on_gpu = gpus > 0 and not self.ctx.settings.device.startswith(("cpu", "mps"))
        self.count = self.count or (gpus if on_gpu else 1 if self.address is None else cores)
        if self.count > (gpus if on_gpu else cores):
            what = f"{gpus} GPUs" if on_gpu else f"{cores} cores"
            raise AutointerpError(f"{self.count} workers do not fit {what}", "give --workers a smaller number")
        # Of one machine's cores this one's share; a cluster's machines say themselves how many they have.
        machine = (os.cpu_count() or 1) if self.address is None else cores
        self.threads = self.threads or max(machine // self.count, 1)
        return {"num_gpus": 1, "num_cpus": 1} if on_gpu else {"num_cpus": 1}

    def _settings(self) -> dict[str, Any]:
        """What workers need of the settings: not the database, whose URL may hold a password."""
        given = self.ctx.settings.model_dump(exclude={"database"})
        # Of the GPUs a worker sees its own alone, as the first.
        return {**given, "device": "cuda"} if "num_gpus" in self._options else given

    def _new_actor(self) -> Any:
        return self.ray.remote(**self._options)(_Worker).remote(self._task)

    def gather(self, shards: Sequence[Shard]) -> Iterator[tuple[Shard, Gathered]]:
        """What comes of the shards, in the order in which it comes. A dead worker's are given to another.

        Raises:
            AutointerpError: The work cannot be done, or workers die again and again.
        """
        todo = deque(shards)
        under_way: dict[Any, tuple[Any, Shard]] = {}
        idle = deque(actor for _ in range(AHEAD) for actor in self._actors)
        deaths, heard = 0, False
        while todo or under_way:
            while todo and idle:
                actor, shard = idle.popleft(), todo.popleft()
                under_way[actor.gather.remote(shard)] = (actor, shard)
            ready: list[Any] = []
            while not ready:
                ready, _ = self.ray.wait(list(under_way), num_returns=1, timeout=_SILENCE_SECONDS)
                if not ready and not heard:
                    self.ctx.progress.note("no worker has sent anything yet: a busy cluster keeps them waiting")
                    heard = True
            heard = True
            actor, shard = under_way.pop(ready[0])
            try:
                found = self.ray.get(ready[0])
            except (self.ray.exceptions.RayActorError, self.ray.exceptions.OutOfMemoryError) as error:
                deaths += 1
                if deaths > _DEATHS * len(self._actors):
                    reason = str(error).strip().splitlines()[-1][:200]
                    raise AutointerpError(
                        f"workers die again and again: {reason}", "use fewer of them, or look at Ray's logs"
                    ) from None
                # All that the dead one had comes back as an error of its own, one after the other.
                todo.appendleft(shard)
                if actor in self._actors:
                    self.ctx.progress.note("a worker died: its images are given to another")
                    self._actors.remove(actor)
                    self._actors.append(self._new_actor())
                    idle = deque(other for other in idle if other != actor)
                    idle.extend([self._actors[-1]] * AHEAD)
                continue
            except self.ray.exceptions.RayTaskError as error:
                reason = str(error).strip().splitlines()[-1][:200]
                raise AutointerpError(
                    f"a worker failed: {reason}", f"install autointerp {VERSION} on every machine of the cluster"
                ) from None
            if isinstance(found, _Failure):
                raise AutointerpError(found.message, found.hint)
            idle.append(actor)
            yield shard, found


class _Worker:
    """Lives in a process of Ray's: loads the model once, and gathers shards."""

    def __init__(self, task: _Task) -> None:
        self._task = task
        self._context: Context | None = None

    def gather(self, shard: Shard) -> Gathered | _Failure:
        """Generate a shard's images and keep what its readers may need of them."""
        if self._task.version != VERSION:
            what = f"a worker has autointerp {VERSION}, and was sent work of {self._task.version}"
            return _Failure(what, "install the same version on every machine of the cluster")
        readers = [self._task.readers[number] for number in shard.readers]
        try:
            ctx = self._context = self._context or self._prepare()
            mine = [replace(reader, collector=reader.collector.fresh()) for reader in readers]
            batches = gather(ctx.model, ctx.generation, shard.jobs, mine, ctx.settings.batch_size)
            drawn = [one for batch in batches for one in batch]
        except AutointerpError as error:
            return _Failure(error.message, error.hint)
        collectors = [reader.collector for reader in mine]
        for collector in collectors:
            collector.settle()  # What Ray hands over cannot be changed, so nothing may wait.
        wanted = set().union(*(collector.pictures_wanted() for collector in collectors))
        drawn = [one for one in drawn if one.job.index in wanted]
        return Gathered(collectors, [reader.timesteps for reader in mine], drawn)

    def _prepare(self) -> Context:
        import torch

        from autointerp.settings import Settings
        from autointerp.stages.context import Context
        from autointerp.workspace import Workspace

        torch.set_num_threads(self._task.threads)
        # A workspace that is nowhere: it only carries the settings.
        ctx = Context(Workspace("nowhere", Settings.from_values(self._task.settings)))
        for reader in self._task.readers:
            reader.dictionary = reader.dictionary.to(ctx.model.device)
        return ctx


def cut(jobs: Sequence[ImageJob], start: int, stop: int, batch_size: int, readers: tuple[int, ...]) -> list[Shard]:
    """Shards of the jobs from `start` to `stop`, each of whole batches: those of a run in one process."""
    from autointerp.diffusion.generation import batched

    shards: list[Shard] = []
    begin = end = start
    for batch in batched(iter(jobs[start:stop]), batch_size):
        end += len(batch)
        if end - begin >= SHARD_IMAGES or end == stop:
            shards.append(Shard(begin, end, readers, jobs[begin:end]))
            begin = end
    return shards


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        raise UsageError("several workers need Ray", "pip install 'autointerp[ray]'") from None
    return ray


_PATIENCE_SECONDS, _SILENCE_SECONDS = 10, 180
_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}


def _start_local(workers: int) -> Any:
    """A cluster of this machine alone, that ends with this process; returns Ray."""
    if "ray" not in sys.modules:  # It reads these when it is imported.
        # Of a machine that is to be no part of a cluster Ray takes the loopback address, and listens there alone.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        # Another user of the machine does not get in without the token of this run. Given by the environment, it is
        # not written into the home folder.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray = _ray()
    ray.init(
        address="local",  # else it would join what RAY_ADDRESS or an earlier `ray start` names
        num_cpus=max(workers, os.cpu_count() or 1),
        include_dashboard=False,
        _temp_dir=str(Path(tempfile.gettempdir()) / "autointerp-ray"),
        **_QUIET,
    )
    return ray


def _join(address: str) -> Any:
    """The cluster at an address; returns Ray."""
    ray = _ray()
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    try:
        if colon and port.isdecimal():
            # Ray itself asks for minutes before it gives up.
            socket.create_connection((host, int(port)), _PATIENCE_SECONDS).close()
        ray.init(address=address, **_QUIET)
    except (ConnectionError, RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise AutointerpError(
            f"there is no Ray cluster at {address}: {reason}", "start one with `ray start --head`, or use --workers"
        ) from None
    return ray
