"""Labels that are given: by a person, or by another tool, in a file or on the command line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from autointerp.errors import UsageError
from autointerp.labeling.labelers.without_vlm import WithoutVlm
from autointerp.labeling.protocol import FeatureEvidence, LabelResult, LayerContext
from autointerp.texts import EXPLANATION, NAME, clean

if TYPE_CHECKING:
    from autointerp.labeling.setup import LabelerSetup

COLUMNS = ("feature", "name", "explanation", "confidence", "labeler")
"""Columns of this project's label files; the first two are required."""


@dataclass(frozen=True)
class GivenLabel:
    """One label as a file holds it.

    Attributes:
        place: Where the label stands in the file.
        feature: `DICTIONARY:INDEX`, or the index alone.
        name: What the feature is called.
        explanation: What it fires on, in a sentence.
        confidence: From 0 to 1; None where the file does not say.
        labeler: Name of the labeler; empty where the file does not say.
        layer: The layer that another tool's file names.
    """

    place: str
    feature: str
    name: str
    explanation: str = ""
    confidence: float | None = None
    labeler: str = ""
    layer: str = ""


@dataclass(frozen=True)
class RefusedLabel:
    """A label of a file that is not taken: where it stands, and why."""

    place: str
    reason: str


def named_by_hand() -> UsageError:
    """Return the error of a command that is to name features by the labeler `human`."""
    given = "give --feature DICTIONARY:INDEX and --name TEXT, or a file to `autointerp labels import`"
    return UsageError("the labeler human is you", given)


class GivenLabeler(WithoutVlm):
    """A labeler whose labels are given: a person (`human`), or another tool by its name."""

    def __init__(
        self,
        labels: Mapping[str, GivenLabel],
        kind: str = "human",
        model: str = "",
        config: dict[str, Any] | None = None,
    ) -> None:
        """Keep the labels.

        Args:
            labels: The labels by the feature's name, `DICTIONARY:INDEX`.
            kind: `human`, or the name of the tool.
            model: The person's name, or the tool's model.
            config: What else identifies the labeler.
        """
        self.labels, self.kind, self.model, self.config = labels, kind, model, config or {}

    @classmethod
    def make_labeler(cls, setup: LabelerSetup) -> GivenLabeler:
        """Refuse: a command cannot name features in the place of a person.

        Raises:
            UsageError: Always.
        """
        del setup
        raise named_by_hand()

    def prepare(self, context: LayerContext) -> None:
        """Do nothing: the labels are given."""
        del context

    def label(self, features: Iterable[FeatureEvidence]) -> Iterator[LabelResult]:
        """Return the given label of each feature; a feature without one has failed."""
        for feature in features:
            given = self.labels.get(feature.feature)
            if given is None:
                yield LabelResult(feature.feature_id, "failed", error="nobody has named it")
                continue
            # A person who gives no confidence is taken to be sure. The confidence of a tool is not known.
            sure = given.confidence if given.confidence is not None else float(self.kind == "human")
            yield LabelResult(feature.feature_id, "ok", given.name, given.explanation, sure)


def checked(place: str, values: Mapping[str, Any]) -> GivenLabel | RefusedLabel:
    """Return the label with these values of `COLUMNS`, or why they are refused."""
    feature, confidence = values.get("feature"), values.get("confidence")
    if isinstance(feature, int) and not isinstance(feature, bool):
        feature = str(feature)
    said: dict[str, str] = {}
    for key, value in {
        **{key: values.get(key) for key in ("name", "explanation", "labeler")},
        "feature": feature,
    }.items():
        if value is not None and not isinstance(value, str):
            return RefusedLabel(place, f"its {key} is no text")
        # Cut a text only beyond every limit: a person's words are taken whole or refused.
        said[key] = clean(value or "", 10 * EXPLANATION)
    for key, most in (("name", NAME), ("explanation", EXPLANATION)):
        if len(said[key]) > most:
            return RefusedLabel(place, f"its {key} is longer than {most} characters")
    for key in ("feature", "name"):
        if not said[key]:
            return RefusedLabel(place, f"it has no {key}")
    try:
        sure = None if confidence is None or isinstance(confidence, bool) else float(confidence)
    except (TypeError, ValueError, OverflowError):
        sure = -1.0
    if isinstance(confidence, bool) or (sure is not None and not 0 <= sure <= 1):
        return RefusedLabel(place, f"its confidence is {clean(str(confidence), 40)}, not a number from 0 to 1")
    return GivenLabel(place, said["feature"], said["name"], said["explanation"], sure, said["labeler"])
