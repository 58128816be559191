"""States of modules as tokens, and back: the forms that several families share."""

from __future__ import annotations

from typing import Any

from autointerp.errors import AutointerpError


def as_tokens(states: Any) -> Any:
    """Return states [batch, tokens, width] as they are, and [batch, width, rows, cols] as tokens, row by row.

    Any other object gives None.
    """
    if not hasattr(states, "shape") or states.ndim not in (3, 4):
        return None
    return states.flatten(2).transpose(1, 2) if states.ndim == 4 else states


def states_like(tokens: Any, states: Any) -> Any:
    """Return tokens [batch, tokens, width] in the form and dtype of `states`: the inverse of `as_tokens`."""
    import torch

    # Keep the memory format too: in another one, later sums may be taken in another order.
    new: Any = torch.empty_like(states)
    return new.copy_(tokens.transpose(1, 2).reshape(states.shape) if states.ndim == 4 else tokens)


def with_first_states(output: Any, tokens: Any) -> Any:
    """Return a module's output, a tensor or a tuple that begins with one, with other tokens in the first tensor.

    A skip connection that is the same tensor changes with it.
    """
    if not isinstance(output, tuple):
        return states_like(tokens, output)
    old, new = output[0], states_like(tokens, output[0])

    def changed(part: Any) -> Any:
        if isinstance(part, tuple):
            return tuple(changed(inner) for inner in part)
        return new if part is old else part

    return tuple(changed(part) for part in output)


def with_last_tokens(output: Any, image: Any) -> Any:
    """Return a block's output with other image tokens: (text, image), or [batch, tokens, width] with the text first."""
    if isinstance(output, tuple):
        return output[0], image.to(output[1].dtype)
    changed = output.clone()
    changed[:, output.shape[1] - image.shape[1] :] = image
    return changed


def same_shape(before: Any, after: Any) -> Any:
    """Return `before` where it has the shape of `after`, else None."""
    return before if before is not None and before.shape == after.shape else None


def unknown_form(what: str) -> AutointerpError:
    """Return the error for a module whose tokens come in no known form."""
    return AutointerpError(
        f"{what} returned tokens in a form that is not known",
        "this version of diffusers is not supported; install the one in constraints.txt",
    )
