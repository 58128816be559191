"""The command that serves the browser view."""

from __future__ import annotations

import click

from autointerp.commands.calls import note, open_context
from autointerp.commands.declaring import command
from autointerp.commands.options import shared_options
from autointerp.web.links import DEFAULT_HOST, DEFAULT_PORT


@command()
@click.option("--host", default=DEFAULT_HOST, show_default=True, metavar="H", help="Another address needs a token.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=DEFAULT_PORT,
    show_default=True,
    metavar="N",
    help="0 takes a free one.",
)
@click.option("--read-only", is_flag=True, help="Pages change nothing.")
@shared_options
def serve(host: str, port: int, read_only: bool) -> None:
    """Look at the workspace in a browser: search, doubt and correct its features.

    The address is printed; Ctrl-C ends it. Other machines reach it by --host alone, with the token in the address.
    """
    from autointerp.web.serving import ServeRequest, serve as serve_site

    def say(address: str) -> None:
        click.echo(address)
        note("open this address in a browser; Ctrl-C ends the view")

    serve_site(open_context(), ServeRequest(host, port, read_only), say)
    note("the view is closed")
