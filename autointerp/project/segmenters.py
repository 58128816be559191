"""What finds phrases in pictures: what knows the model's world, else the models that the settings name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from autointerp.labeling.segments.grounded import GroundedSegments, GroundingOptions
from autointerp.labeling.segments.scenes import GroundedSceneReader
from autointerp.project.context import Context

if TYPE_CHECKING:
    from autointerp.worlds import SceneReader, Segmenter


def segmenter_of(ctx: Context) -> Segmenter:
    """Return what finds phrases in pictures.

    Models are loaded at once, so that one that is missing is known before anything is generated.

    Raises:
        AutointerpError: A model cannot be loaded.
    """
    if ctx.world.segments is not None:
        return ctx.world.segments.load()()
    found = grounded_segments(ctx)
    ctx.progress.note(f"loading {found.name}")
    found.load()
    return found


def grounded_segments(ctx: Context) -> GroundedSegments:
    """Return the detector and the segmenter of the settings, neither loaded yet. Folders may lie in the workspace."""
    wanted = ctx.settings.grounding
    names = []
    for name in (wanted.detector, wanted.segmenter):
        lies = ctx.workspace.resolve(name)
        names.append(str(lies) if lies.is_dir() else name)
    options = GroundingOptions(names[0], names[1], wanted.confidence)
    return GroundedSegments(options, ctx.here, ctx.settings.loading.local_files_only)


def scene_reader_of(ctx: Context, phrases: Sequence[str], grid: tuple[int, int]) -> SceneReader:
    """Return what reads pictures as scenes: what knows the model's world, else detector and segmenter.

    Args:
        ctx: The workspace.
        phrases: What is looked for where the world is not known.
        grid: Rows and columns of the masks there; a known world has its own.

    Raises:
        UsageError: There is nothing to look for.
        AutointerpError: A model cannot be loaded.
    """
    return scene_readers_of(ctx, grid)(phrases)


def scene_readers_of(ctx: Context, grid: tuple[int, int]) -> Callable[[Sequence[str]], SceneReader]:
    """Return a function that gives the reader of some phrases; all readers share one detector and one segmenter.

    Arguments and errors are those of `scene_reader_of`.
    """
    if ctx.world.scenes is not None:
        known = ctx.world.scenes.load()()
        return lambda _phrases: known
    segments = grounded_segments(ctx)

    def reader(phrases: Sequence[str]) -> SceneReader:
        found = GroundedSceneReader(segments, phrases, grid)
        if not segments.loaded:
            ctx.progress.note(f"loading {segments.name}")
            segments.load()
        return found

    return reader
