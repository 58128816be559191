"""shapes-vlm: the vision-language model of the shapes world, a small LLaVA trained on this project's own prompts.

Its folder is a model as transformers saves one: `LlavaForConditionalGeneration`, processor, tokenizer and chat
template, so that transformers' Auto classes load it and `transformers serve` serves it.
"""

from __future__ import annotations

from pathlib import Path

from autointerp.errors import NotAvailable
from autointerp.files import sha256_of
from autointerp.labeling.judge import JudgeOptions
from autointerp.labeling.local import LocalVlm
from autointerp.labeling.vlm import VlmOptions
from autointerp.shapes.reply_form import ReplyForm

FOLDER = Path(__file__).parent / "weights" / "vlm"
NAME = "shapes-vlm"
TRAIN = "python -m autointerp.shapes.train vlm"
OPTIONS = VlmOptions(crops=20, context=False)
"""How a feature is shown to it: marked alone, as it was trained on."""
JUDGING = JudgeOptions(batch=1)
"""How it judges: one picture a request, which it does best, and its requests are short."""
MAX_TOKENS = 256
ANSWERS = ("detection", "fuzzing")
"""The questions of judges that it was taught."""


def is_there(folder: Path = FOLDER) -> bool:
    """Whether its weights are here."""
    return (folder / "model.safetensors").is_file()


def load_shapes_vlm(folder: Path = FOLDER) -> LocalVlm:
    """The model in a folder, named by its weights' hash.

    Raises:
        NotAvailable: There are no weights.
    """
    if not is_there(folder):
        raise NotAvailable(f"the weights of {NAME} are not there", f"train it with `{TRAIN}`, or use --labeler clip")
    digest = sha256_of(folder / "model.safetensors")
    vlm = LocalVlm.load(str(folder))
    vlm.name = f"{NAME}@{digest[:12]}"
    # Threads would wait for one another longer than they work.
    vlm.threads = 1
    vlm.allowed = ReplyForm(vlm.tokenizer).allowed
    return vlm
