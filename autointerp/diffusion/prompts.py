"""Where prompts come from: the shapes world's own captions without end, or a file of the user's."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from autointerp.diffusion.describe import SHAPES
from autointerp.diffusion.generation import ImageJob
from autointerp.errors import AutointerpError, UsageError, nearest

LONGEST = 4000
"""Characters a prompt may have; more is a file that holds something else."""
HELD_OUT_SEEDS = 1_000_000_000
"""Added to the seed of every held-out image, so that its noise is no crop's."""
_HARVEST_STREAM, _HELD_OUT_STREAM = 31, 32


class PromptSource(Protocol):
    """Numbered prompts: image n depends on its number and the base seed alone."""

    @property
    def spec(self) -> str:
        """What the user wrote: `shapes`, or the file's name."""
        ...

    @property
    def identity(self) -> str:
        """A hash of the content, whatever the file is called."""
        ...

    def jobs(self, start: int, stop: int, seed: int) -> list[ImageJob]:
        """Images `start` to `stop` (exclusive) of a run with this base seed."""
        ...

    def held_out(self, count: int, seed: int, used: int = 0) -> list[ImageJob]:
        """Images to evaluate on that none of the run's first `used` images share prompt and seed with."""
        ...


class ShapesPrompts:
    """Captions of random scenes, caption n the same for ever."""

    spec = SHAPES

    @cached_property
    def identity(self) -> str:
        """A hash of the first captions: it changes when the world does."""
        return _hash([job.prompt for job in self.jobs(0, 64, 0)])

    def jobs(self, start: int, stop: int, seed: int) -> list[ImageJob]:
        """See `PromptSource`."""
        import numpy as np

        from autointerp.shapes.scenes import sample_scene

        def caption(n: int) -> str:
            return sample_scene(np.random.default_rng((seed, _HARVEST_STREAM, n))).caption

        return [ImageJob(n, caption(n), seed + n) for n in range(start, stop)]

    def held_out(self, count: int, seed: int, used: int = 0) -> list[ImageJob]:
        """Captions that no trainer of the package saw, and none of the first `used` images has."""
        import numpy as np

        from autointerp.shapes.scenes import sample_held_out_scene

        taken = {job.prompt for job in self.jobs(0, used, seed)}
        jobs: list[ImageJob] = []
        n = 0
        while len(jobs) < count:
            prompt = sample_held_out_scene(np.random.default_rng((seed, _HELD_OUT_STREAM, n))).caption
            if prompt not in taken:
                jobs.append(ImageJob(len(jobs), prompt, HELD_OUT_SEEDS + seed + len(jobs)))
            n += 1
        return jobs


@dataclass(frozen=True)
class FilePrompts:
    """The prompts of a file, from the first again after the last.

    `prompts`: (prompt, its own seed or None). A prompt's own seed holds the first time round alone: the same image
    twice would tell nothing.
    """

    spec: str
    prompts: tuple[tuple[str, int | None], ...]

    @cached_property
    def identity(self) -> str:
        """A hash of prompts and seeds."""
        return _hash(self.prompts)

    def jobs(self, start: int, stop: int, seed: int) -> list[ImageJob]:
        """See `PromptSource`."""
        jobs = []
        for n in range(start, stop):
            prompt, own = self.prompts[n % len(self.prompts)]
            first = own is not None and n < len(self.prompts)
            jobs.append(ImageJob(n, prompt, own if first and own is not None else seed + n))
        return jobs

    def held_out(self, count: int, seed: int, used: int = 0) -> list[ImageJob]:
        """Prompts beyond the first `used`, where the file has any; other seeds in every case."""
        seen = {prompt for prompt, _ in self.prompts[:used]}
        tail = [prompt for prompt, _ in self.prompts[used:] if prompt not in seen]
        pool = tail or [prompt for prompt, _ in self.prompts]
        return [ImageJob(n, pool[n % len(pool)], HELD_OUT_SEEDS + seed + n) for n in range(count)]


def load_prompts(spec: str | Path) -> PromptSource:
    """The prompts that a setting means.

    Args:
        spec: `shapes`, or a file: `.jsonl` with a `{"prompt": ..., "seed": ...}` a line (the seed may be left out),
            any other with a prompt a line. Blank lines, and in text files lines that begin with `#`, do not count.

    Raises:
        AutointerpError: The file is missing, no text, empty, or has a bad line (the message says which).
    """
    if str(spec) == SHAPES:
        return ShapesPrompts()
    path = Path(spec).expanduser()
    if not str(spec).strip():
        raise UsageError("the prompts file has no name", f"give a file, or {SHAPES}")
    if path.is_dir():
        raise AutointerpError(f"the prompts file {spec} is a folder", "name a file in it")
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise AutointerpError(f"there is no prompts file {spec}", f"check the path, or use {SHAPES}") from None
    except OSError as error:
        raise AutointerpError(f"the prompts file {spec} cannot be read: {error.strerror}", "check it") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise AutointerpError(f"the prompts file {spec} is not text", "give a UTF-8 file with a prompt a line")
    read = _read_json_line if path.suffix.lower() in (".jsonl", ".ndjson") else _read_text_line
    prompts = []
    # Only real line ends: a prompt may hold any of the other characters that str.splitlines breaks at.
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if line.strip() and (prompt := read(line.strip(), f"{spec}, line {number}")) is not None:
            if len(prompt[0]) > LONGEST:
                raise AutointerpError(
                    f"{spec}, line {number}: a prompt of {len(prompt[0])} characters", f"at most {LONGEST} are allowed"
                )
            prompts.append(prompt)
    if not prompts:
        raise AutointerpError(f"the prompts file {spec} holds no prompt", "write a prompt a line")
    return FilePrompts(str(spec), tuple(prompts))


def _read_text_line(line: str, where: str) -> tuple[str, int | None] | None:
    return None if line.startswith("#") else (line, None)


def _read_json_line(line: str, where: str) -> tuple[str, int | None]:
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise AutointerpError(f"{where}: no JSON ({error})", 'write {"prompt": "..."}') from None
    if not isinstance(entry, dict) or not isinstance(entry.get("prompt"), str) or not entry["prompt"].strip():
        raise AutointerpError(f"{where}: there is no prompt", 'write {"prompt": "..."}')
    for key in entry:
        if key not in ("prompt", "seed"):
            raise AutointerpError(f"{where}: unknown key {key!r}", nearest(key, ["prompt", "seed"]))
    seed = entry.get("seed")
    if seed is not None and (type(seed) is not int or not 0 <= seed < 2**63):
        raise AutointerpError(f"{where}: the seed is {seed!r}", "give a whole number of 0 or more")
    return entry["prompt"].strip(), seed


def _hash(content: Any) -> str:
    return f"sha256-{hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]}"
