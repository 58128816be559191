"""Options that several commands share, and the types of their values."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autointerp.commands.calls import DEFAULT_WORKSPACE, Globals, note
from autointerp.errors import UsageError
from autointerp.files import expanded
from autointerp.labeling.labelers import AUTOMATIC
from autointerp.sizes import Size, parse_size

if TYPE_CHECKING:
    from autointerp.db.queries.scores import ScoreFloor
    from autointerp.project.context import Context


def shared_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`-w`, `-q` and `-v`, before or after the command; what stands nearer to the end wins."""

    @click.option("-w", "--workspace", metavar="DIR", help=f"Workspace folder.  [default: {DEFAULT_WORKSPACE}]")
    @click.option("-q", "--quiet", is_flag=True, help="No notes and no progress.")
    @click.option("-v", "--verbose", is_flag=True, help="A traceback with an error.")
    @click.pass_context
    @functools.wraps(command)
    def wrapped(
        context: click.Context, *args: Any, workspace: str | None, quiet: bool, verbose: bool, **kwargs: Any
    ) -> Any:
        given = context.ensure_object(Globals)
        given.workspace = workspace or given.workspace
        given.quiet, given.verbose = given.quiet or quiet, given.verbose or verbose
        return command(*args, **kwargs)

    return wrapped


def combined(*options: Callable[..., Any]) -> Callable[..., Any]:
    """Several options as one decorator, in the order in which help lists them."""

    def apply(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return apply


class PictureSize(click.ParamType):  # type: ignore[type-arg]  # generic in new versions of click alone
    """Pixels of a square, or WIDTHxHEIGHT."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Size:
        """The size, or a usage error."""
        try:
            return parse_size(value)
        except UsageError as error:
            self.fail(str(error), param, ctx)


class Span(click.ParamType):  # type: ignore[type-arg]
    """Two numbers, A:B, either of which may be left out."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, float]:
        """Both ends, or a usage error."""
        low, colon, high = str(value).partition(":")
        try:
            span = (float(low or 0), float(high or 1))
        except ValueError:
            span = (1.0, 0.0)
        if not colon or not 0 <= span[0] <= span[1] <= 1:
            self.fail(f"{value!r} is no span of shares: write A:B, from 0 to 1, e.g. 0.001:0.1", param, ctx)
        return span


class Floor(click.ParamType):  # type: ignore[type-arg]
    """The least score of a label: METHOD=X, or X alone for detection, else embedding."""

    name = "floor"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> ScoreFloor:
        """The floor, or a usage error."""
        from autointerp.views.score_floor import parse_floor

        try:
            return parse_floor(str(value))
        except UsageError as error:
            self.fail(str(error), param, ctx)


def note_floor(floor: ScoreFloor | None, ctx: Context) -> None:
    """Say which score a floor without a method is held against, and if no label of the workspace has one."""
    if floor is None or floor.method:
        return
    from autointerp.views.score_floor import FLOORED, held_against

    held = held_against(ctx)
    named = f"name another score as in --min-score gain={floor}"
    if held:
        note(f"--min-score {floor} is of {', else '.join(held)}; {named}")
    else:
        note(f"--min-score {floor} is of {', else '.join(FLOORED)}, which no label here has; {named}")


class UserPath(click.ParamType):  # type: ignore[type-arg]
    """A path; `~` is the user's folder also where the shell does not say so, as in `--out=~/sheet.png`."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path, or a usage error."""
        try:
            return expanded(value)
        except UsageError as error:
            self.fail(str(error), param, ctx)


PATH = UserPath()
COUNT = click.IntRange(min=1)
SEED = click.IntRange(min=0, max=2**32 - 1)
layer_option = click.option("--layer", required=True, metavar="L", help="Layer: early, mid, late, or a hookpoint.")
layers_option = click.option(
    "--layer", "layers", required=True, multiple=True, metavar="L", help="early, mid, late, or a hookpoint; repeatable."
)
dictionary_option = click.option("--dictionary", metavar="X", help="Dictionary by name.  [default: the layer's newest]")
dictionaries_option = click.option(
    "--dictionary", "dictionaries", multiple=True, metavar="X", help="By name; repeatable.  [default: a layer's newest]"
)
revision_option = click.option("--revision", metavar="R", help="Branch, tag or commit of a hub id.")
stream_option = click.option("--stream", metavar="S", help="image or text tokens.  [default: image]")
dry_run_option = click.option("--dry-run", is_flag=True, help="Only print what would be done.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON with stable keys.")
machine_options = combined(
    click.option("--device", metavar="D", help="auto, cpu, cuda, cuda:N, mps, xpu, ..."),
    click.option("--dtype", metavar="T", help="auto, float32, bfloat16 or float16."),
)
said_by_option = click.option(
    "--labeler",
    metavar="NAME",
    help="Only what this labeler said: KIND or KIND@MODEL.  [default: the label that counts]",
)
min_score_option = click.option(
    "--min-score",
    type=Floor(),
    metavar="METHOD=X",
    help="Only labels with at least this score; X alone is detection, else embedding.",
)
labeler_options = combined(
    click.option(
        "--labeler",
        metavar="KIND",
        help=f"{', '.join(AUTOMATIC)}; human with --name.  [default: what fits]",
    ),
    click.option("--vlm", metavar="MODEL", help="Model that vlm asks for, or folder or Hub name for local-vlm."),
    click.option("--base-url", metavar="URL", help="OpenAI-compatible server to ask."),
    click.option("--api-key-env", metavar="NAME", help="Variable that holds the key.  [default: OPENAI_API_KEY]"),
    click.option("-j", "--jobs", type=COUNT, default=4, show_default=True, help="Requests at a time."),
    click.option("--max-tokens", type=COUNT, metavar="N", help="Longest answer; thoughts count."),
    click.option("--timeout", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="Wait for each answer."),
    click.option("--max-cost", type=click.FloatRange(min=0, min_open=True), metavar="USD", help="Stop before this."),
    click.option("--max-calls", type=COUNT, metavar="N", help="Stop after this many calls."),
    click.option("--batch", is_flag=True, help="Ask by OpenAI's Batch API: half the price, within a day."),
)
