"""shapes-vlm: the vision-language model of the shapes world, a small LLaVA trained on this project's own prompts.

Its folder is a model as transformers saves one: `LlavaForConditionalGeneration`, processor, tokenizer and chat
template, so that transformers' Auto classes load it and `transformers serve` serves it.
"""

from __future__ import annotations

from pathlib import Path

from autointerp.files import sha256_of
from autointerp.labeling.local import LocalVlm
from autointerp.labeling.vlm import VlmOptions

FOLDER = Path(__file__).parent / "weights" / "vlm"
NAME = "shapes-vlm"
OPTIONS = VlmOptions(crops=20, context=False)
"""How a feature is shown to it: marked alone, as it was trained on."""
MAX_TOKENS = 256
ANSWERS = ("detection", "fuzzing")
"""The questions of judges that it was taught."""


def load_shapes_vlm(folder: Path = FOLDER) -> LocalVlm:
    """The shipped model, or another one saved the same way; named by its weights' hash."""
    digest = sha256_of(folder / "model.safetensors")
    vlm = LocalVlm.load(str(folder))
    vlm.name = f"{NAME}@{digest[:12]}"
    return vlm
