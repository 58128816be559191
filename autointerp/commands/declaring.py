"""How commands are declared: `@command()` and `@group()`, as those of click, with one silence of click's less."""

from __future__ import annotations

import functools

import click


class Command(click.Command):
    """A command that refuses an option which is given twice and can have one value.

    click takes the last value and says nothing: `label --layer mid --layer late` would label `late` alone.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See `click.Command.parse_args`."""
        if not ctx.resilient_parsing:
            _, _, order = self.make_parser(ctx).parse_args(args=list(args))
            for option in dict.fromkeys(order):
                takes_one = isinstance(option, click.Option) and not (option.multiple or option.is_flag or option.count)
                if takes_one and order.count(option) > 1:
                    raise click.UsageError(
                        f"{option.opts[-1]} is given {order.count(option)} times and takes one value; "
                        "run the command once for each",
                        ctx,
                    )
        return super().parse_args(ctx, args)


class Group(Command, click.Group):
    """A group of such commands."""

    command_class = Command


command = functools.partial(click.command, cls=Command)
group = functools.partial(click.group, cls=Group)
