"""A new workspace: its settings are pinned to what they mean now, and checked before anything is written."""

from __future__ import annotations

from pathlib import Path

from autointerp.diffusion.names import plain_name
from autointerp.diffusion.sources.prompts import AUTO, pin_prompts
from autointerp.errors import UsageError
from autointerp.files import expanded
from autointerp.progress import Progress
from autointerp.project.context import Context
from autointerp.project.settings import Settings
from autointerp.project.workspace import WorkspaceFolder
from autointerp.worlds import world_of


def make_workspace(path: Path, settings: Settings, progress: Progress | None = None) -> Path:
    """Make a workspace, after checking that its model and its prompts or pictures can be used.

    Args:
        path: The workspace's folder.
        settings: Its settings.
        progress: Is told what was found: how many prompts or pictures, and what was left out.

    Returns:
        The workspace's folder.

    Raises:
        AutointerpError: The settings cannot be used, or there is a workspace already.
    """
    settings = pinned(settings)
    Context(WorkspaceFolder(path, settings), progress).check()
    WorkspaceFolder.create(path, settings)
    return path


def pinned(settings: Settings) -> Settings:
    """Return settings whose paths are absolute, and whose data set has the revision that it has now.

    Paths that a person gives start at the folder of the command; those in a settings file start at the workspace.

    Raises:
        UsageError: There are prompts and pictures, or one of them is not there.
    """
    if settings.prompts != AUTO and settings.images_dir is not None:
        raise UsageError("prompts and pictures exclude each other", "leave one of --prompts and --images-dir out")
    if settings.prompts != AUTO:
        settings = settings.changed(prompts=pin_prompts(settings.prompts, settings.loading.local_files_only))
    if settings.images_dir is not None:
        settings = settings.changed(images_dir=str(expanded(settings.images_dir).absolute()))
    if world_of(settings.model).is_open:
        model, revision = plain_name(settings.model, settings.revision)
        settings = settings.changed(model=_absolute(model), revision=revision)
    return settings.changed(loading=settings.loading.placed(_absolute))


def _absolute(name: str) -> str:
    """Return the whole path of a file or folder on this machine; a hub id stays as it is."""
    path = expanded(name)
    return str(path.absolute()) if path.exists() else name
