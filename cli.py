"""The command line's entry: it finds a command, runs it, and makes one line and an exit code of every error."""

from __future__ import annotations

import logging
import os
import sys
from importlib import import_module
from typing import Any

import click

from autointerp.commands.calls import Globals, sleep_while_waiting
from autointerp.commands.declaring import group
from autointerp.commands.options import shared_options
from autointerp.commands.streams import OutputGoneError, prepare_streams
from autointerp.errors import AutointerpError
from autointerp.texts import visible
from autointerp.version import VERSION

MODULES = {
    **dict.fromkeys(("init", "fit", "harvest", "evaluate"), "making"),
    **dict.fromkeys(("label", "score"), "labeling"),
    **dict.fromkeys(("layers", "status", "search", "show", "explain"), "looking"),
    "compare": "comparing",
    **dict.fromkeys(("import", "export"), "transferring"),
    **dict.fromkeys(("rm", "db"), "database"),
    "labels": "labels",
    **dict.fromkeys(("steer", "experiment"), "experiments"),
    "benchmark": "benchmark",
    "serve": "serving",
}
"""Each command, and the module of `autointerp.commands` that holds it."""


class LazyCommands(dict[str, click.Command]):
    """Commands by name. A command's module is imported when the command is called, or when help lists it."""

    def __init__(self) -> None:
        super().__init__(dict.fromkeys(MODULES, click.Command(None)))

    def __getitem__(self, name: str) -> click.Command:
        module = import_module(f"autointerp.commands.{MODULES[name]}")
        # `import` is a word of Python, so its function is called `import_`.
        command: click.Command = getattr(module, {"import": "import_"}.get(name, name))
        return command

    def get(self, name: str, default: Any = None) -> Any:
        """Return the command of that name, imported, or the default."""
        return self[name] if name in MODULES else default


@group(commands=LazyCommands(), context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, "--version", prog_name="autointerp", message="%(prog)s %(version)s")
@shared_options
def cli() -> None:
    """Label, score and search the features of dictionaries of diffusion models.

    \b
    autointerp label --layer mid
    autointerp search "red striped circle"
    autointerp export --layer mid -o out/

    Each command first brings about what it needs; what is up to date is not done again.
    """  # noqa: D301 (click wants the control character itself)


def main(arguments: list[str] | None = None) -> None:
    """Run a command; every error is one line on stderr and an exit code."""
    state = Globals()
    if arguments is None:
        prepare_streams()
        sleep_while_waiting()
    for noisy in ("torchao", "torch.utils._pytree"):
        # They warn of each other as soon as diffusers finds them installed.
        logging.getLogger(noisy).setLevel(logging.ERROR)
    try:
        outcome = cli.main(arguments, prog_name="autointerp", standalone_mode=False, obj=state)
        sys.stdout.flush()
        sys.exit(outcome if isinstance(outcome, int) else 0)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(2)
    except click.ClickException as error:
        where = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "autointerp"
        _fail(f"{' '.join(error.format_message().split())} (see `{where} --help`)", error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _fail("interrupted: what was finished is kept, the same command goes on", 130)
    except AutointerpError as error:
        if state.verbose:
            raise
        _fail(str(error), error.exit_code)
    except OutputGoneError as error:
        if not error.reason:
            # The reader has all that it wants, as `head` has.
            sys.exit(0)
        _fail(f"standard output cannot be written ({error.reason}); free some space, or name another file", 1)
    except UnicodeEncodeError as error:
        if state.verbose or not any("\ud800" <= c <= "\udfff" for c in error.object[error.start : error.end]):
            raise
        _fail(f"a name is no text of UTF-8: {ascii(error.object)[:200]}; rename the file, or name another one", 2)
    except OSError as error:
        import errno

        full = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        rights = (errno.EACCES, errno.EPERM, errno.EROFS)
        # Errors of a connection name no file.
        if state.verbose or (error.filename is None and error.errno not in (*full, *rights)):
            raise
        other = "check its permissions" if error.errno in rights else "check its path, or name another file"
        next_step = "free some space" if error.errno in full else other
        named = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else "the disk"
        _fail(f"{error.strerror}: {named}; {next_step}, then run it again", 1)


def _fail(text: str, code: int) -> None:
    click.echo(visible(f"error: {text}" if code != 130 else text), err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
