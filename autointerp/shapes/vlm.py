"""shapes-vlm: the vision-language model of the shapes world, a small LLaVA trained on this project's own prompts.

Its folder has the form in which transformers saves a `LlavaForConditionalGeneration`, with processor, tokenizer and
chat template. So transformers' Auto classes load it, and `transformers serve` serves it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from typing_extensions import override

from autointerp.errors import NotAvailable
from autointerp.files import sha256_of
from autointerp.labeling.asking.deferred import DeferredVlm
from autointerp.labeling.asking.local import BatchSize, LocalChat
from autointerp.labeling.asking.local_vlm import LocalVlm
from autointerp.labeling.judging.questions import TrialQuestion
from autointerp.labeling.judging.vlm_judge import JudgeOptions
from autointerp.labeling.labelers.feature_messages import VlmOptions
from autointerp.labeling.setup import LabelerSetup
from autointerp.labeling.vlms import VlmKind
from autointerp.shapes.reply_form import ReplyForm

FOLDER = Path(__file__).parent / "weights" / "vlm"
NAME: Final = "shapes-vlm"
TRAIN = "python -m training.shapes vlm"
OPTIONS = VlmOptions(crops=20, context=False, image_format="pixels", evidence="cells")
"""The form in which a feature is shown to it, as in its training: marked cells, without the whole picture. Any cell in
which the feature is active tells it more than peaks (docs/evaluation.md, Evidence)."""
JUDGING = JudgeOptions(batch=1, image_format="pixels")
"""The form in which it judges: one picture a request, with which it is right most often."""
MAX_TOKENS = 256
"""Tokens of its longest answer."""
BATCH = 16
"""Requests of a batch."""
PICTURES = 96
"""Pictures of a batch, at most: four requests for a name, which take half the memory of sixteen and less time."""
BATCHES = 2
"""Batches that it answers at the same time, at most."""
ANSWERS = ("gain", "detection", "fuzzing")
"""Purposes of the questions that it was taught as a judge."""


def is_there(folder: Path = FOLDER) -> bool:
    """Return whether the weights are in a folder."""
    return (folder / "model.safetensors").is_file()


def shapes_vlm_name(folder: Path = FOLDER) -> str:
    """Return the name of the model in a folder, which holds the hash of its weights. No model is loaded.

    Raises:
        NotAvailable: There are no weights.
    """
    if not is_there(folder):
        raise NotAvailable(f"the weights of {NAME} are not there", f"train it with `{TRAIN}`, or use --labeler clip")
    return f"{NAME}@{sha256_of(folder / 'model.safetensors')[:12]}"


def load_shapes_vlm(folder: Path = FOLDER) -> LocalVlm:
    """Load the model in a folder.

    Raises:
        NotAvailable: There are no weights.
    """
    name = shapes_vlm_name(folder)
    vlm = LocalVlm.load(str(folder))
    vlm.name = name
    # With so small a model, several threads would wait for one another longer than they work.
    vlm.threads = 1
    vlm.form = ReplyForm(vlm.tokenizer)
    return vlm


class ShapesVlmKind(VlmKind):
    """shapes-vlm as a labeler and a judge. It is shown what it knows from its training, whatever is set."""

    tells_apart = False

    @override
    def make_asker(self, setup: LabelerSetup) -> LocalChat:
        """Make the shipped weights ready to be loaded."""
        vlm = DeferredVlm(shapes_vlm_name(), load_shapes_vlm, setup.note)
        size = BatchSize(BATCH, PICTURES, min(os.cpu_count() or 1, BATCHES))
        return LocalChat(vlm, NAME, setup.ledger(), size, MAX_TOKENS, setup.vlm.max_calls)

    @override
    def jobs(self, wanted: int) -> int:
        """Return a batch more than are answered at the same time, so that one is prepared meanwhile."""
        return (1 + BATCHES) * BATCH

    @override
    def label_options(self, setup: LabelerSetup) -> VlmOptions:
        """Return the options of its training."""
        return OPTIONS

    @override
    def judge_options(self, setup: LabelerSetup, question: TrialQuestion) -> JudgeOptions:
        """Return the options of its training.

        Raises:
            NotAvailable: It was not taught such questions.
        """
        if question.purpose not in ANSWERS:
            raise NotAvailable(
                f"{NAME} answers no {question.purpose} questions", "name another judge: --judge vlm --vlm MODEL"
            )
        return JUDGING


SHAPES_VLM = ShapesVlmKind()
