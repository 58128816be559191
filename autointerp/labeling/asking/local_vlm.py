"""A VLM on this machine: any image-text-to-text model of transformers, with its processor and chat template."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autointerp.errors import AutointerpError
from autointerp.hub import VISION_LANGUAGE_MODEL, first_line, hub_answers, refusal
from autointerp.labeling.asking.constraint import Choice, Form, FormConstraint
from autointerp.labeling.asking.embedded import EmbeddedInputs, processed
from autointerp.labeling.asking.llava import LlavaInputs
from autointerp.labeling.asking.messages import text_part
from autointerp.labeling.asking.pictures import Picture, pictures_of
from autointerp.labeling.asking.protocol import Message


@dataclass(frozen=True)
class Completion:
    """An answer, with the numbers of tokens that were read and written."""

    text: str
    input_tokens: int
    output_tokens: int
    finished: bool
    """False where the answer was cut off at its greatest length."""
    shares: tuple[float, ...] = ()
    """Of a reply that was chosen among texts: the probability of each, which sum to 1."""


class LocalVlm:
    """A model with its processor and chat template; answers chat requests greedily, several at once."""

    def __init__(self, model: Any, processor: Any, name: str) -> None:
        """Keep a loaded model, its processor, and the name by which its answers are known."""
        self.name = name
        self.threads: int | None = None
        """Threads of torch during an answer; None for as many as torch has. A small model is slower with several."""
        self.form: Form | None = None
        """The form that answers are kept to, token by token; None allows any."""
        self._model, self._processor = model.eval(), processor
        self._embedded = LlavaInputs.of(self._model, processor) or EmbeddedInputs.of(self._model, processor)

    @property
    def tokenizer(self) -> Any:
        """The tokenizer of the model's processor."""
        return self._processor.tokenizer

    @classmethod
    def load(
        cls,
        name: str,
        *,
        device: str = "cpu",
        dtype: Any = None,
        revision: str | None = None,
        local_files_only: bool = False,
    ) -> LocalVlm:
        """Load a model that transformers knows as image-text-to-text, from a folder or the hub.

        Args:
            name: A folder or a hub id.
            device: A torch device.
            dtype: A torch dtype; float32 if not given.
            revision: Of a hub id.
            local_files_only: Never ask the hub.

        Raises:
            AutointerpError: The model cannot be fetched, its processor needs torchvision, or it has no chat template.
        """
        import torch
        from transformers import AutoModelForImageTextToText, AutoProcessor
        from transformers.utils import logging

        where: dict[str, Any] = {}
        if not Path(name).is_dir():
            where = {"revision": revision, "local_files_only": not hub_answers(local_files_only)}
        # Without torchvision an image processor warns that it falls back to Pillow, which is wanted here.
        verbosity = logging.get_verbosity()
        logging.set_verbosity_error()
        # Progress bars of transformers would interleave with this package's own.
        logging.disable_progress_bar()
        try:
            processor = AutoProcessor.from_pretrained(name, **where)
            if getattr(processor, "chat_template", None) is None:
                raise AutointerpError(
                    f"the model {name!r} has no chat template", "name a model that was trained on conversations"
                )
            model = AutoModelForImageTextToText.from_pretrained(name, dtype=dtype or torch.float32, **where)
        except AutointerpError:
            raise
        except Exception as error:  # noqa: BLE001 - a model can fail to load with any exception; the person gets one line
            raise _unusable(name, error, local_files_only) from error
        finally:
            logging.set_verbosity(verbosity)
        # Batches are padded before the prompt, so that all answers begin at the same place.
        processor.tokenizer.padding_side = "left"
        if processor.tokenizer.pad_token is None:
            processor.tokenizer.pad_token = processor.tokenizer.eos_token
        commit = getattr(model.config, "_commit_hash", None)
        return cls(model.to(device), processor, f"{name}@{commit[:12]}" if commit else name)

    def complete(self, requests: Sequence[list[Message]], max_new_tokens: int = 700) -> list[Completion]:
        """Answer requests, each a list of messages as Chat Completions takes them, in their order.

        A content part is a text, an `image_url` with a data URI, or `{"type": "image", "image": picture}` with a
        `Picture`.

        Args:
            requests: One list of messages a request; all of them make one batch.
            max_new_tokens: The longest answer.

        Raises:
            UsageError: An `image_url` is no data URI of a picture.
        """
        import torch

        if not requests:
            return []
        texts, pictures = self._read(requests)
        with _threads(self.threads), torch.inference_mode():
            inputs, lengths, start = self._inputs(texts, pictures)
            rules: dict[str, Any] = {}
            if self.form is not None:
                constraint = FormConstraint(self.form, start)
                rules = {"logits_processor": [constraint.limit], "stopping_criteria": [constraint.closed]}
            made = self._model.generate(
                **inputs,
                do_sample=False,
                max_new_tokens=max_new_tokens,
                pad_token_id=self.tokenizer.pad_token_id,
                **rules,
            )
        ends = self._model.generation_config.eos_token_id
        ends = set(ends if isinstance(ends, list) else [ends])
        return [
            self._completion(row, length, ends, max_new_tokens)
            for row, length in zip(made[:, start:].tolist(), lengths, strict=True)
        ]

    def choose(self, requests: Sequence[list[Message]], choice: Choice) -> list[Completion]:
        """Answer requests whose reply is one of a few texts: the one that the model finds likeliest after the opening.

        That takes one pass of the model in place of one for each token, and the reply always has its form.

        Args:
            requests: As for `complete`.
            choice: The texts of the reply, which must begin with different tokens.

        Raises:
            UsageError: An `image_url` is no data URI of a picture.
        """
        import torch

        if not requests:
            return []
        texts, pictures = self._read(requests)
        texts = [f"{text}{choice.opening}" for text in texts]
        ids = [self._first_token(choice.opening, text) for text in choice.texts]
        with _threads(self.threads), torch.inference_mode():
            if (embedded := self._exact(texts, pictures)) is not None:
                logits, lengths = embedded.next_logits(texts, pictures)
            else:
                inputs, lengths, _ = self._inputs(texts, pictures)
                made = self._model.generate(
                    **inputs,
                    do_sample=False,
                    max_new_tokens=1,
                    pad_token_id=self.tokenizer.pad_token_id,
                    output_logits=True,
                    return_dict_in_generate=True,
                )
                logits = made.logits[0]
        likely = logits[:, ids].float()
        shares = likely.softmax(1).tolist()
        return [
            Completion(f"{choice.opening}{choice.texts[i]}{choice.closing}", length, 1, True, tuple(share))
            for i, length, share in zip(likely.argmax(1).tolist(), lengths, shares, strict=True)
        ]

    def _read(self, requests: Sequence[list[Message]]) -> tuple[list[str], list[list[Picture]]]:
        """Return the prompts as the chat template writes them, and the pictures, of each request."""
        return [self._text(messages) for messages in requests], [pictures_of(messages) for messages in requests]

    def _inputs(
        self, texts: Sequence[str], pictures: Sequence[Sequence[Picture]]
    ) -> tuple[dict[str, Any], list[int], int]:
        """Return the model's inputs, the length of each prompt in tokens, and where answers begin in what it makes."""
        import torch

        if (embedded := self._exact(texts, pictures)) is not None:
            rows = embedded.embedded(texts, pictures)
            lengths = [len(row) for row in rows]
            longest = max(lengths)
            embeds = torch.stack([torch.nn.functional.pad(row, (0, 0, longest - len(row), 0)) for row in rows])
            places = torch.arange(longest, device=embeds.device)
            mask = places >= longest - torch.tensor(lengths, device=embeds.device)[:, None]
            return {"inputs_embeds": embeds, "attention_mask": mask.long()}, lengths, 0
        images = [[picture.image for picture in some] for some in pictures]
        inputs = processed(self._model, self._processor, texts, images)
        return inputs, inputs["attention_mask"].sum(1).tolist(), int(inputs["input_ids"].shape[1])

    def _exact(self, texts: Sequence[str], pictures: Sequence[Sequence[Picture]]) -> EmbeddedInputs | None:
        """Return what makes embeddings of these requests; None where only the model's own processor is exact."""
        known = self._embedded
        return known if known is not None and all(map(known.fits, texts, pictures)) else None

    def _completion(self, row: Sequence[int], length: int, ends: set[int], longest: int) -> Completion:
        """Return the answer of the token ids `row` to a prompt of a length in tokens."""
        stop = next((i for i, token in enumerate(row) if token in ends), None)
        said = row if stop is None else row[:stop]
        closing = None
        if self.form is not None:
            closed = [i for i in range(1, len(said) + 1) if self.form.closing(said[:i]) is not None]
            if closed:
                said = said[: closed[0]]
                closing = self.form.closing(said)
        text = self.tokenizer.decode(said, skip_special_tokens=True) + (closing or "")
        return Completion(text, length, len(said), closing is not None or stop is not None or len(row) < longest)

    def _first_token(self, opening: str, text: str) -> int:
        """Return the first token of a text that follows an opening."""

        def ids(of: str) -> list[int]:
            return list(self.tokenizer(of, add_special_tokens=False)["input_ids"])

        before, whole = ids(opening), ids(opening + text)
        return int(next(token for i, token in enumerate(whole) if before[i : i + 1] != [token]))

    def answer(self, requests: Sequence[list[Message]], max_new_tokens: int = 700, batch: int = 8) -> list[str]:
        """Return the texts of `complete`, in batches of requests of like length, because the longest sets the pace."""
        order = sorted(range(len(requests)), key=lambda i: length_of(requests[i]))
        answers = [""] * len(requests)
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            for i, one in zip(chosen, self.complete([requests[i] for i in chosen], max_new_tokens), strict=True):
                answers[i] = one.text
        return answers

    def _text(self, messages: list[Message]) -> str:
        """Return the prompt as the chat template writes it; a template knows an image by its type alone."""
        plain = []
        for message in messages:
            content = message["content"]
            if not isinstance(content, str):
                content = [part if part["type"] == "text" else {"type": "image"} for part in content]
            plain.append({**message, "content": content})
        try:
            text = self._processor.apply_chat_template(plain, add_generation_prompt=True, tokenize=False)
        except TypeError:
            # The templates of some models take lists of parts only.
            for message in plain:
                if isinstance(message["content"], str):
                    message["content"] = [text_part(message["content"])]
            text = self._processor.apply_chat_template(plain, add_generation_prompt=True, tokenize=False)
        return str(text)


def length_of(messages: Sequence[Message]) -> tuple[int, int]:
    """Return the number of pictures and of characters of a request: requests of like length make a fast batch."""
    parts = [part for message in messages for part in _parts(message["content"])]
    texts = [part["text"] for part in parts if part["type"] == "text"]
    return len(parts) - len(texts), sum(map(len, texts))


def _parts(content: str | Sequence[Message]) -> Sequence[Message]:
    """Return a message's content as parts."""
    return [text_part(content)] if isinstance(content, str) else content


class _ThreadLimit:
    """The blocks under way in which torch may use few threads alone."""

    def __init__(self) -> None:
        self._lock, self._blocks, self._before = threading.Lock(), 0, 0

    def enter(self, count: int) -> None:
        """Begin a block."""
        import torch

        with self._lock:
            if not self._blocks:
                self._before = torch.get_num_threads()
            self._blocks += 1
            torch.set_num_threads(count)

    def leave(self) -> None:
        """End a block; the last one restores what held before the first."""
        import torch

        with self._lock:
            self._blocks -= 1
            if not self._blocks:
                torch.set_num_threads(self._before)


_limit = _ThreadLimit()


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Use that many threads of torch in this block; None leaves the number as it is.

    Parts of torch have one number for all threads of a process. So only the last block to end restores it: the first
    one would give threads back to the products of another block that still runs.
    """
    if count is None:
        yield
        return
    _limit.enter(count)
    try:
        yield
    finally:
        _limit.leave()


def _unusable(name: str, error: Exception, local_files_only: bool) -> AutointerpError:
    """Return the error of one line for a model that cannot be loaded."""
    meant = refusal(error, name, VISION_LANGUAGE_MODEL, local_files_only=local_files_only)
    if meant is not None:
        return meant
    if "torchvision" in str(error) or "video" in str(error).lower():
        return AutointerpError(
            f"the processor of {name!r} needs torchvision, which is not here",
            "install the torchvision of your torch, or serve the model elsewhere and name it with --base-url",
        )
    return AutointerpError(
        f"{name!r} is no vision-language model that transformers can load: {first_line(error)}",
        "name a folder or a hub id of an image-text-to-text model",
    )
