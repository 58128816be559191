"""The form of a reply that says what tells features apart, beside those that shapes-vlm is kept to as it is shipped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from typing_extensions import override

from autointerp.shapes.reply_form import ReplyForm
from training.shapes.vlm_text import DIFFERENCE, END_OF_APART, MOST_OTHERS, NEXT_SAME, RENAMED, SAME

LONGEST = 10
"""The most tokens of a difference, and of a name."""


class ApartForm(ReplyForm):
    """The tokens that may come next in a reply to the request that tells features apart; see `ReplyForm`."""

    def __init__(self, tokenizer: Any) -> None:
        super().__init__(tokenizer)
        vocabulary: dict[str, int] = tokenizer.get_vocab()
        self._id |= {piece: vocabulary[piece] for piece in (SAME, DIFFERENCE, RENAMED, END_OF_APART)}
        self._numbers = [vocabulary[piece] for piece in ("1", *NEXT_SAME)]
        self._first = [vocabulary[str(n)] for n in range(1, MOST_OTHERS + 1)]

    @override
    def allowed(self, reply: Sequence[int]) -> frozenset[int]:
        """Numbers in ascending order, then a difference and a name, of which either may be empty."""
        if not reply:
            return frozenset((self._id[SAME],))
        if self._id[END_OF_APART] in reply:
            return frozenset((self._end_of_text,))
        for piece, then in ((RENAMED, END_OF_APART), (DIFFERENCE, RENAMED)):
            if self._id[piece] in reply:
                length = len(reply) - 1 - reply.index(self._id[piece])
                return self._texts(reply, length, LONGEST, [self._id[then]])
        if len(reply) == 1:
            return frozenset((*self._first, self._id[DIFFERENCE]))
        last = (self._first if len(reply) == 2 else self._numbers).index(reply[-1])
        return frozenset((*self._numbers[last + 1 :], self._id[DIFFERENCE]))

    @override
    def closing(self, reply: Sequence[int]) -> str | None:
        """Return None: such a reply has nothing that nobody reads."""
        return None
