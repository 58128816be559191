"""Checks of the files beside the database: weights are those that were stored, and indexes hold what they should."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from autointerp.db import queries
from autointerp.errors import AutointerpError
from autointerp.files import sha256_of
from autointerp.search.index_file import read_index
from autointerp.stages.index.contents import CONTENTS

if TYPE_CHECKING:
    from autointerp.progress import Task
    from autointerp.project.context import Context


def check_weights(ctx: Context, bar: Task) -> Iterator[str]:
    """Yield the dictionaries whose weights cannot be read or have changed."""
    del bar
    with ctx.db.session() as session:
        for weights in queries.checks.weights_hashes(session):
            path = ctx.workspace.dictionary_dir(weights.dictionary) / "weights.safetensors"
            try:
                found = sha256_of(path)
            except OSError as error:
                yield f"the weights of {weights.dictionary} cannot be read: {path} ({error.strerror})"
                continue
            if found != weights.sha256:
                yield f"the weights of {weights.dictionary} in {path} are not those it was made with"


def check_indexes(ctx: Context, bar: Task) -> Iterator[str]:
    """Yield the indexes that cannot be read, or that hold other ids or contents than an index built now would."""
    del bar
    with ctx.db.session() as session:
        rows = queries.checks.indexes(session)
    for index, dictionary in rows:
        hint = f"`autointerp label --layer {dictionary.layer} --dictionary {dictionary.name}` rebuilds it"
        try:
            found = read_index(ctx.workspace.path / index.path)
        except AutointerpError as error:
            yield f"index {index.name}: {error.message}; {hint}"
            continue
        contents = CONTENTS[index.kind](ctx, dictionary)
        fingerprint = contents.fingerprint(index.embedder)
        if (found.fingerprint, index.content_hash) != (fingerprint,) * 2 or len(found) != index.count:
            yield f"index {index.name} is stale; {hint}"
        elif not found.holds(contents.rows()).all():
            yield f"index {index.name} does not hold the {index.kind} of its dictionary; {hint}"
