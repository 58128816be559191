"""One call of the command line: its workspace, where it reports to, and what it says."""

from __future__ import annotations

import functools
import gc
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autointerp.commands.streams import takes_unicode
from autointerp.texts import to_json, visible

if TYPE_CHECKING:
    from autointerp.progress import Progress
    from autointerp.project.context import Context
    from autointerp.project.plan import Plan
    from autointerp.project.settings import Settings

DEFAULT_WORKSPACE = "autointerp-workspace"


class Globals:
    """The options that may stand before or after the command."""

    def __init__(self) -> None:
        self.workspace: str | None = None
        self.quiet = False
        self.verbose = False


def sleep_while_waiting() -> None:
    """Let OpenMP's threads sleep while they wait for each other, unless the environment says otherwise.

    They would spin. On two cores beside other work, a load of about 4, shapes-turbo then painted 1.2 images a second,
    and 7.5 with threads that sleep. PyTorch reads this when it is imported.
    """
    import os

    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def progress_of_call() -> Progress:
    """Return the progress to which this call's long work reports."""
    from autointerp.progress import default_progress

    return default_progress(click.get_current_context().ensure_object(Globals).quiet)


def workspace_path() -> Path:
    """Return the workspace folder of this call: from `-w`, from the environment, or the default."""
    import os

    given = click.get_current_context().ensure_object(Globals).workspace
    return Path(given or os.environ.get("AUTOINTERP_WORKSPACE") or DEFAULT_WORKSPACE)


def named_workspace() -> str:
    """Return the workspace as `-w` named it in this call; empty where it did not."""
    return click.get_current_context().ensure_object(Globals).workspace or ""


def short_lived(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turn garbage collection off during a command whose time is spent on imports.

    The millions of objects that imports make are no garbage, and looking through them took a tenth of the time.
    """

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        collecting = gc.isenabled()
        gc.disable()
        try:
            return command(*args, **kwargs)
        finally:
            if collecting:
                gc.enable()

    return wrapped


def open_context(
    create: bool = False,
    dry_run: bool = False,
    settings: Settings | None = None,
    layers: Sequence[str] = (),
    check: Callable[[Context], object] | None = None,
    **overrides: Any,
) -> Context:
    """Return the context of this call.

    Args:
        create: Make a workspace where there is none.
        dry_run: Write nothing.
        settings: Settings of a workspace that is made here.
        layers: Layers that the call names. A workspace is made only if its model has them, so that a mistake leaves
            nothing behind.
        check: Raises where the call cannot be carried out; called before a workspace is made.
        **overrides: Settings that beat those of the workspace.
    """
    from autointerp.project.context import Context
    from autointerp.project.following import FollowedProgress
    from autointerp.project.settings import Settings
    from autointerp.project.workspace import WorkspaceFolder, has_settings

    path, progress = workspace_path(), progress_of_call()
    if create and not dry_run and not has_settings(path):
        planned = Context(WorkspaceFolder(path, settings or Settings()), **overrides)
        for layer in layers:
            planned.layer(layer)
        if check is not None:
            check(planned)
        progress.note(f"making the workspace {path}")
    workspace = WorkspaceFolder.open(path, create=create, dry_run=dry_run, settings=settings)
    return Context(workspace, FollowedProgress(progress, workspace), **overrides)


def note(text: str) -> None:
    """Print one line to stderr, unless `-q` was given."""
    if not click.get_current_context().ensure_object(Globals).quiet:
        click.echo(visible(text), err=True)


def print_json(value: Any) -> None:
    """Print a value as JSON on stdout: UTF-8, or pure ASCII where stdout is of another encoding."""
    click.echo(to_json(value, indent=2) if takes_unicode() else json.dumps(value, indent=2))


def report(plan: Plan, dry_run: bool) -> None:
    """Print the plan of a dry run, or note that there was nothing to do."""
    if dry_run:
        click.echo(plan.text)
    elif plan.steps and plan.nothing_to_do:
        note("nothing to do: everything is up to date")


def print_counts(ctx: Context, name: str) -> None:
    """Print how far a dictionary is, in one line."""
    from autointerp.views.status import read_status

    row = read_status(ctx).dictionary(name)
    parts = [f"{row.live} live features", f"{row.crops} crops of {row.images} images"]
    if row.labels or row.uninterpretable:
        parts.append(f"{row.labels} labeled, {row.uninterpretable} uninterpretable, {row.failed} failed")
    click.echo(f"{name}: " + ", ".join(parts))
