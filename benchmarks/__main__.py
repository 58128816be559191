"""`make bench`: every benchmark, or the named ones, as one table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

import click

from benchmarks import capture, collector, harvest, pursuit, startup
from benchmarks.pairs import Row

BENCHMARKS = {
    "startup": startup.run,
    "collector": collector.run,
    "capture": capture.run,
    "harvest": harvest.run,
    "pursuit": pursuit.run,
}


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(BENCHMARKS)))
@click.option("--quick", is_flag=True, help="Sizes so small that only failures mean anything.")
@click.option("--pairs", type=click.IntRange(min=1), metavar="N", help="Pairs of each.  [default: 15, 6, 30, 6 and 6]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(names: tuple[str, ...], quick: bool, pairs: int | None, as_json: bool) -> None:
    """Time things side by side: all benchmarks, or those that are named."""
    rows: list[Row] = []
    for name in names or BENCHMARKS:
        click.echo(f"{name} ...", err=True)
        rows += BENCHMARKS[name](quick, pairs)
    click.echo(json.dumps([asdict(row) for row in rows], indent=2) if as_json else table(rows))


def table(rows: Sequence[Row]) -> str:
    """A Markdown table, ready for docs/performance.md."""
    lines = ["| benchmark | what | ours | other | ratio | interval | pairs |", "|---|---|---|---|---|---|---|"]
    for r in rows:
        span = f"{r.low:.2f} to {r.high:.2f} ({r.coverage:.0%})"
        lines.append(
            f"| {r.benchmark} | {r.figure} | {r.ours:.3g} {r.unit} | {r.other:.3g} {r.unit} "
            f"| {r.ratio:.2f} | {span} | {r.pairs} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
