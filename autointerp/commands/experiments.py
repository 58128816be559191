"""Commands that change what a model does, and experiments on what its features cause."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autointerp.commands.calls import open_context, print_json
from autointerp.commands.claims import claims
from autointerp.commands.declaring import command, group
from autointerp.commands.experiment_options import declared, finish, outcome_options
from autointerp.commands.options import PATH, SEED, combined, machine_options, shared_options
from autointerp.experiments.kinds import EXPERIMENTS

if TYPE_CHECKING:
    from autointerp.experiments.kinds import ExperimentKind


class Strength(click.ParamType):  # type: ignore[type-arg]  # generic in new versions of click alone
    """A number, or the word `auto`."""

    name = "strength"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        """Return the number, or the word."""
        if value == "auto":
            return "auto"
        try:
            return float(value)
        except ValueError:
            self.fail(f"{value!r} is neither a number nor auto", param, ctx)


@command()
@click.argument("feature")
@click.option("--prompt", "prompts", multiple=True, metavar="TEXT", help="A row of pictures; repeatable.")
@click.option("--icon", is_flag=True, help="A row of the feature alone, on an empty prompt.")
@click.option(
    "--strength",
    "strengths",
    type=Strength(),
    multiple=True,
    metavar="X",
    help="How many of its mean activations are added; below 0 suppresses; auto: the least that brings it into the "
    "finished pictures; repeatable.  [default: 4]",
)
@click.option("--ablate", is_flag=True, help="Also a picture without the feature.")
@click.option(
    "--with", "others", multiple=True, metavar="FEATURE=X", help="A further feature, in all pictures; repeatable."
)
@click.option(
    "--like", multiple=True, metavar="TEXT", help="Also a picture with the cells of this prompt's; repeatable."
)
@click.option("--steps", metavar="A:B", help="Denoising steps, 0-based, B exclusive.  [default: all]")
@click.option("--box", metavar="R0,C0,R1,C1", help="Cells of the layer's grid, ends exclusive.  [default: all]")
@click.option("--mask", type=PATH, metavar="FILE", help="Cells as a picture: those that are white in it.")
@click.option("--seed", type=SEED, metavar="S", help="Seed of the pictures.  [default: the workspace's]")
@click.option("-o", "--out", required=True, type=PATH, metavar="FILE", help="The PNG to write.")
@machine_options
@shared_options
def steer(
    feature: str,
    prompts: tuple[str, ...],
    icon: bool,
    strengths: tuple[float | str, ...],
    ablate: bool,
    others: tuple[str, ...],
    like: tuple[str, ...],
    steps: str | None,
    box: str | None,
    mask: Path | None,
    seed: int | None,
    out: Path,
    device: str | None,
    dtype: str | None,
) -> None:
    """Change a feature (DICTIONARY:INDEX) while pictures are generated: before and after, side by side."""
    from autointerp.crops.png import PngFile
    from autointerp.experiments.regions import EditRegion
    from autointerp.experiments.steer import SteerRequest, steer_feature
    from autointerp.experiments.steering import parse_with

    ctx = open_context(device=device, dtype=dtype)
    file = PngFile(out)
    request = SteerRequest(
        prompts=(*prompts, *([""] if icon else [])),
        strengths=tuple(x for x in strengths if not isinstance(x, str)),
        ablate=ablate,
        region=EditRegion.parse(steps, box, ctx.generation.steps, mask),
        seed=seed,
        auto="auto" in strengths,
        others=tuple(parse_with(text) for text in others),
        like=like,
    )
    picture = steer_feature(ctx, feature, request)
    click.echo(file.write(picture))


@group()
@shared_options
def experiment() -> None:
    """Experiments on what features cause, each with its controls; a table, a plot and a report."""


def _command_of(kind: ExperimentKind) -> click.Command:
    """Make the command of an experiment from its row."""

    @command(kind.name, help=f"{kind.help}.")
    @combined(*map(declared, kind.options), outcome_options)
    @shared_options
    def run(
        out: Path | None, dry_run: bool, as_json: bool, device: str | None, dtype: str | None, **options: Any
    ) -> None:
        done = finish(kind, options, out, dry_run, device=device, dtype=dtype)
        if done is None:
            return
        if as_json:
            from autointerp.experiments.report import summary

            print_json({**summary(done.ctx, done.experiment, done.outcome), **done.paths})
            return
        from autointerp.commands.printing.experiments import print_figures

        print_figures(done.outcome.figures)
        done.ctx.progress.note(f"report: {done.files.page}")

    return run


for _kind in EXPERIMENTS.values():
    experiment.add_command(claims if _kind.name == claims.name else _command_of(_kind))
