"""Where prompts come from: the shapes world's captions without end, a shipped set, a file, or a data set."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from autointerp.diffusion.describe import SHAPES
from autointerp.diffusion.generation import ImageJob
from autointerp.diffusion.sizes import Size, parse_size
from autointerp.errors import AutointerpError, UsageError, nearest
from autointerp.files import sha256_of

AUTO = "auto"
"""The prompts that suit the model: captions of its world for shapes, `EVERYDAY` for any other."""
EVERYDAY = "everyday"
"""The shipped set for models of pictures at large."""
DATASETS = "datasets:"
"""What a data set's name begins with."""
TABLES = (".parquet", ".csv")
"""Files that are read as data sets."""
LONGEST = 4000
"""Characters a prompt may have; more is a file that holds something else."""
HELD_OUT_SEEDS = 1_000_000_000
"""Added to the seed of every held-out image, so that its noise is no crop's."""
_HARVEST_STREAM, _HELD_OUT_STREAM = 31, 32
_SETS = files("autointerp.prompts") / "sets"


class PromptSource(Protocol):
    """Numbered prompts: image n depends on its number and the base seed alone."""

    @property
    def spec(self) -> str:
        """What the user wrote: the name of a set, of a file, of a data set, or of a folder of pictures."""
        ...

    @property
    def identity(self) -> str:
        """A hash of the content, whatever the file is called."""
        ...

    @property
    def count(self) -> int | None:
        """How many images there can be; None: without end."""
        ...

    @property
    def sizes(self) -> Mapping[Size, str]:
        """Sizes that single prompts ask for, and where each is first asked for."""
        ...

    def jobs(self, start: int, stop: int, seed: int) -> list[ImageJob]:
        """Images `start` to `stop` (exclusive) of a run with this base seed; fewer where there are no more."""
        ...

    def held_out(self, count: int, seed: int, used: int = 0) -> list[ImageJob]:
        """Images to evaluate on that none of the run's first `used` images share prompt and seed with."""
        ...


class ShapesPrompts:
    """Captions of random scenes, caption n the same for ever."""

    spec = SHAPES
    count = None
    sizes: Mapping[Size, str] = {}

    @cached_property
    def identity(self) -> str:
        """A hash of the first captions: it changes when the world does."""
        return content_hash([job.prompt for job in self.jobs(0, 64, 0)])

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


class Prompt(NamedTuple):
    """A prompt of a file; `seed` and `size` are its own, where it has them, `line` where it stands."""

    text: str
    seed: int | None = None
    size: Size | None = None
    line: int = 0


def job_of(prompts: Sequence[Prompt], n: int, seed: int) -> ImageJob:
    """Image n of prompts that come from the first again after the last.

    A prompt's own seed holds the first time round alone: the same image twice would tell nothing.
    """
    prompt = prompts[n % len(prompts)]
    own = prompt.seed if n < len(prompts) else None
    return ImageJob(n, prompt.text, seed + n if own is None else own, prompt.size)


def held_out_jobs(pool: Sequence[Prompt], count: int, seed: int) -> list[ImageJob]:
    """Held-out images of these prompts, again from the first after the last, each with a seed of no crop."""
    chosen = [pool[n % len(pool)] for n in range(count)]
    return [ImageJob(n, one.text, HELD_OUT_SEEDS + seed + n, one.size) for n, one in enumerate(chosen)]


@dataclass(frozen=True)
class FilePrompts:
    """The prompts of a file or of a shipped set, see `job_of`."""

    spec: str
    prompts: tuple[Prompt, ...]
    count = None

    @cached_property
    def identity(self) -> str:
        """A hash of prompts, seeds and sizes."""
        return content_hash([prompt[:2] if prompt.size is None else prompt[:3] for prompt in self.prompts])

    @cached_property
    def sizes(self) -> Mapping[Size, str]:
        """See `PromptSource`."""
        found: dict[Size, str] = {}
        for prompt in self.prompts:
            if prompt.size is not None:
                found.setdefault(prompt.size, f"{self.spec}, line {prompt.line}")
        return found

    def jobs(self, start: int, stop: int, seed: int) -> list[ImageJob]:
        """See `PromptSource`."""
        return [job_of(self.prompts, n, seed) for n in range(start, stop)]

    def held_out(self, count: int, seed: int, used: int = 0) -> list[ImageJob]:
        """Prompts beyond the first `used`, where the file has any; other seeds in every case."""
        seen = {prompt.text for prompt in self.prompts[:used]}
        tail = [prompt for prompt in self.prompts[used:] if prompt.text not in seen]
        return held_out_jobs(tail or self.prompts, count, seed)


def prompt_sets() -> list[str]:
    """Names of the shipped prompt sets."""
    return sorted(entry.name.removesuffix(".txt") for entry in _SETS.iterdir() if entry.name.endswith(".txt"))


def is_name(spec: str) -> bool:
    """Whether prompts are named, rather than a file: `shapes`, `auto`, or a shipped set."""
    return spec in (AUTO, SHAPES, *prompt_sets())


def load_prompts(spec: str | Path, folder: Path | None = None, local_files_only: bool = False) -> PromptSource:
    """The prompts that a setting means.

    Args:
        spec: `shapes`, a shipped set, `datasets:ID[@REVISION][:SPLIT[:COLUMN]]` (see `dataset_prompts`), or a file:
            `.jsonl` with a `{"prompt": ..., "seed": ..., "size": ...}` a line (all but the prompt may be left out,
            and `size` be `width` and `height`), `.parquet` or `.csv` with a column of prompts, any other with a
            prompt a line. Blank lines, and in text files lines that begin with `#`, do not count.
        folder: What relative paths are relative to; the current one if None.
        local_files_only: Whether the settings forbid to ask the hub for a data set.

    Raises:
        AutointerpError: The file is missing, no text, empty, or has a bad line (the message says which).
        UsageError: There is no such set.
    """
    name = str(spec)
    if not name.strip():
        raise UsageError(
            "the prompts file has no name", f"give a file, or one of {', '.join([SHAPES, *prompt_sets()])}"
        )
    if name == SHAPES:
        return ShapesPrompts()
    if name in prompt_sets():
        return FilePrompts(name, _parsed((_SETS / f"{name}.txt").read_text(encoding="utf-8"), name, False))
    path = (folder or Path()) / Path(spec).expanduser()
    if name.startswith(DATASETS) or path.suffix.lower() in TABLES:
        from autointerp.diffusion.dataset_prompts import load_dataset_prompts

        return load_dataset_prompts(name, folder, local_files_only)
    if path.is_dir():
        raise AutointerpError(f"the prompts file {spec} is a folder", "name a file in it; for pictures set images_dir")
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        if "/" not in name and "." not in name:
            known = nearest(name, [SHAPES, *prompt_sets()])
            raise UsageError(f"there is no prompt set and no prompts file {name!r}", known) from None
        known = ", ".join([SHAPES, *prompt_sets()])
        raise AutointerpError(f"there is no prompts file {spec}", f"check the path, or use one of: {known}") from None
    except OSError as error:
        raise AutointerpError(f"the prompts file {spec} cannot be read: {error.strerror}", "check it") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise AutointerpError(f"the prompts file {spec} is not text", "give a UTF-8 file with a prompt a line")
    prompts = _parsed(text, name, path.suffix.lower() in (".jsonl", ".ndjson"))
    if not prompts:
        raise AutointerpError(f"the prompts file {spec} holds no prompt", "write a prompt a line")
    return FilePrompts(name, prompts)


def pin_prompts(spec: str, local_files_only: bool = False) -> str:
    """What a new workspace stores of prompts that were given on the command line: the same ones, from any folder.

    A file's path is made absolute; of a data set the revision, split and column are written down.

    Raises:
        AutointerpError: A data set cannot be reached.
    """
    if is_name(spec) or not spec.strip():
        return spec
    path = Path(spec).expanduser()
    if spec.startswith(DATASETS) or path.suffix.lower() in TABLES:
        from autointerp.diffusion.dataset_prompts import load_dataset_prompts

        return load_dataset_prompts(spec, None, local_files_only).spec
    if not path.exists() and "/" not in spec and "." not in spec:
        return spec  # A mistyped name stays one, so that the error says so.
    return str(path.absolute())


def _parsed(text: str, spec: str, json_lines: bool) -> tuple[Prompt, ...]:
    prompts = []
    # Only real line ends: a prompt may hold any of the other characters that str.splitlines breaks at.
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        line = line.strip()
        if not line or (not json_lines and line.startswith("#")):
            continue
        where = f"{spec}, line {number}"
        prompt = _read_json_line(line, where) if json_lines else Prompt(line)
        check_prompt(prompt.text, where)
        prompts.append(prompt._replace(line=number))
    return tuple(prompts)


def check_prompt(prompt: str, where: str) -> None:
    """Raise `AutointerpError` for what is too long to be a prompt, or no text that can be stored."""
    if "\0" in prompt or any("\ud800" <= character <= "\udfff" for character in prompt):
        raise AutointerpError(
            f"{where}: a prompt with NUL or half of a surrogate pair", "remove that character, such as \\u0000"
        )
    if len(prompt) > LONGEST:
        raise AutointerpError(f"{where}: a prompt of {len(prompt)} characters", f"at most {LONGEST} are allowed")


def json_line(line: str, where: str, write: str) -> dict[str, Any]:
    """A line that holds a JSON object.

    Raises:
        AutointerpError: It does not; `where` it stands and what to `write` instead are in the error.
    """
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise AutointerpError(f"{where}: no JSON ({error})", write) from None
    if not isinstance(entry, dict):
        raise AutointerpError(f"{where}: there is no prompt", write)
    return entry


_KEYS = ("prompt", "seed", "size", "width", "height")


def _read_json_line(line: str, where: str) -> Prompt:
    write = 'write {"prompt": "..."}'
    entry = json_line(line, where, write)
    if not isinstance(entry.get("prompt"), str) or not entry["prompt"].strip():
        raise AutointerpError(f"{where}: there is no prompt", write)
    for key in entry:
        if key not in _KEYS:
            raise AutointerpError(f"{where}: unknown key {key!r}", nearest(key, _KEYS))
    seed = entry.get("seed")
    if seed is not None and (type(seed) is not int or not 0 <= seed < 2**63):
        raise AutointerpError(f"{where}: the seed is {seed!r}", "give a whole number of 0 or more")
    size, both = entry.get("size"), [entry.get("width"), entry.get("height")]
    if both != [None, None]:
        if size is not None or None in both:
            raise AutointerpError(f"{where}: the size is not clear", "give width and height, or size alone")
        size = tuple(both)
    try:
        return Prompt(entry["prompt"].strip(), seed, None if size is None else parse_size(size))
    except UsageError as error:
        raise AutointerpError(f"{where}: {error.message}", error.hint) from None


def content_hash(content: Any) -> str:
    """A short hash of JSON values."""
    return f"sha256-{hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]}"


def hash_file(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal.

    Raises:
        AutointerpError: It cannot be read.
    """
    try:
        return sha256_of(path)
    except OSError as error:
        raise AutointerpError(f"{path} cannot be read: {error.strerror}", "check its permissions") from None
