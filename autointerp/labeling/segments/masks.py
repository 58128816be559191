"""Masks of the things in boxes: SAM of transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from autointerp.labeling.segments.loading import commit_of, loading

if TYPE_CHECKING:
    from PIL import Image

Corners = tuple[float, float, float, float]
"""(left, top, right, bottom) in pixels."""


class BoxSegmenter:
    """Finds the pixels of the thing in each box of a picture.

    Args:
        model: `SamModel`.
        processor: `SamProcessor`.
        name: Name of the model, with its commit.
    """

    def __init__(self, model: Any, processor: Any, name: str) -> None:
        self.name = name
        self._model, self._processor = model.eval(), processor

    @classmethod
    def load(cls, name: str, device: str = "cpu", local_files_only: bool = False) -> BoxSegmenter:
        """Load a segmenter from a folder or the hub.

        Raises:
            AutointerpError: It is not there, cannot be fetched, or is no SAM.
        """
        with loading(name, "segmenter", ("sam",), local_files_only) as where:
            from transformers import AutoImageProcessor, SamModel, SamProcessor

            model = SamModel.from_pretrained(name, **where).to(device)
            processor = SamProcessor(AutoImageProcessor.from_pretrained(name, **where))
            return cls(model, processor, f"{name}@{commit_of(name, model)}")

    def masks(self, picture: Image.Image, boxes: Sequence[Corners]) -> np.ndarray:
        """Return the mask of the thing in each box, bool [boxes, height, width]."""
        import torch

        if not boxes:
            return np.zeros((0, picture.height, picture.width), bool)
        given = self._processor(picture.convert("RGB"), input_boxes=[[list(box) for box in boxes]], return_tensors="pt")
        device = next(self._model.parameters()).device
        inputs = {key: given[key].to(device, _dtype(given[key])) for key in ("pixel_values", "input_boxes")}
        with torch.inference_mode():
            answer = self._model(**inputs, multimask_output=False)
        masks = self._processor.post_process_masks(
            answer.pred_masks.cpu(), given["original_sizes"].tolist(), given["reshaped_input_sizes"].tolist()
        )
        return np.asarray(masks[0][:, 0].numpy(), bool)


def _dtype(tensor: Any) -> Any:
    """Return the dtype that the model takes: the processor gives boxes in double precision."""
    import torch

    return torch.float32 if tensor.is_floating_point() else tensor.dtype


def cells_of(masks: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Return the cells of which at least half lies in a mask.

    Args:
        masks: bool [n, height, width].
        grid: Rows and columns.

    Returns:
        bool [n, rows, cols].
    """
    if not len(masks):
        return np.zeros((0, *grid), bool)
    import torch
    from torch.nn.functional import interpolate

    shares = interpolate(torch.from_numpy(masks.astype(np.float32))[None], size=grid, mode="area")[0]
    return np.asarray((shares >= 0.5).numpy())
