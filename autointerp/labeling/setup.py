"""The seam of kinds: how a labeler or judge makes itself for a command, from what the command's frame offers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from autointerp.labeling.asking.messages import Mark
from autointerp.labeling.asking.protocol import Asker
from autointerp.labeling.judging.questions import TrialQuestion
from autointerp.labeling.labelers.feature_messages import Evidence
from autointerp.labeling.protocol import Judge, Labeler

if TYPE_CHECKING:
    from autointerp.diffusion.word_maps import WordMaps
    from autointerp.labeling.asking.ledger import Ledger
    from autointerp.labeling.evidence.windows import WindowEmbedder
    from autointerp.search.protocol import Embedder
    from autointerp.worlds import Segmenter, World


@dataclass(frozen=True)
class VlmSettings:
    """Which VLM is asked, how, and within which limits, as the command line and the settings say.

    Attributes:
        model: Name of the model; None where none is named.
        base_url: Address of the server; empty for OpenAI's.
        api_key_env: Name of the environment variable that holds the key.
        max_calls: Calls at most; None for no limit.
        max_cost: US dollars at most; None for no limit.
        max_tokens: Tokens of the longest answer; None for what fits the model.
        timeout: Seconds to wait for an answer of a server; None for what fits the model and the address.
        prices: The workspace's own price file, which may be missing.
        device: Device of a model on this machine, or `auto`.
        dtype: Number format of a model on this machine, or `auto`.
        local_files_only: Whether the hub is never asked.
        jobs: Requests at the same time.
        evidence: What a labeler is shown of a feature.
        mark: How the place is marked where a feature fires.
        sheet: Whether all pictures of a request are tiles of one.
        judge_batch: Pictures of a request to a judge.
        candidates: Names that are asked for, of which the best is kept.
        clusters: Groups into which a feature's crops are parted at most.
    """

    model: str | None
    base_url: str
    api_key_env: str
    max_calls: int | None
    max_cost: float | None
    max_tokens: int | None
    timeout: float | None
    prices: Path
    device: str
    dtype: str
    local_files_only: bool
    jobs: int
    evidence: Evidence
    mark: Mark
    sheet: bool
    judge_batch: int
    candidates: int
    clusters: int


class WordMapSource(Protocol):
    """Gives the word maps of stored images, which are run once more for it.

    Attributes:
        name: The model that paints them, with its revision.
    """

    name: str

    def of(self, image_ids: Collection[int]) -> Mapping[int, WordMaps]:
        """Return the word maps of images by their ids in the database.

        Raises:
            AutointerpError: An image cannot be made again by the workspace's settings.
        """
        ...


class LabelerSetup(Protocol):
    """The parts of a command that a labeler or judge may need. A model is loaded when its property is read."""

    @property
    def vlm(self) -> VlmSettings:
        """Which VLM is asked."""
        ...

    @property
    def model(self) -> str:
        """Name of the model that is explained."""
        ...

    @property
    def world(self) -> World:
        """The world of that model."""
        ...

    @property
    def seed(self) -> int:
        """Seed of the workspace."""
        ...

    @property
    def prompts_dir(self) -> Path:
        """Folder of the workspace's own prompt files, which may be missing."""
        ...

    @property
    def has_embedder(self) -> bool:
        """Whether the workspace has an embedder of pictures."""
        ...

    @property
    def embedder_name(self) -> str:
        """Name of that embedder."""
        ...

    @property
    def embedder(self) -> Embedder:
        """The embedder of pictures and texts."""
        ...

    @property
    def word_maps(self) -> WordMapSource:
        """The word maps of stored images.

        Raises:
            UsageError: It is not known where the model attends to words.
        """
        ...

    @property
    def segmenter(self) -> Segmenter:
        """What finds phrases in pictures: of the model's world, else the models of the settings.

        Raises:
            AutointerpError: A model is missing.
        """
        ...

    @property
    def windows(self) -> WindowEmbedder:
        """The vectors of crops by that embedder."""
        ...

    def notes(self) -> str:
        """Return the settings' notes on the layer.

        Raises:
            UsageError: The notes are on a layer that the model does not have.
        """
        ...

    def ledger(self) -> Ledger:
        """Return where calls are recorded."""
        ...

    def note(self, text: str) -> None:
        """Tell the person something."""
        ...


class LabelerKind(Protocol):
    """A row of `LABELERS`: a labeler class with this class method, or an object."""

    def make_labeler(self, setup: LabelerSetup) -> Labeler:
        """Make the labeler of a layer, ready for `prepare`.

        Raises:
            NotAvailable: A model or a key is missing.
        """
        ...


class JudgeKind(Protocol):
    """A row of `JUDGES`: a judge class with this class method, or an object."""

    def make_judge(self, setup: LabelerSetup, question: TrialQuestion, asker: Asker | None = None) -> Judge:
        """Make the judge for a question.

        Args:
            setup: What the command offers.
            question: The question that the judge is asked.
            asker: The VLM to ask, so that several judges spend one budget; a new one where it is not given.

        Raises:
            NotAvailable: A model or a key is missing, or the judge does not answer such questions.
        """
        ...
