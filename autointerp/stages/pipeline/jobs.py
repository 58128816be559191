"""What `label` and `score` are asked to do, and what a command did."""

from __future__ import annotations

from dataclasses import dataclass, field

from autointerp.db.models import DictionaryRow
from autointerp.project.labelers import LabelerRequest
from autointerp.project.plan import Plan
from autointerp.project.targets import Target
from autointerp.stages.label.labeling import LabelRequest


@dataclass(frozen=True)
class LabelJob:
    """A whole `label` command.

    Attributes:
        target: The layer and its dictionary.
        request: The features to label, and the labeler.
        score: Whether the labels are scored too.
        apart: Whether features of nearly the same name are told apart; None where that is free, or fits `max_cost`.
    """

    target: Target
    request: LabelRequest = field(default_factory=LabelRequest)
    score: bool = True
    apart: bool | None = None


@dataclass(frozen=True)
class ScoreJob:
    """A whole `score` command.

    Attributes:
        target: The layer and its dictionary.
        methods: Names of the methods.
        request: The judge, for methods that need one.
    """

    target: Target
    methods: tuple[str, ...] = ("embedding",)
    request: LabelerRequest = field(default_factory=LabelerRequest)


@dataclass(frozen=True)
class CommandResult:
    """What a command did.

    Attributes:
        plan: The stages that it went through.
        dictionary: The dictionary that the result belongs to; None in a dry run without one.
    """

    plan: Plan
    dictionary: DictionaryRow | None
