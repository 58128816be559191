"""The seam `Experiment`: units that are measured one by one, and the figures that follow from all of them.

A unit's result depends on the configuration and the unit's key alone, never on the batch or on the order. So a killed
experiment goes on with the units that are missing, and ends in the same figures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from autointerp.views.figures import Figure as Figure

if TYPE_CHECKING:
    from autointerp.crops.panel import Panel
    from autointerp.progress import Task
    from autointerp.project.context import Context


@dataclass(frozen=True)
class Unit:
    """What is measured and stored at once: a case, or a batch of pictures.

    Attributes:
        key: The unit's name within the experiment. The same configuration always gives the same keys.
        images: How many pictures it generates, which the bar counts.
        about: What the experiment needs to measure it.
        counts_itself: Whether the experiment counts its pictures on the bar, while it is measured.
    """

    key: str
    images: int = 1
    about: Mapping[str, Any] = field(default_factory=dict)
    counts_itself: bool = False


@dataclass(frozen=True)
class Cost:
    """What units will take: calls of the denoiser (a row each), pictures, and seconds on this machine if known."""

    runs: int
    images: int
    seconds: float | None = None


@dataclass(frozen=True)
class PlotLine:
    """One line, or one group of bars, of a plot.

    Attributes:
        label: Its name in the legend.
        x: Places: numbers, or names of bars.
        values: A value at each place; None leaves a gap.
        low: Lower ends of the intervals, or empty.
        high: Upper ends.
        control: Whether it is drawn dashed and grey.
    """

    label: str
    x: Sequence[float] | Sequence[str]
    values: Sequence[float | None]
    low: Sequence[float | None] = ()
    high: Sequence[float | None] = ()
    control: bool = False


@dataclass(frozen=True)
class Plot:
    """One pair of axes; an experiment's plots are drawn side by side in one picture.

    Attributes:
        title: What is drawn.
        x_label: Name of the places.
        y_label: Name of the values.
        lines: The lines, or groups of bars.
        doublings: Whether places, all above 0, are drawn a doubling apart.
    """

    title: str
    x_label: str
    y_label: str
    lines: Sequence[PlotLine]
    doublings: bool = False


@dataclass(frozen=True)
class PictureRow:
    """Pictures of the report that stand side by side, under a line."""

    line: str
    panels: Sequence[Panel]


class Experiment(Protocol):
    """An experiment, made of a workspace and options; nothing heavy is loaded before `measure`."""

    kind: str
    """A name of the registry `EXPERIMENTS`."""
    title: str
    """One line about what is asked, for the report."""

    def configuration(self) -> dict[str, Any]:
        """Return everything that decides the figures, as plain JSON: a part of the identity."""
        ...

    def units(self) -> Sequence[Unit]:
        """Return all units, in the order in which they are measured."""
        ...

    def cost(self, units: Sequence[Unit]) -> Cost:
        """Return what it takes to measure these units."""
        ...

    def measure(self, units: Sequence[Unit], bar: Task) -> Iterator[tuple[Unit, dict[str, Any]]]:
        """Measure units, and yield each with its result as soon as it is known.

        The caller stores a result before it asks for the next one, and counts its pictures on the bar, unless the unit
        counts itself. Else `bar` is for notes.
        """
        ...

    def figures(self, results: Mapping[str, Mapping[str, Any]]) -> list[Figure]:
        """Compute all figures of the results of all units, by their keys."""
        ...

    def plots(self, figures: Sequence[Figure]) -> Sequence[Plot]:
        """Return what is drawn of the figures."""
        ...

    def pictures(self, results: Mapping[str, Mapping[str, Any]]) -> Sequence[PictureRow]:
        """Generate the few pictures of the report; none where there is nothing to see."""
        ...


@runtime_checkable
class Deciding(Protocol):
    """An experiment that comes to verdicts, with which its report begins."""

    def verdicts(self, results: Mapping[str, Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        """Return rows with the keys claim, source, theirs, ours, ci_low, ci_high, verdict and reason."""
        ...


class ExperimentMaker(Protocol):
    """The class of an experiment, as the command line uses it."""

    def plan(self, ctx: Context, options: Mapping[str, Any]) -> Experiment:
        """Make the experiment of a workspace and of its row's options by name.

        Raises:
            UsageError: An option is not possible.
            AutointerpError: The workspace lacks what the experiment needs.
        """
        ...
