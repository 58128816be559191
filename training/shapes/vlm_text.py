"""What shapes-vlm reads and writes: its tokenizer, its chat template, and the replies it is taught.

The lines of the prompt files and the fixed parts of a reply are one token each, so that a request is as short as what
differs between requests. Any other text is read too, by words where they are known, by bytes where not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from autointerp.labeling.asking.messages import TOLD
from autointerp.labeling.asking.templates import load_prompt
from autointerp.labeling.labelers.apart import OTHER_CELLS, OWN_CELLS
from autointerp.shapes.concepts import Concept
from autointerp.shapes.reply_form import (
    ANSWERS,
    END_OF_PARTS,
    EXPLANATION,
    FIRST_PART,
    INTERPRETABLE,
    MOST_PARTS,
    NAME,
    NEXT_PARTS,
    NOT,
    TENTHS,
)
from autointerp.shapes.scenes import ATTRIBUTES, POSITIONS
from autointerp.shapes.truth import SYNONYMS

PROMPTS = ("label.md.j2", "detect.md.j2", "fuzz.md.j2", "apart.md.j2")
MARK = TOLD["dim"]
"""The mark that it is trained on, as the prompts put it."""
IMAGE, PAD, END = "<image>", "<pad>", "</s>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
MOST_EXAMPLES = MOST_PARTS
SAME, DIFFERENCE, RENAMED, END_OF_APART = '{"same": [', '], "difference": "', '", "name": "', '"}'
MOST_OTHERS = 5
NEXT_SAME = tuple(f", {n}" for n in range(2, MOST_OTHERS + 1))
"""The pieces of a reply that says what tells features apart."""

CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}{% else %}<image>{% endif %}"
    "{% endfor %}{% endif %}"
    "{% if message['role'] == 'assistant' %}</s>{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
"""Messages to text. A content part that is no text is an image, whatever a client calls it."""

NOTHING = "The marked places have nothing in common that can be named."
SHARES = ((0.95, "all"), (0.8, "nearly all"), (0.0, "most"))
_PLURALS = {"cross": "crosses"}

_REPLY_PIECES = (
    NAME,
    EXPLANATION,
    INTERPRETABLE,
    NOT,
    FIRST_PART,
    *NEXT_PARTS,
    END_OF_PARTS,
    ANSWERS,
    SAME,
    *NEXT_SAME,
    DIFFERENCE,
    RENAMED,
    END_OF_APART,
    "edge of a ",
    "true",
    "false",
    ", true",
    ", false",
    NOTHING,
    "More precisely: ",
    "The feature is said to fire on: ",
)


def prompt_lines() -> list[str]:
    """Every fixed stretch of text of the prompt files, at most a line long, longest first."""
    lines = set()
    for name in PROMPTS:
        for piece in re.split(r"\{%.*?%\}|\{\{.*?\}\}", load_prompt(name).source, flags=re.DOTALL):
            lines |= {line.strip() for line in piece.splitlines() if len(line.split()) > 2}
    return sorted(lines, key=lambda line: (-len(line), line))


def phrases() -> list[str]:
    """What is one token although it is many words: lines of prompts, headings of images, pieces of replies."""
    headings = [f"{kind} {n}:" for kind in ("Example", "Does not fire,", "Image") for n in range(1, MOST_EXAMPLES + 1)]
    headings += [f"Feature A, example {n}:" for n in range(1, OWN_CELLS + 1)]
    headings += [
        f"Other feature {k}, example {n}:" for k in range(1, MOST_OTHERS + 1) for n in range(1, OTHER_CELLS + 1)
    ]
    return list(dict.fromkeys([*prompt_lines(), *headings, MARK, *_REPLY_PIECES, *TENTHS]))


def _corpus() -> list[str]:
    words = [word for values in ATTRIBUTES.values() for word in values]
    words += [word for place in POSITIONS for word in place.split()]
    words += [word for others in SYNONYMS.values() for word in others]
    words += [_plural(shape) for shape in ATTRIBUTES["shape"]]
    words += [
        "background",
        "objects",
        "object",
        "edges",
        "inside",
        "picture",
        "the",
        "of",
        "a",
        "at",
        "in",
        "any",
        "kind",
        "all",
        "nearly",
        "most",
        "examples",
    ]
    words += ["Fires", "on"]
    return [*(load_prompt(name).source for name in PROMPTS), *words, *(f" {word}" for word in words)]


def new_tokenizer(more: Sequence[str] = ()) -> Any:
    """The tokenizer: byte-level BPE in which each known word is one token, and `phrases`; always the same one.

    `more` are further words to know.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=4000,
        min_frequency=1,
        special_tokens=[PAD, END, IMAGE, *ROLES],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator([*_corpus(), *more, *(f" {word}" for word in more)], trainer)
    bpe.add_tokens([AddedToken(phrase, normalized=False) for phrase in phrases()])
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token=PAD,
        eos_token=END,
        extra_special_tokens={"image_token": IMAGE},
        padding_side="left",
        model_max_length=4096,
        clean_up_tokenization_spaces=False,
    )


def plain_tokenizer(tokenizer: Any) -> Any:
    """The same tokenizer without `phrases`: it reads a known line word by word, as it would one that was changed."""
    from tokenizers import Tokenizer

    state = json.loads(tokenizer.backend_tokenizer.to_str())
    known = set(phrases())
    state["added_tokens"] = [token for token in state["added_tokens"] if token["content"] not in known]
    return Tokenizer.from_str(json.dumps(state))


def _plural(shape: str) -> str:
    return _PLURALS.get(shape, f"{shape}s")


def concept_name(concept: Concept) -> str:
    """How a concept is named in a label, e.g. `red circle`, `night background`, `edge of objects`."""
    if concept.kind == "background":
        return f"{concept.name} background"
    if concept.kind == "part":
        return f"{concept.name} of objects"
    return concept.name


def explanation(concept: Concept, share: float) -> str:
    """One sentence: on what a feature fires, and in how many of the examples (`share` of them)."""
    if concept.kind == "position":
        thing = f"the {concept.name} of the picture"
    elif concept.kind == "background":
        thing = f"the {concept.name} background"
    elif concept.kind == "part":
        thing = f"the {concept.name} of objects"
    elif concept.kind == "object":
        thing = "objects of any kind"
    else:
        places = [word for word in concept.words if word in POSITIONS]
        said = [word for word in concept.words if word not in POSITIONS]
        said = [*said[:-1], _plural(said[-1])] if said[-1] in ATTRIBUTES["shape"] else [*said, "objects"]
        thing = " ".join(said) + "".join(f" at the {place}" for place in places)
    often = next(word for least, word in SHARES if share >= least)
    return f"Fires on {thing} in {often} examples."


def label_reply(concept: Concept | None, share: float, confidence: float, parts: Sequence[str]) -> str:
    """A reply to the labeling prompt; `concept` None says that it is not interpretable."""
    return json.dumps(
        {
            "name": concept_name(concept) if concept else "",
            "explanation": explanation(concept, share) if concept else NOTHING,
            "interpretable": concept is not None,
            "confidence": round(confidence, 1),
            # Numbered, so that what is said of an image can be found by its number, and last, since they are many.
            "parts": [f"{n}: {part}" for n, part in enumerate(parts, 1)],
        }
    )


def judge_reply(answers: Sequence[bool]) -> str:
    """A reply to a judge's prompt."""
    return json.dumps({"answers": list(answers)})
