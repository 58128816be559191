"""Prompts of a file, or of a set that is shipped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from autointerp.diffusion.jobs import ImageJob
from autointerp.diffusion.sources.documents import parse_document
from autointerp.diffusion.sources.hashes import content_hash
from autointerp.diffusion.sources.prompt import Prompt, held_out_jobs, job_of
from autointerp.diffusion.sources.protocol import Found, counted
from autointerp.errors import AutointerpError
from autointerp.sizes import Size
from autointerp.text_files import read_text


@dataclass(frozen=True)
class FilePrompts:
    """A `PromptSource` of a file or of a shipped set (see `job_of`).

    Attributes:
        spec: The file or the set, as the user names it.
        prompts: The prompts, in order.
        notes: What was left out of the file.
        kept: Prompts of held-out images alone; none of a file, whose held-out images are of its last prompts.
    """

    spec: str
    prompts: tuple[Prompt, ...]
    notes: tuple[str, ...] = ()
    kept: tuple[Prompt, ...] = ()
    count = None

    @cached_property
    def identity(self) -> str:
        """A hash of prompts, seeds and sizes."""
        return content_hash([prompt[:2] if prompt.size is None else prompt[:3] for prompt in self.prompts])

    @cached_property
    def sizes(self) -> Mapping[Size, str]:
        """The prompts' own sizes; see `PromptSource`."""
        found: dict[Size, str] = {}
        for prompt in self.prompts:
            if prompt.size is not None:
                found.setdefault(prompt.size, f"{self.spec}, {prompt.place}")
        return found

    def found(self) -> Found:
        """Count the prompts, and those that repeat an earlier one; see `PromptSource`."""
        repeated = len(self.prompts) - len({prompt[:3] for prompt in self.prompts})
        again = f", {repeated} repeated" if repeated else ""
        return Found(counted(len(self.prompts), "prompt") + again, self.notes, [prompt.text for prompt in self.prompts])

    def jobs(self, start: int, stop: int, seed: int) -> list[ImageJob]:
        """Return images of the prompts; see `PromptSource`."""
        return [job_of(self.prompts, n, seed) for n in range(start, stop)]

    def held_out(self, count: int, seed: int, used: int = 0) -> list[ImageJob]:
        """Return images of prompts that were kept for this, else of those beyond the first `used`, else of any.

        Seeds differ in every case.
        """
        seen = {prompt.text for prompt in self.prompts[:used]}
        tail = [prompt for prompt in self.prompts[used:] if prompt.text not in seen]
        return held_out_jobs(self.kept or tail or self.prompts, count, seed)


def read_prompts_file(spec: str, path: Path) -> FilePrompts:
    """Read a file of prompts.

    Args:
        spec: The file, as the user names it.
        path: Its path.

    Raises:
        FileNotFoundError: There is no such file.
        AutointerpError: The file is no text, is empty, has a bad line (the message names it), or is of a form without
            prompts.
    """
    if path.is_dir():
        raise AutointerpError(f"the prompts file {spec} is a folder", "name a file in it; for pictures set images_dir")
    try:
        text = read_text(path, f"the prompts file {spec}")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise AutointerpError(
            f"the prompts file {spec} cannot be read: {error.strerror}", "check its path and permissions"
        ) from None
    read = parse_document(text, spec, path.suffix.lower())
    if not read.prompts:
        raise AutointerpError(f"the prompts file {spec} holds no prompt", "write a prompt a line")
    return FilePrompts(spec, *read)
