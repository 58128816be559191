"""What tells a feature from its namesakes: a VLM is shown cells of all of them, and says what only the first has.

The answer is a difference, a name that says it, and which of the namesakes respond to the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from autointerp.labeling.asking.busy_threads import answers_to
from autointerp.labeling.asking.messages import TOLD, mapped_view, marked_view, shown
from autointerp.labeling.asking.protocol import Asker, AskFailed, Message, WaitsForBatch
from autointerp.labeling.asking.repair import ask_for_reply
from autointerp.labeling.asking.replies import APART_SCHEMA, ApartReply
from autointerp.labeling.asking.templates import PromptFile, load_prompt
from autointerp.labeling.labelers.feature_messages import VlmOptions, spread
from autointerp.labeling.protocol import CropEvidence, FeatureEvidence
from autointerp.texts import REASON, clean

OWN_CELLS, OTHER_CELLS = 5, 3
"""Pictures of the feature, and of each of its namesakes."""


@dataclass(frozen=True)
class NamedAlike:
    """A feature and others of nearly the same name.

    Attributes:
        name: The feature's name.
        feature: What a labeler may see of the feature.
        others: The same of its namesakes, nearest first.
    """

    name: str
    feature: FeatureEvidence
    others: tuple[FeatureEvidence, ...]


@dataclass(frozen=True)
class Difference:
    """What tells a feature from its namesakes.

    Attributes:
        feature_id: The feature's id in the database.
        status: `told` where something does, `same` where nothing does, `waiting` while the request is in a batch.
        text: What only the feature has; empty but for `told`.
        name: A name that says it; empty where the name should stay.
        apart_from: Places of the namesakes that it was told from, in `NamedAlike.others`.
        same_as: Places of those that respond to the same; all where nothing tells the feature from any.
        error: Why there is no answer.
    """

    feature_id: int
    status: Literal["told", "same", "failed", "waiting"]
    text: str = ""
    name: str = ""
    apart_from: tuple[int, ...] = ()
    same_as: tuple[int, ...] = ()
    error: str = ""


class Teller(Protocol):
    """Tells features from their namesakes.

    Attributes:
        cells: Pictures of each feature's sample of active cells that are looked at.
        stopped: Why the last call of `tell` ended before its last feature; empty where it did not.
    """

    cells: int
    stopped: str

    def tell(self, groups: Iterable[NamedAlike]) -> Iterator[Difference]:
        """Answer for each feature as its reply comes. A reached budget ends the work; `stopped` then says why.

        Raises:
            AutointerpError: Every request would fail (key, model, address).
        """
        ...


class DifferenceTeller:
    """Asks a VLM what tells features from their namesakes, one request a feature."""

    def __init__(
        self,
        asker: Asker,
        options: VlmOptions | None = None,
        jobs: int = 4,
        prompt: PromptFile | None = None,
        repair: PromptFile | None = None,
    ) -> None:
        """Prepare to ask.

        Args:
            asker: The VLM, which is the labeler's own.
            options: How a labeler shows a feature.
            jobs: Requests at the same time.
            prompt: A prompt file in the place of the shipped request.
            repair: A prompt file in the place of the shipped request to repair a reply.
        """
        self.asker, self.options, self.jobs = asker, options or VlmOptions(), max(1, jobs)
        self._prompt = prompt or load_prompt("apart.md.j2")
        self._repair = repair or load_prompt("repair.md.j2")
        self.cells, self.stopped = OWN_CELLS, ""

    def tell(self, groups: Iterable[NamedAlike]) -> Iterator[Difference]:
        """See `Teller`."""
        self.stopped = ""
        yield from answers_to(groups, self._tell, self.asker, self.jobs, self._stop)

    def _stop(self, reason: str) -> None:
        self.stopped = reason

    def messages(self, group: NamedAlike) -> list[Message]:
        """Return the request for one feature: marked pictures of the feature, then of each namesake."""
        options = self.options
        own, *others = (
            self._chosen(one, most)
            for one, most in ((group.feature, OWN_CELLS), *((other, OTHER_CELLS) for other in group.others))
        )
        headed = [(f"Feature A, example {n}:", crop) for n, crop in enumerate(own, 1)]
        headed += [
            (f"Other feature {number}, example {n}:", crop)
            for number, crops in enumerate(others, 1)
            for n, crop in enumerate(crops, 1)
        ]
        view = mapped_view if options.evidence == "maps" else marked_view
        content = shown(
            [(head, view(crop, options.mark)) for head, crop in headed], options.image_format, options.sheet
        )
        told = self._prompt.render(name=group.name, others=len(others), mark=TOLD[options.mark], notes=options.notes)
        return [{"role": "system", "content": told}, {"role": "user", "content": content}]

    def _chosen(self, feature: FeatureEvidence, most: int) -> list[CropEvidence]:
        """Return the pictures that show a feature: of its active cells, else its crops, over all activations."""
        if self.options.evidence == "peaks" or not feature.cells:
            return spread(feature.crops, most)
        return sorted(feature.cells[:most], key=lambda crop: (-crop.activation, crop.image_id))

    def _tell(self, group: NamedAlike) -> Difference:
        feature = group.feature
        messages = self.messages(group)
        try:
            purpose = f"apart {feature.feature}"
            reply = ask_for_reply(self.asker, messages, APART_SCHEMA, ApartReply, purpose, self._repair)
        except WaitsForBatch:
            return Difference(feature.feature_id, "waiting")
        except AskFailed as error:
            return Difference(feature.feature_id, "failed", error=clean(str(error), REASON))
        places = range(len(group.others))
        apart = tuple(place for place in places if place + 1 not in reply.same)
        if not reply.difference or not apart:
            return Difference(feature.feature_id, "same", same_as=tuple(places))
        same = tuple(place for place in places if place not in apart)
        return Difference(feature.feature_id, "told", reply.difference, reply.name, apart, same)
