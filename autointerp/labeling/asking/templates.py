"""Prompt files: Jinja templates of what a VLM is told, versioned by their hash.

A workspace's own folder may replace single files of the package. Such a file is tried when it is loaded, so that a
mistake in it shows before a VLM is asked. Replies of a VLM and prompts of images are values in a sandbox, and never run
as templates.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from autointerp.errors import AutointerpError, nearest

if TYPE_CHECKING:
    from jinja2 import Template
    from jinja2.sandbox import SandboxedEnvironment


ENDING = ".md.j2"
_EXAMPLES: dict[str, object] = {"count": 2, "marked": True, "context": True, "negatives": True}
"""Values other than texts, with which a file is tried."""


@dataclass(frozen=True)
class PromptFile:
    """A prompt file: its name and source."""

    name: str
    source: str

    @property
    def hash(self) -> str:
        """SHA-256 of the source in hex."""
        return hashlib.sha256(self.source.encode()).hexdigest()

    def render(self, **values: object) -> str:
        """Fill the template.

        Raises:
            AutointerpError: The template is wrong, or needs a value that is not there.
        """
        from jinja2 import TemplateError

        try:
            return _compiled(self.source).render(**values).strip()
        except TemplateError as error:
            raise AutointerpError(
                f"the prompt file {self.name} cannot be filled: {error}", "correct the file"
            ) from error


def load_prompt(name: str, folder: Path | None = None) -> PromptFile:
    """Load a prompt file by its file name, from `folder` where that has it, else from the package.

    Raises:
        AutointerpError: The file cannot be read or filled, or the folder holds a file of an unknown name.
    """
    shipped = files("autointerp").joinpath("prompts")
    original = PromptFile(name, shipped.joinpath(name).read_text(encoding="utf-8"))
    if folder is None or not folder.is_dir():
        return original
    known = sorted(path.name for path in shipped.iterdir() if path.name.endswith(ENDING))
    for path in sorted(folder.glob(f"*{ENDING}")):
        if path.name not in known:
            raise AutointerpError(f"{path} takes the place of no prompt file", nearest(path.name, known))
    own = folder / name
    if not own.exists():
        return original
    try:
        found = PromptFile(name, own.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise AutointerpError(f"cannot read the prompt file {own}", str(error)) from error
    wrong = _what_is_wrong(found, original)
    if wrong:
        raise AutointerpError(
            f"the prompt file {own} cannot be used: {wrong}", "correct it, or delete it to use the shipped one"
        )
    return found


@lru_cache(maxsize=32)
def _compiled(source: str) -> Template:
    """Compile a template; a run fills the same few thousands of times."""
    return _environment().from_string(source)


def _environment() -> SandboxedEnvironment:
    """Return the sandbox in which templates run."""
    from jinja2 import StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    return SandboxedEnvironment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def _what_is_wrong(own: PromptFile, original: PromptFile) -> str:
    """Return why a file cannot take the original's place, in one line; empty where it can."""
    from jinja2 import TemplateSyntaxError, meta

    environment = _environment()
    given = meta.find_undeclared_variables(environment.parse(original.source))
    try:
        asked = meta.find_undeclared_variables(environment.parse(own.source))
        if unknown := sorted(asked - given):
            return f"it asks for {unknown[0]!r}, which it is not given ({nearest(unknown[0], sorted(given))})"
        if not own.render(**{name: _EXAMPLES.get(name, "words") for name in given}):
            return "it is empty"
    except TemplateSyntaxError as error:
        return f"line {error.lineno}: {' '.join(str(error.message).split())}"
    except Exception as error:
        # A template can fail with any exception, as a program can.
        said = error.__cause__ if isinstance(error, AutointerpError) else error
        return " ".join(f"{type(said).__name__}: {said}".split())
    return ""


def hash_of(prompts: Sequence[PromptFile]) -> str:
    """Return one hash of several prompt files, 16 hex digits."""
    return hashlib.sha256("".join(p.hash for p in prompts).encode()).hexdigest()[:16]
