"""A VLM on this machine: `local-vlm` beside the plain way, which is the model's processor and `generate`, one by one.

The models are of real classes with random weights, in float32. Verdicts are those of a judge: some labels, each asked
of pictures of its own, or of pictures that all labels share, as the score `gain` asks. The plain way writes the whole
reply. Names are 40 tokens about six pictures. Both give the same answers, or the benchmark ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.pairs import Row, interleave
from benchmarks.random_vlms import CLASSES, SMALL, TINY

if TYPE_CHECKING:
    from autointerp.labeling.asking.local_vlm import LocalVlm
    from autointerp.labeling.asking.protocol import Message

    _Way = Callable[[LocalVlm, Sequence[list[Message]]], list[str]]

BATCH = 4
"""Requests at the same time, as `-j` has it."""
LABELS, TRIALS, NAMES, PAIRS = 3, 8, 4, 6
QUICK_LABELS, QUICK_TRIALS, QUICK_NAMES, QUICK_PAIRS = 2, 2, 2, 1
PICTURES, TOKENS = 6, 40
"""Pictures of a request for a name, and tokens of a name's reply."""


def verdict_requests(labels: int, trials: int, shared: bool) -> list[list[Message]]:
    """Requests for verdicts, label by label, in the words of the score `detection`."""
    from autointerp.labeling.asking.messages import image_part, text_part
    from autointerp.labeling.asking.templates import load_prompt

    prompt = load_prompt("detect.md.j2")
    return [
        [
            {"role": "system", "content": prompt.render(name=f"thing {label}", explanation="", count=1, mark="")},
            {
                "role": "user",
                "content": [
                    text_part("Image 1:"),
                    image_part(_picture(trial if shared else label * trials + trial), "pixels"),
                ],
            },
        ]
        for label in range(labels)
        for trial in range(trials)
    ]


def name_requests(count: int) -> list[list[Message]]:
    """Requests for names, each about a few pictures."""
    from autointerp.labeling.asking.messages import image_part, text_part

    return [
        [
            {"role": "system", "content": "Name what the pictures share."},
            {
                "role": "user",
                "content": [
                    part
                    for i in range(PICTURES)
                    for part in (text_part(f"Image {i + 1}:"), image_part(_picture(number * PICTURES + i), "pixels"))
                ],
            },
        ]
        for number in range(count)
    ]


def plain_names(vlm: LocalVlm, requests: Sequence[list[Message]]) -> list[str]:
    """Answer requests one by one by the model's processor and `generate`."""
    import torch

    from autointerp.labeling.asking.embedded import processed

    model, processor = vlm._model, vlm._processor
    found, end = [], processor.tokenizer.eos_token_id
    with torch.inference_mode():
        for text, some in zip(*vlm._read(requests), strict=True):
            inputs = processed(model, processor, [text], [[picture.image for picture in some]])
            made = model.generate(
                **inputs, do_sample=False, max_new_tokens=TOKENS, pad_token_id=processor.tokenizer.pad_token_id
            )
            ids = made[0, inputs["input_ids"].shape[1] :].tolist()
            said = ids[: ids.index(end)] if end in ids else ids
            found.append(str(processor.tokenizer.decode(said, skip_special_tokens=True)))
    return found


def plain_verdicts(vlm: LocalVlm, requests: Sequence[list[Message]]) -> list[str]:
    """Return the likelier word of each verdict, by the plain way: the reply is written token by token."""
    import torch

    from autointerp.labeling.asking.constraint import VERDICT
    from autointerp.labeling.asking.embedded import processed

    model, processor = vlm._model, vlm._processor
    texts, pictures = vlm._read(requests)
    ids = [vlm._first_token(VERDICT.opening, word) for word in VERDICT.texts]
    # Random weights write no such reply, so that as many tokens are written behind its opening, and the first counts.
    reply = f"{VERDICT.opening}{VERDICT.texts[0]}{VERDICT.closing}"
    tokens = len(processor.tokenizer(reply, add_special_tokens=False)["input_ids"])
    found = []
    with torch.inference_mode():
        for text, some in zip(texts, pictures, strict=True):
            images = [[picture.image for picture in some]]
            made = model.generate(
                **processed(model, processor, [text + VERDICT.opening], images),
                do_sample=False,
                min_new_tokens=tokens,
                max_new_tokens=tokens,
                pad_token_id=processor.tokenizer.pad_token_id,
                output_logits=True,
                return_dict_in_generate=True,
            )
            found.append(VERDICT.texts[int(made.logits[0][0, ids].argmax())])
    return found


def verdicts(vlm: LocalVlm, requests: Sequence[list[Message]]) -> list[str]:
    """Return the words of verdicts in batches, as `local-vlm` asks for them."""
    from autointerp.labeling.asking.constraint import VERDICT

    made = [
        one
        for start in range(0, len(requests), BATCH)
        for one in vlm.choose(list(requests[start : start + BATCH]), VERDICT)
    ]
    return [one.text.removeprefix(VERDICT.opening).removesuffix(VERDICT.closing) for one in made]


def run(quick: bool, pairs: int | None = None) -> list[Row]:
    """Time verdicts and names of each class of model beside the plain way, and compare the answers.

    Raises:
        RuntimeError: An answer differs.
    """
    import torch

    labels, trials, names = (QUICK_LABELS, QUICK_TRIALS, QUICK_NAMES) if quick else (LABELS, TRIALS, NAMES)
    number = pairs or (QUICK_PAIRS if quick else PAIRS)
    rows = []
    for kind, make in CLASSES.items():
        torch.manual_seed(0)
        vlm = make(TINY if quick else SMALL)
        for shared in (False, True):
            asked = verdict_requests(labels, trials, shared)
            what = f"{labels} labels of {trials} pictures, {'the same for all' if shared else 'each its own'}"
            rows.append(_timed(f"{kind}, verdicts: {what}", number, vlm, asked, verdicts, plain_verdicts))
        rows.append(
            _timed(
                f"{kind}, {names} names of {PICTURES} pictures", number, vlm, name_requests(names), _named, plain_names
            )
        )
    return rows


def _timed(what: str, number: int, vlm: LocalVlm, requests: Sequence[list[Message]], ours: _Way, plain: _Way) -> Row:
    """Time the same requests both ways; ours by a model that has kept nothing yet.

    Raises:
        RuntimeError: The answers differ.
    """
    from autointerp.labeling.asking.local_vlm import LocalVlm

    given: dict[str, list[str]] = {}

    def seconds(side: str, way: _Way, asked: LocalVlm) -> dict[str, float]:
        begun = time.perf_counter()
        given[side] = way(asked, requests)
        return {"seconds": time.perf_counter() - begun}

    def mine() -> dict[str, float]:
        return seconds("ours", ours, LocalVlm(vlm._model, vlm._processor, vlm.name))

    timed = interleave(number, mine, lambda: seconds("plain", plain, vlm))
    if given["ours"] != given["plain"]:
        raise RuntimeError(f"{what}: the answers differ")
    return Row.of("local-vlm", f"{what}: local-vlm / plain", "s", *([one["seconds"] for one in side] for side in timed))


def _named(vlm: LocalVlm, requests: Sequence[list[Message]]) -> list[str]:
    return vlm.answer(requests, TOKENS, BATCH)


def _picture(number: int) -> Any:
    """Return a picture of noise and a patch, another one for each number."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(number)
    pixels = rng.integers(0, 255, (96, 96, 3), dtype=np.uint8)
    pixels[20:60, 30:70] = rng.integers(0, 255, 3, dtype=np.uint8)
    return Image.fromarray(pixels)
