"""The verdicts on published claims as a page in Markdown, with the plot beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from autointerp.errors import UsageError
from autointerp.experiments.claims.catalogue import SOURCES
from autointerp.experiments.claims.claim import LEAST, Finding
from autointerp.experiments.claims.studies import Sizes
from autointerp.files import replacing
from autointerp.views.figures import number_text
from autointerp.views.verdicts import ClaimVerdict

_HEAD = """\
# Published claims

Which published claims about features of diffusion models hold where the truth is known? This page is what the command
below wrote, on the embedded models [`shapes-turbo` and `shapes`](shapes.md), whose pictures an oracle reads. What each
experiment measures is told in [Experiments](experiments.md#claims).

```bash
{command}
```

{sizes}

Each claim was declared with its rule before anything was measured. A figure of the experiments, most often a way less
its control, must lie above a margin: 5 points, unless the reason says otherwise. A claim *holds* if the whole 95%
interval lies above it, *fails* if it lies below, and is *undecided* if the margin is inside, or nothing was measured. A
claim of several parts holds if all hold, and fails if one fails; its figure is that of the part nearest to failing.
Where a premise does not hold, such as that features change pictures at all, or a figure is of fewer than {least}
pictures, cases or features, the claim is undecided too.

{counts} A claim that fails here may be true of larger models: scenes of shapes have few concepts, and captions say all
of them. A claim that holds here held once more, with truth in place of judges.
"""


def page_of(findings: Sequence[Finding], sizes: Sizes, command: str, plot: str | None) -> str:
    """Return the page.

    Args:
        findings: The verdicts, in the order of their papers.
        sizes: How much was measured.
        command: The command that writes the page.
        plot: The file name of the plot; None without one.
    """
    measured = (
        f"{sizes.pictures} pictures behind each figure; {sizes.cases} cases of edits, of which {sizes.choosing} served "
        f"for choosing strengths alone; {sizes.turbo} steps of `shapes-turbo` and {sizes.base} of `shapes`; "
        f"dictionaries fitted on {sizes.fitted} pictures, and those of which kinds are compared on {sizes.compared}."
    )
    parts = [_HEAD.format(command=command, sizes=measured, counts=_counted(findings), least=LEAST)]
    if plot is not None:
        parts.append(f"![The figures that decide most claims, drawn]({plot})\n")
    for source in dict.fromkeys(one.claim.source for one in findings):
        own = [one for one in findings if one.claim.source == source]
        parts.append(f"## {SOURCES[source]}\n\n[arXiv {source}](https://arxiv.org/abs/{source})\n\n{_table(own)}\n")
    return "\n".join(parts)


def check_page(file: Path) -> None:
    """Refuse a file that cannot be written, before anything is measured.

    Raises:
        UsageError: It is no Markdown file, or its folder does not exist.
    """
    if file.suffix != ".md":
        raise UsageError(f"{file} is no Markdown file", "give a name that ends in .md")
    if not file.absolute().parent.is_dir():
        raise UsageError(f"there is no folder {file.parent}", "make it, or name a file in a folder that exists")


def write_page(file: Path, page: str, plot: bytes | None) -> None:
    """Write the page, and its plot beside it.

    Raises:
        UsageError: They cannot be written.
    """
    try:
        if plot is not None:
            with replacing(plot_of(file)) as partial:
                partial.write_bytes(plot)
        with replacing(file) as partial:
            partial.write_text(page, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}", "name a file in a folder that exists") from None


def plot_of(file: Path) -> Path:
    """Return where the plot of a page lies."""
    return file.with_suffix(".png")


def value_text(verdict: ClaimVerdict) -> str:
    """Return the figure of a verdict with its interval; `-` where there is none."""
    if verdict.ours is None:
        return "-"
    text = number_text(verdict.ours)
    return f"{text} ({verdict.interval})" if verdict.interval else text


def _counted(findings: Sequence[Finding]) -> str:
    counts = Counter(one.verdict.verdict for one in findings)
    return (
        f"Of {len(findings)} verdicts on {len({one.claim.key for one in findings})} claims, {counts['holds']} hold, "
        f"{counts['fails']} fail, and {counts['undecided']} are undecided."
    )


def _table(findings: Sequence[Finding]) -> str:
    rows = ["| claim | there | here | n | verdict |", "|---|---|---|---|---|"]
    for one in findings:
        cells = (
            one.verdict.claim,
            one.verdict.theirs,
            value_text(one.verdict),
            str(one.n),
            f"**{one.verdict.verdict}**",
        )
        rows.append(f"| {' | '.join(cells)} |")
    reasons = [f"- {one.verdict.claim}: {one.verdict.reason}." for one in findings]
    return "\n".join([*rows, "", "What was measured, and the rule of each part:", "", *reasons])
