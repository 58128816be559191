"""The forms of a reply that shapes-vlm was taught, kept token by token while it writes.

A model of this size now and then writes a piece of a reply in the place of another, and an answer is then of no use. So
at each token it may choose only among those that keep the reply readable, as servers do that are given a schema.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

NAME, EXPLANATION = '{"name": "', '", "explanation": "'
INTERPRETABLE, NOT = '", "interpretable": true, "confidence": ', '", "interpretable": false, "confidence": '
FIRST_PART, END_OF_PARTS = ', "parts": ["1: ', '"]}'
ANSWERS = '{"answers": ['
TENTHS = tuple(f"{n / 10:.1f}" for n in range(11))
MOST_PARTS = 20
NEXT_PARTS = tuple(f'", "{n}: ' for n in range(2, MOST_PARTS + 1))
"""The pieces of a reply, each of them one token."""
LONGEST = {NAME: 10, EXPLANATION: 24, FIRST_PART: 9}
"""The most tokens of a name, an explanation and a part: more than it was taught, too few for a reply to be cut off."""


class ReplyForm:
    """Says which tokens may come next in a reply: to a labeling prompt, or to a judge's.

    Args:
        tokenizer: That of shapes-vlm.
    """

    def __init__(self, tokenizer: Any) -> None:
        vocabulary: dict[str, int] = tokenizer.get_vocab()
        self._end_of_text = int(tokenizer.eos_token_id)
        self._id = {
            piece: vocabulary[piece]
            for piece in (NAME, EXPLANATION, INTERPRETABLE, NOT, FIRST_PART, END_OF_PARTS, ANSWERS, *TENTHS)
        }
        self._id |= {piece: vocabulary[piece] for piece in ("true", "false", ", true", ", false", "]", "}")}
        self._parts = [self._id[FIRST_PART], *(vocabulary[piece] for piece in NEXT_PARTS)]
        special = set(tokenizer.all_special_ids)
        said = ((i, tokenizer.decode([i])) for i in vocabulary.values() if i not in special)
        kept_out = set('"\\{}[]\N{REPLACEMENT CHARACTER}')
        self._text = [i for i, text in said if text.strip() and text.isprintable() and not set(text) & kept_out]
        self._is_text = frozenset(self._text)

    def allowed(self, reply: Sequence[int]) -> list[int]:
        """The ids that may follow those of a reply so far."""
        if not reply:
            return [self._id[NAME], self._id[ANSWERS]]
        if self._end_of_text in reply:
            return [self._end_of_text]
        return self._of_judge(reply) if reply[0] == self._id[ANSWERS] else self._of_labeler(reply)

    def _of_judge(self, reply: Sequence[int]) -> list[int]:
        last = reply[-1]
        if last == self._id[ANSWERS]:
            return [self._id["true"], self._id["false"]]
        if last == self._id["]"]:
            return [self._id["}"]]
        if last == self._id["}"]:
            return [self._end_of_text]
        more = [self._id[", true"], self._id[", false"]] if len(reply) <= MOST_PARTS else []
        return [*more, self._id["]"]]

    def _of_labeler(self, reply: Sequence[int]) -> list[int]:
        at = max(i for i, token in enumerate(reply) if token not in self._is_text or self._is_tenth(reply, i))
        last, length = reply[at], len(reply) - 1 - at
        if last == self._id[NAME]:
            return self._texts(length, LONGEST[NAME], [self._id[EXPLANATION]])
        if last == self._id[EXPLANATION]:
            named = reply[1] != self._id[EXPLANATION]
            then = [self._id[INTERPRETABLE if named else NOT]]
            return self._texts(length, LONGEST[EXPLANATION], then if length else [])
        if last in (self._id[INTERPRETABLE], self._id[NOT]):
            return [self._id[tenth] for tenth in TENTHS]
        if last in self._parts:
            part = self._parts.index(last) + 1
            then = [self._id[END_OF_PARTS], *self._parts[part : part + 1]]
            return self._texts(length, LONGEST[FIRST_PART], then if length else [])
        return [self._end_of_text] if last == self._id[END_OF_PARTS] else [self._id[FIRST_PART]]

    def _is_tenth(self, reply: Sequence[int], at: int) -> bool:
        """Whether a token is the confidence."""
        return at > 0 and reply[at - 1] in (self._id[INTERPRETABLE], self._id[NOT])

    def _texts(self, length: int, longest: int, then: list[int]) -> list[int]:
        return then if length >= longest else [*self._text, *then]
