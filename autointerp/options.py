"""What commands of the command line share: options, types of values, the workspace of a call, what is printed."""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autointerp.diffusion.sizes import Size, parse_size
from autointerp.errors import UsageError
from autointerp.texts import to_json, visible

if TYPE_CHECKING:
    from autointerp.progress import Progress
    from autointerp.settings import Settings
    from autointerp.stages.context import Context
    from autointerp.stages.plan import Plan

DEFAULT_WORKSPACE = "autointerp-workspace"


class Globals:
    """Options that may stand before or after the command."""

    def __init__(self) -> None:
        self.workspace: str | None = None
        self.quiet = False
        self.verbose = False


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


class PictureSize(click.ParamType):
    """Pixels of a square, or WIDTHxHEIGHT."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Size:
        """The size, or a usage error."""
        try:
            return parse_size(value)
        except UsageError as error:
            self.fail(str(error), param, ctx)


class Span(click.ParamType):
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
    click.option("--device", metavar="D", help="auto, cpu, cuda, cuda:N or mps."),
    click.option("--dtype", metavar="T", help="auto, float32, bfloat16 or float16."),
)
said_by_option = click.option(
    "--labeler",
    metavar="NAME",
    help="Only what this labeler said: KIND or KIND@MODEL.  [default: the label that counts]",
)
labeler_options = combined(
    click.option(
        "--labeler",
        metavar="KIND",
        help="shapes-vlm, local-vlm, vlm, clip, prompts; human with --name.  [default: what fits]",
    ),
    click.option("--vlm", metavar="MODEL", help="Model that vlm asks for, or folder or Hub name for local-vlm."),
    click.option("--base-url", metavar="URL", help="OpenAI-compatible server to ask."),
    click.option("--api-key-env", metavar="NAME", help="Variable that holds the key.  [default: OPENAI_API_KEY]"),
    click.option("-j", "--jobs", type=COUNT, default=4, show_default=True, help="Requests at a time."),
    click.option("--max-cost", type=click.FloatRange(min=0, min_open=True), metavar="USD", help="Stop before this."),
    click.option("--max-calls", type=COUNT, metavar="N", help="Stop after this many calls."),
    click.option("--batch", is_flag=True, help="Ask by OpenAI's Batch API: half the price, within a day."),
)


def progress_of_call() -> Progress:
    """Where this call's long work reports to."""
    from autointerp.progress import default_progress

    return default_progress(click.get_current_context().ensure_object(Globals).quiet)


def workspace_path() -> Path:
    """The workspace folder of this call: of `-w`, of the environment, or the usual one."""
    import os

    given = click.get_current_context().ensure_object(Globals).workspace
    return Path(given or os.environ.get("AUTOINTERP_WORKSPACE") or DEFAULT_WORKSPACE)


def short_lived(command: Callable[..., Any]) -> Callable[..., Any]:
    """A command that mostly imports: the millions of objects that this makes stay, so garbage is not looked for.

    That was a tenth of its time; it ends before garbage could count.
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
    create: bool = False, dry_run: bool = False, settings: Settings | None = None, **overrides: Any
) -> Context:
    """The workspace of this call with its settings, the given ones over them; `settings` are those of one it makes."""
    from autointerp.stages.context import Context
    from autointerp.workspace import Workspace

    workspace = Workspace.open(workspace_path(), create=create, dry_run=dry_run, settings=settings)
    return Context(workspace, progress_of_call(), **overrides)


def note(text: str) -> None:
    """One line to the person who waits, unless they want none."""
    if not click.get_current_context().ensure_object(Globals).quiet:
        click.echo(visible(text), err=True)


def print_json(value: Any) -> None:
    """JSON on stdout."""
    click.echo(to_json(value, indent=2))


def report(plan: Plan, dry_run: bool) -> None:
    """The plan on stdout of a dry run; a note that nothing was to do."""
    if dry_run:
        click.echo(plan.text)
    elif plan.steps and plan.nothing_to_do:
        note("nothing to do: everything is up to date")
