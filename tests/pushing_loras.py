"""A workspace, and a LoRA of which it is known which features of its dictionary must fire otherwise.

The model is a tiny Stable Diffusion. The LoRA's down-projection reads the mean of what `proj_out` of the middle block
is given, so that its up-projection adds nearly the same vector in every cell: one along the directions of two features,
and against that of a third one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from autointerp.diffusion.model import Model
from autointerp.experiments.subjects import loaded, pictures_of, stored_dictionary
from autointerp.project.context import Context
from autointerp.project.workspace import WorkspaceFolder
from tests.conftest import call
from tests.diffusion import tiny
from tests.diffusion.helpers import captured_of, loaded as loaded_model
from tests.diffusion.lora_files import save_lora

NAME = "tiny.mid.topk"
IMAGES = 16
BLOCK = "mid_block.attentions.0"
STRENGTH = 0.9
"""Length of the vector that is added, in root mean squares of the activations' lengths."""


@dataclass(frozen=True)
class PushingLora:
    """The workspace, the LoRA, and what it pushes.

    Attributes:
        workspace: A workspace with a labeled dictionary of the model without the LoRA.
        file: The LoRA.
        pushed: Features of `NAME` by what the LoRA must do to them: `new`, `more` and `gone`.
    """

    workspace: Path
    file: Path
    pushed: Mapping[str, int]


def push_features(folder: Path) -> PushingLora:
    """Make the workspace, and the LoRA beside it."""
    model = tiny.save(tiny.sd, folder / "tiny", capture_steps=[1], steps=2)
    workspace = folder / "w"
    workspace.mkdir()
    words = ("red circle", "blue star", "large circle", "night background")
    (workspace / "prompts.txt").write_text("\n".join(f"{w} {n}" for n in range(16) for w in words), encoding="utf-8")
    settings = [f'model = "{model}"', 'prompts = "prompts.txt"', 'labeler = "prompts"', 'embedder = "shapes-clip"']
    settings += [f"images = {IMAGES}", f"fit_images = {IMAGES}", "batch_size = 8", 'dtype = "float32"']
    settings += ["[dictionary]", "latents = 96", "k = 4", "buffer = 256"]
    (workspace / "autointerp.toml").write_text("\n".join(settings), encoding="utf-8")
    done = call("-w", workspace, "-q", "label", "--layer", "mid")
    assert done.code == 0, done.err
    base, given = loaded_model(model), list[torch.Tensor]()
    out = base.pipeline.unet.get_submodule(f"{BLOCK}.proj_out")
    out.register_forward_pre_hook(lambda _module, args: given.append(args[0].mean((0, 2, 3))))
    acts, fired, directions = firing_of(workspace, base)
    share, pictures = fired.sum(0) / len(acts), (fired > 0).sum(0)
    pushed = {"new": int(share.argmin()), "more": int((share - 1 / 8).abs().argmin()), "gone": int(pictures.argmax())}
    assert share[pushed["new"]] == 0
    # The shortest vector with these products with the three directions, which may be alike.
    vector = torch.linalg.pinv(directions[list(pushed.values())]) @ torch.tensor([1.0, 1.0, -1.0])
    vector *= STRENGTH * acts.square().sum(1).mean().sqrt() / vector.norm()
    mean = torch.stack(given).mean(0)
    # Two equal ranks add the vector together, where the input is its mean.
    ranks = {"lora_A": (mean / mean.square().sum()).repeat(2, 1), "lora_B": vector[:, None].repeat(1, 2) / 2}

    def fill(name: str, weight: torch.Tensor) -> torch.Tensor:
        return ranks["lora_A" if "lora_A" in name else "lora_B"].reshape(weight.shape)

    file = save_lora(base.pipeline, folder / "style", [f"{BLOCK}.proj_out"], fill=fill)
    return PushingLora(workspace, file, pushed)


def firing_of(workspace: Path, model: Model) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What the dictionary finds in the pictures that a comparison generates, by hand.

    Returns:
        Activations [cells of all pictures, d_in], the cells of each picture in which each latent fires [pictures,
        num_latents], and the dictionary's directions [num_latents, d_in].
    """
    ctx = Context(WorkspaceFolder(workspace))
    row = stored_dictionary(ctx, "mid", None)
    dictionary = loaded(ctx, row, "cpu")
    read, _ = captured_of(
        model, [ctx.layer_of(row)], (1,), ctx.generation, jobs=pictures_of(ctx, IMAGES), batch_size=8, decode=False
    )
    ctx.workspace.close()
    acts = torch.cat([one.acts for one in read])
    fired = torch.zeros(IMAGES, row.num_latents)
    for picture, cells in enumerate(acts):
        code = dictionary.encode(cells, 1)
        fired[picture].index_add_(0, code.latent_indices.flatten(), (code.latent_acts > 0).flatten().float())
    return acts.flatten(0, 1), fired, dictionary.directions
