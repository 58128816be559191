"""A harvest's generation pass over several processes or machines, through Ray.

Workers generate images, encode activations and keep what may become a crop of their shards. Their collectors merge
exactly, so the rows are those of a single process. Only the process that started them writes to the database.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from autointerp.crops.collect import CropCollector
from autointerp.diffusion.devices import kind_of
from autointerp.errors import AutointerpError
from autointerp.stages.harvest import cluster
from autointerp.stages.harvest.gathering import EncodedPicture, PassReader, gather_crops
from autointerp.version import VERSION

if TYPE_CHECKING:
    from autointerp.project.context import Context
    from autointerp.stages.harvest.batches import Shard

AHEAD = 2
"""How many shards a worker has at a time: it runs the first while the second waits."""
DEATHS = 3
"""How many deaths for each worker, on average, end the harvest."""
SILENCE_SECONDS = 180
"""A note is written after this time without any result."""


@dataclass(frozen=True)
class GatheredShard:
    """The result of a shard: a collector and the timesteps for each of its harvests, and the pictures they may need."""

    collectors: list[CropCollector]
    timesteps: list[dict[int, float]]
    pictures: list[EncodedPicture]


@dataclass(frozen=True)
class WorkerSetup:
    """What every worker is sent once, when it starts."""

    settings: dict[str, Any]
    readers: list[PassReader]
    threads: int
    version: str = VERSION


@dataclass(frozen=True)
class WorkerFailure:
    """An error that any other worker would meet too."""

    message: str
    hint: str


class Workers:
    """Processes that gather shards. As a context manager it starts them, and ends them afterwards.

    Args:
        ctx: The command's view of the workspace.
        readers: The readers of the pass, with dictionaries in the processor's memory.
        count: How many workers; if None, one for each GPU of the cluster, or one where it has none.
        address: The address of a Ray cluster; if None, a cluster of this machine alone is started, and ended.
        threads: Threads of each worker; if None, its share of those that this process would use.

    Raises:
        UsageError: Ray is not installed.
        AutointerpError: There is no such cluster, or it is too small.
    """

    def __init__(
        self,
        ctx: Context,
        readers: Sequence[PassReader],
        count: int | None = None,
        address: str | None = None,
        threads: int | None = None,
    ) -> None:
        self.ctx, self.readers, self.count, self.address, self.threads = ctx, readers, count, address, threads
        self._actors: list[Any] = []

    def __enter__(self) -> Workers:
        if self.address is None:
            self.ray = cluster.start_local(self.count or 1)
        else:
            self.ray = cluster.join(self.address)
        try:
            self._options = self._place()
            readers = [reader.fresh() for reader in self.readers]
            self._setup = self.ray.put(WorkerSetup(self._settings(), readers, self.threads or 1))
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
        """Choose how many workers there are, and what each reserves: a GPU where there are any, else a core."""
        found = self.ray.cluster_resources()
        gpus, cores = int(found.get("GPU", 0)), max(int(found.get("CPU", 1)), 1)
        on_gpu = gpus > 0 and kind_of(self.ctx.settings.device) not in ("cpu", "mps")
        self.count = self.count or (gpus if on_gpu else 1 if self.address is None else cores)
        if self.count > (gpus if on_gpu else cores):
            what = f"{gpus} GPUs" if on_gpu else f"{cores} cores"
            raise AutointerpError(f"{self.count} workers do not fit {what}", "give --workers a smaller number")
        if self.threads is None:
            self.threads = max((cores if self.address is not None else _own_threads()) // self.count, 1)
        return {"num_gpus": 1, "num_cpus": 1} if on_gpu else {"num_cpus": 1}

    def _settings(self) -> dict[str, Any]:
        """Return the settings that workers need. The database's URL may hold a password, so it is left out."""
        given = self.ctx.settings.model_dump(exclude={"database"})
        # A worker sees no GPU but its own, as the first.
        kind = kind_of(self.ctx.settings.device)
        return {**given, "device": "cuda" if kind == "auto" else kind} if "num_gpus" in self._options else given

    def _new_actor(self) -> Any:
        return self.ray.remote(**self._options)(ShardWorker).remote(self._setup)

    def gather(self, shards: Sequence[Shard]) -> Iterator[tuple[Shard, GatheredShard]]:
        """Yield the shards with their results, as they are finished. The shards of a dead worker go to another one.

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
                ready, _ = self.ray.wait(list(under_way), num_returns=1, timeout=SILENCE_SECONDS)
                if not ready and not heard:
                    self.ctx.progress.note("no worker has sent anything yet: a busy cluster keeps them waiting")
                    heard = True
            heard = True
            actor, shard = under_way.pop(ready[0])
            try:
                found = self.ray.get(ready[0])
            except (self.ray.exceptions.RayActorError, self.ray.exceptions.OutOfMemoryError) as error:
                deaths += 1
                if deaths > DEATHS * len(self._actors):
                    reason = str(error).strip().splitlines()[-1][:200]
                    raise AutointerpError(
                        f"workers die again and again: {reason}", "use fewer of them, or look at Ray's logs"
                    ) from None
                # Each shard that the dead worker had comes back as an error of its own.
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
            if isinstance(found, WorkerFailure):
                raise AutointerpError(found.message, found.hint)
            idle.append(actor)
            yield shard, found


def _own_threads() -> int:
    """Return how many threads this process would run a model with. The number of threads changes float32 sums."""
    import torch

    return torch.get_num_threads()


class ShardWorker:
    """An actor in a process of Ray's. It loads the model once, and gathers shards."""

    def __init__(self, setup: WorkerSetup) -> None:
        self._setup = setup
        self._context: Context | None = None

    def gather(self, shard: Shard) -> GatheredShard | WorkerFailure:
        """Generate a shard's images and keep what its harvests may need of them."""
        if self._setup.version != VERSION:
            what = f"a worker has autointerp {VERSION}, and was sent work of {self._setup.version}"
            return WorkerFailure(what, "install the same version on every machine of the cluster")
        try:
            ctx = self._context = self._context or self._prepare()
            readers = [self._setup.readers[number].fresh() for number in shard.harvests]
            batches = gather_crops(ctx.model, ctx.generation, shard.batches, readers)
            pictures = [picture for batch in batches for picture in batch]
        except AutointerpError as error:
            return WorkerFailure(error.message, error.hint)
        collectors = [reader.collector for reader in readers]
        for collector in collectors:
            collector.settle()  # Ray hands over arrays that cannot be changed, so no candidate may wait.
        wanted = set().union(*(collector.pictures_wanted() for collector in collectors))
        pictures = [picture for picture in pictures if picture.job.index in wanted]
        return GatheredShard(collectors, [reader.timesteps for reader in readers], pictures)

    def _prepare(self) -> Context:
        """Load the model and move the dictionaries to its device."""
        import torch

        from autointerp.project.context import Context
        from autointerp.project.settings import Settings
        from autointerp.project.workspace import WorkspaceFolder

        torch.set_num_threads(self._setup.threads)
        # The workspace is nowhere: it only carries the settings.
        ctx = Context(WorkspaceFolder("nowhere", Settings.from_values(self._setup.settings)))
        for reader in self._setup.readers:
            reader.dictionary = reader.dictionary.to(ctx.model.device)
        return ctx
