"""Prompt files: what a VLM is told, as Jinja templates that are versioned by their hash.

A folder of the caller's own may override single files of the shipped ones. Nothing a VLM once said, and no text of a
prompt, is ever run as a template: they are values only, in a sandbox.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from autointerp.errors import AutointerpError


@dataclass(frozen=True)
class PromptFile:
    """A prompt file's name, source, and hash."""

    name: str
    source: str

    @property
    def hash(self) -> str:
        """SHA-256 of the source, in hex."""
        return hashlib.sha256(self.source.encode()).hexdigest()

    def render(self, **values: object) -> str:
        """Fill the template.

        Raises:
            AutointerpError: the template is wrong or asks for a value that it is not given.
        """
        from jinja2 import StrictUndefined, TemplateError
        from jinja2.sandbox import SandboxedEnvironment

        environment = SandboxedEnvironment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
        try:
            return environment.from_string(self.source).render(**values).strip()
        except TemplateError as error:
            raise AutointerpError(
                f"the prompt file {self.name} cannot be filled: {error}", "correct the file"
            ) from error


def load_prompt(name: str, folder: Path | None = None) -> PromptFile:
    """Load a prompt file by its file name, from `folder` where it is there, else from the package.

    Raises:
        AutointerpError: the file cannot be read.
    """
    own = folder / name if folder else None
    try:
        if own and own.exists():
            return PromptFile(name, own.read_text(encoding="utf-8"))
        return PromptFile(name, files("autointerp").joinpath("prompts", name).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise AutointerpError(f"cannot read the prompt file {own or name}", str(error)) from error


def hash_of(prompts: Sequence[PromptFile]) -> str:
    """One hash, 16 hex digits, over several prompt files."""
    return hashlib.sha256("".join(p.hash for p in prompts).encode()).hexdigest()[:16]
