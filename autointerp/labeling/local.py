"""VLMs on this machine: any image-text-to-text model of transformers, asked through the seam of `ChatClient`.

Requests of many threads are answered together, as many at once as fit a batch, and each answer goes to the ledger: a
stopped run goes on with the next request.
"""

from __future__ import annotations

import base64
import binascii
import io
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from autointerp.errors import AutointerpError, UsageError, is_out_of_memory
from autointerp.hub import first_line, hub_answers, refusal
from autointerp.labeling.attempts import AskFailed
from autointerp.labeling.chat import MemoryLedger, request_hash, with_schema
from autointerp.labeling.limits import BudgetReached
from autointerp.labeling.messages import Message, text_part
from autointerp.labeling.protocol import CallRecord, Ledger

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class Completion:
    """An answer, with the tokens that were read and written."""

    text: str
    input_tokens: int
    output_tokens: int
    finished: bool
    """False where it was cut off at the longest answer."""


class LocalVlm:
    """A model with its processor and chat template; answers chat requests greedily, several at once."""

    def __init__(self, model: Any, processor: Any, name: str) -> None:
        """Take a loaded model, its processor, and the name that its answers are known by."""
        self.name = name
        self.threads: int | None = None
        """Threads of torch while it answers; as many as torch has if None. A small model is slower with several."""
        self.allowed: Callable[[Sequence[int]], Sequence[int]] | None = None
        """Given the ids of an answer so far, those that may come next; any if None."""
        self._model, self._processor = model.eval(), processor

    @property
    def tokenizer(self) -> Any:
        """The tokenizer of its processor."""
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
            AutointerpError: It cannot be fetched, its processor needs torchvision, or it has no chat template.
        """
        import torch
        from transformers import AutoModelForImageTextToText, AutoProcessor
        from transformers.utils import logging

        where: dict[str, Any] = {}
        if not Path(name).is_dir():
            where = {"revision": revision, "local_files_only": not hub_answers(local_files_only)}
        # Without torchvision an image processor warns that it falls back to Pillow, which is what we want.
        verbosity = logging.get_verbosity()
        logging.set_verbosity_error()
        # Its bars would go past our own progress.
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
        except Exception as error:  # noqa: BLE001 - a model of any kind fails in any way; the person gets one line
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

        A content part is a text, an `image_url` with a data URI, or `{"type": "image", "image": picture}`.

        Args:
            requests: One list of messages a request; all of them make one batch.
            max_new_tokens: The longest answer.

        Raises:
            UsageError: An image is neither a picture nor a data URI of one.
        """
        import torch

        if not requests:
            return []
        texts = [self._text(messages) for messages in requests]
        images = [_images(messages) for messages in requests]
        inputs = self._processor(
            text=texts, images=images if any(images) else None, padding=True, return_tensors="pt"
        ).to(self._model.device)
        inputs.pop("token_type_ids", None)
        for key, value in inputs.items():
            if torch.is_floating_point(value):
                inputs[key] = value.to(self._model.dtype)
        pad = self._processor.tokenizer.pad_token_id
        read, allowed = inputs["input_ids"].shape[1], self.allowed
        form = None if allowed is None else lambda row, ids: allowed(ids[read:].tolist())
        with _threads(self.threads), torch.inference_mode():
            made = self._model.generate(
                **inputs,
                do_sample=False,
                max_new_tokens=max_new_tokens,
                pad_token_id=pad,
                prefix_allowed_tokens_fn=form,
            )
        made = made[:, read:]
        ends = self._model.generation_config.eos_token_id
        ends = set(ends if isinstance(ends, list) else [ends])
        found = []
        for row, read in zip(made.tolist(), inputs["attention_mask"].sum(1).tolist(), strict=True):
            stop = next((i for i, token in enumerate(row) if token in ends), None)
            said = row if stop is None else row[:stop]
            text = self._processor.tokenizer.decode(said, skip_special_tokens=True)
            found.append(Completion(text, int(read), len(said), stop is not None or len(row) < max_new_tokens))
        return found

    def answer(self, requests: Sequence[list[Message]], max_new_tokens: int = 700, batch: int = 8) -> list[str]:
        """The texts of `complete`, `batch` requests at once, of like length, as the longest sets the pace."""
        order = sorted(range(len(requests)), key=lambda i: (len(_images(requests[i])), len(str(requests[i]))))
        answers = [""] * len(requests)
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            for i, one in zip(chosen, self.complete([requests[i] for i in chosen], max_new_tokens), strict=True):
                answers[i] = one.text
        return answers

    def _text(self, messages: list[Message]) -> str:
        """The prompt as the chat template writes it; templates know an image by its type alone."""
        plain = []
        for message in messages:
            content = message["content"]
            if not isinstance(content, str):
                content = [part if part["type"] == "text" else {"type": "image"} for part in content]
            plain.append({**message, "content": content})
        try:
            text = self._processor.apply_chat_template(plain, add_generation_prompt=True, tokenize=False)
        except TypeError:
            # Templates of some models take lists of parts only.
            for message in plain:
                if isinstance(message["content"], str):
                    message["content"] = [text_part(message["content"])]
            text = self._processor.apply_chat_template(plain, add_generation_prompt=True, tokenize=False)
        return str(text)


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """So many threads of torch; None leaves them as they are."""
    import torch

    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass
class _Waiting:
    messages: list[Message]
    completion: Completion | None = None
    error: BaseException | None = None
    done: bool = field(default=False)


class LocalChat:
    """Asks a `LocalVlm` as `ChatClient` asks a server. Safe to use from many threads: what waits makes one batch."""

    base_url = ""

    def __init__(
        self,
        vlm: LocalVlm,
        kind: Literal["local-vlm", "shapes-vlm"] = "local-vlm",
        ledger: Ledger | None = None,
        batch: int = 4,
        max_tokens: int = 700,
        max_calls: int | None = None,
    ) -> None:
        """Take the model, how many requests it answers at once, and limits.

        A model of the kind `shapes-vlm` knows the form of its replies; any other is told the JSON schema.
        """
        self.vlm, self.kind, self.model = vlm, kind, vlm.name
        self.ledger: Ledger = MemoryLedger() if ledger is None else ledger
        self.calls = 0
        self.config: dict[str, Any] = {"max_tokens": max_tokens}
        self._batch, self._max_tokens, self._max_calls = batch, max_tokens, max_calls
        self._queue: list[_Waiting] = []
        self._given_up = False
        self._lock, self._turn = threading.Lock(), threading.Lock()

    def ask(self, messages: list[Message], schema: dict[str, Any], purpose: str) -> str:
        """The model's answer: from the ledger, or made now.

        Raises:
            AskFailed: The answer is empty, or longer than the longest one.
            BudgetReached: The call would pass the limit.
            AutointerpError: There is not enough memory.
        """
        key = request_hash(self.model, self.base_url, messages, schema, self.config)
        with self._lock:
            if self._given_up:
                raise AutointerpError("given up", "run it again to go on")
            known = self.ledger.find(key)
            if known is not None:
                if not known.text:
                    raise AskFailed(known.error)
                return known.text
            if self._max_calls is not None and self.calls >= self._max_calls:
                raise BudgetReached(f"stopped at {self.calls} calls", "raise --max-calls and run again to go on")
            self.calls += 1
            mine = _Waiting(messages if self.kind == "shapes-vlm" else with_schema(messages, schema))
            self._queue.append(mine)
        started = time.monotonic()
        # Whoever gets the turn answers for all that wait; the others find theirs done.
        while not mine.done:
            with self._turn:
                if not mine.done:
                    if self._given_up:
                        raise AutointerpError("given up", "run it again to go on")
                    self._answer_some()
        if mine.error is not None:
            raise mine.error
        assert mine.completion is not None
        made = mine.completion
        problem = "" if made.finished and made.text.strip() else "empty answer" if made.finished else "answer cut off"
        answer = "" if problem else made.text
        took = 1000 * (time.monotonic() - started)
        tokens = made.input_tokens, made.output_tokens
        self.ledger.record([CallRecord(key, purpose, self.model, answer, problem, *tokens, None, took)])
        if problem:
            raise AskFailed(problem)
        return answer

    def reject(self, messages: list[Message], schema: dict[str, Any], error: str) -> None:
        """Note that the answer to a request cannot be used, and why: who asks afresh is not given it again."""
        self.ledger.reject(request_hash(self.model, self.base_url, messages, schema, self.config), error)

    def bear(self, jobs: int) -> None:
        """Nothing to know: a batch takes what waits."""

    def give_up(self) -> None:
        """Begin no new batch: whoever waits for one fails."""
        with self._lock:
            self._given_up = True

    def _answer_some(self) -> None:
        with self._lock:
            some, self._queue = self._queue[: self._batch], self._queue[self._batch :]
        try:
            found = self.vlm.complete([one.messages for one in some], self._max_tokens)
            for one, completion in zip(some, found, strict=True):
                one.completion = completion
        except BaseException as error:
            for one in some:
                one.error = _memory(self.model, len(some)) if is_out_of_memory(error) else error
        finally:
            for one in some:
                one.done = True


def _memory(name: str, batch: int) -> AutointerpError:
    smaller = "fewer requests at once (-j)" if batch > 1 else "fewer pictures, a smaller model"
    return AutointerpError(f"not enough memory for {batch} requests to {name}", f"try {smaller}, or another --device")


def _unusable(name: str, error: Exception, local_files_only: bool) -> AutointerpError:
    meant = refusal(error, name, "vision-language model", local_files_only=local_files_only)
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


def _images(messages: Sequence[Message]) -> list[Image.Image]:
    found = []
    for message in messages:
        if isinstance(message["content"], str):
            continue
        for part in message["content"]:
            if part["type"] == "image":
                found.append(part["image"].convert("RGB"))
            elif part["type"] == "image_url":
                found.append(_decoded(part["image_url"]["url"]))
    return found


def _decoded(uri: str) -> Image.Image:
    from PIL import Image, UnidentifiedImageError

    head, _, data = uri.partition(";base64,")
    try:
        if not head.startswith("data:image/"):
            raise ValueError("it is no data URI of an image")
        with Image.open(io.BytesIO(base64.b64decode(data, validate=True))) as picture:
            return picture.convert("RGB")
    except (ValueError, binascii.Error, UnidentifiedImageError, OSError) as error:
        raise UsageError(f"an image cannot be read: {error}", "send pictures as data URIs") from error
