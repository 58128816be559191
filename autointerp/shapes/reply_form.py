"""The forms of a reply that shapes-vlm was taught, kept token by token while it writes.

A model of this size sometimes writes one piece of a reply in place of another, and the answer cannot be read. So at
each token it chooses only among those that keep the reply readable, as a server does that is given a schema. It also
writes a word in the place of the one before, `on edge edge of objects`; so no word follows itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

NAME, EXPLANATION = '{"name": "', '", "explanation": "'
INTERPRETABLE, NOT = '", "interpretable": true, "confidence": ', '", "interpretable": false, "confidence": '
FIRST_PART, END_OF_PARTS = ', "parts": ["1: ', '"]}'
ANSWERS = '{"answers": ['
VERDICTS = ("true", "false", ", true", ", false")
TENTHS = tuple(f"{n / 10:.1f}" for n in range(11))
MOST_PARTS = 20
NEXT_PARTS = tuple(f'", "{n}: ' for n in range(2, MOST_PARTS + 1))
"""The pieces of a reply, each of them one token."""
LONGEST = {NAME: 10, EXPLANATION: 24, FIRST_PART: 9}
"""The most tokens of a name, an explanation and a part: longer than taught, and short enough for a whole reply."""


class ReplyForm:
    """The tokens that may come next in a reply, to a labeler's prompt or to a judge's.

    Args:
        tokenizer: The tokenizer of shapes-vlm.
    """

    def __init__(self, tokenizer: Any) -> None:
        vocabulary: dict[str, int] = tokenizer.get_vocab()
        self._end_of_text = int(tokenizer.eos_token_id)
        self._id = {
            piece: vocabulary[piece]
            for piece in (NAME, EXPLANATION, INTERPRETABLE, NOT, FIRST_PART, END_OF_PARTS, ANSWERS, *TENTHS)
        }
        self._id |= {piece: vocabulary[piece] for piece in (*VERDICTS, "]", "}")}
        self._parts = [self._id[FIRST_PART], *(vocabulary[piece] for piece in NEXT_PARTS)]
        # Answers of a judge are no words of a name.
        special = {*tokenizer.all_special_ids, *(self._id[piece] for piece in VERDICTS)}
        said = {i: tokenizer.decode([i]) for i in vocabulary.values() if i not in special}
        kept_out = set('"\\{}[]\N{REPLACEMENT CHARACTER}')
        kept = (i for i, text in said.items() if text.strip() and text.isprintable() and not set(text) & kept_out)
        self._text = frozenset(kept)
        following = {text[1:]: i for i, text in said.items() if text[:1] == " " and text[1:].isalpha()}
        self._again = {i: following[text.strip()] for i, text in said.items() if text.strip() in following}
        self._text_or: dict[tuple[int | None, ...], frozenset[int]] = {}

    def allowed(self, reply: Sequence[int]) -> frozenset[int]:
        """Return the ids that may follow those of a reply so far."""
        if not reply:
            return frozenset((self._id[NAME], self._id[ANSWERS]))
        if self._end_of_text in reply:
            return frozenset((self._end_of_text,))
        return self._of_judge(reply) if reply[0] == self._id[ANSWERS] else self._of_labeler(reply)

    def closing(self, reply: Sequence[int]) -> str | None:
        """Return the text that ends a label's reply after its confidence: nobody reads the parts, which come last."""
        return "}" if reply and reply[0] == self._id[NAME] and self._is_tenth(reply, len(reply) - 1) else None

    def _of_judge(self, reply: Sequence[int]) -> frozenset[int]:
        last = reply[-1]
        if last == self._id[ANSWERS]:
            return frozenset((self._id["true"], self._id["false"]))
        if last == self._id["]"]:
            return frozenset((self._id["}"],))
        if last == self._id["}"]:
            return frozenset((self._end_of_text,))
        more = [self._id[", true"], self._id[", false"]] if len(reply) <= MOST_PARTS else []
        return frozenset((*more, self._id["]"]))

    def _of_labeler(self, reply: Sequence[int]) -> frozenset[int]:
        at = max(i for i, token in enumerate(reply) if token not in self._text or self._is_tenth(reply, i))
        last, length = reply[at], len(reply) - 1 - at
        if last == self._id[NAME]:
            return self._texts(reply, length, LONGEST[NAME], [self._id[EXPLANATION]])
        if last == self._id[EXPLANATION]:
            named = reply[1] != self._id[EXPLANATION]
            then = [self._id[INTERPRETABLE if named else NOT]]
            return self._texts(reply, length, LONGEST[EXPLANATION], then if length else [])
        if last in (self._id[INTERPRETABLE], self._id[NOT]):
            return frozenset(self._id[tenth] for tenth in TENTHS)
        if last in self._parts:
            part = self._parts.index(last) + 1
            then = [self._id[END_OF_PARTS], *self._parts[part : part + 1]]
            return self._texts(reply, length, LONGEST[FIRST_PART], then if length else [])
        return frozenset((self._end_of_text if last == self._id[END_OF_PARTS] else self._id[FIRST_PART],))

    def _is_tenth(self, reply: Sequence[int], at: int) -> bool:
        """Return whether a token is the confidence."""
        return at > 0 and reply[at - 1] in (self._id[INTERPRETABLE], self._id[NOT])

    def _texts(self, reply: Sequence[int], length: int, longest: int, then: Sequence[int]) -> frozenset[int]:
        """Return the ids of words that may follow a text of so many tokens, and of what may follow its end."""
        if length >= longest:
            return frozenset(then)
        again = self._again.get(reply[-1]) if length else None
        # A set keeps its hash, so that the same set is found quickly among a batch's masks.
        return self._text_or.setdefault((again, *then), self._text.union(then) - {again})
