"""The closing of a command that labeled: the best names, their pictures, and what to try next. Notes, not data."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from autointerp.views.labeled import best_features
from autointerp.views.sheets import write_sheet

if TYPE_CHECKING:
    from autointerp.db.models import DictionaryRow
    from autointerp.progress import Progress
    from autointerp.project.context import Context

SHEET = "features.png"
"""File of the contact sheet in the workspace."""
_BEST = 5


def close_label(ctx: Context, row: DictionaryRow, workspace: str = "") -> None:
    """Note the best names of a dictionary, write the sheet of their crops, and note the next commands.

    Args:
        ctx: The command's view of the workspace.
        row: The dictionary that was labeled.
        workspace: The option that names the workspace, as it was given; empty for the default one.
    """
    best = best_features(ctx, row, _BEST)
    if not best:
        return
    ctx.progress.note("The best names and their scores:")
    for one in best:
        figure = "-" if one.score is None else f"{one.score:.2f}"
        ctx.progress.note(f"  {row.name}:{one.feature.latent_index:<6} {one.name:32} {figure}")
    ctx.progress.note(f"Pictures: {write_sheet(ctx, row, ctx.workspace.path / SHEET)}")
    show_next(ctx.progress, row, best[0].name, f"{row.name}:{best[0].feature.latent_index}", workspace)


def show_next(
    progress: Progress, row: DictionaryRow, query: str, feature: str, workspace: str = "", program: str = "autointerp"
) -> None:
    """Note three commands that go on from a labeled dictionary.

    Args:
        progress: Where they are shown.
        row: The dictionary.
        query: A text that `search` finds something for.
        feature: A feature, `DICTIONARY:INDEX`.
        workspace: The workspace as it is given to `-w`; empty for the default one.
        program: The program as it is called from here.
    """
    here = program + (f" -w {shlex.quote(workspace)}" if workspace else "")
    progress.note("Next:")
    for command in (
        f'search "{query}"',
        f"show {feature} --crops crops",
        f"export --layer {row.layer} -o out/",
    ):
        progress.note(f"  {here} {command}")
