"""What the commands of trainers end with: the training itself, and its weights in the folder of all weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from autointerp.progress import default_progress

if TYPE_CHECKING:
    from training.shapes.loop import Training


def finish(context: click.Context, trainer: Training, subfolder: str) -> None:
    """Train to the end, and write the weights to a subfolder of the weights' folder."""
    from training.shapes.loop import train

    runs, weights = context.obj
    train(trainer, runs, default_progress())
    trainer.save(weights / subfolder)
    click.echo(f"wrote {weights / subfolder}", err=True)
