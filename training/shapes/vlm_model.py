"""The model of shapes-vlm: a LLaVA of transformers' own classes, with heads that only its training needs."""

from __future__ import annotations

from typing import Any

import torch

from autointerp.shapes.scenes import ATTRIBUTES, POSITIONS
from training.shapes.clip import PATCH_CLASSES, image_processor
from training.shapes.phrases import PATCHES
from training.shapes.vlm_features import TOKENS, WORDS
from training.shapes.vlm_text import CHAT_TEMPLATE, IMAGE

SIDE = 96
"""Pixels of a picture's side as the eyes get it: all that the world has, twice what shapes-clip is shown of a crop."""
CONCEPT_WORDS = (*(word for values in ATTRIBUTES.values() for word in values), "object", *POSITIONS)
"""Words that concepts are made of."""
MARKED_CLASSES = tuple(len(ATTRIBUTES[name]) + (name == "part") for name in ATTRIBUTES)


def new_vlm(tokenizer: Any, width: int = 128, layers: int = 4) -> Any:
    """An untrained LLaVA: the eyes of shapes-clip's size, a Llama of `layers` layers."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    vision = CLIPVisionConfig(
        hidden_size=128,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=4,
        image_size=SIDE,
        patch_size=SIDE // PATCHES,
        hidden_act="gelu",
        projection_dim=128,
    )
    language = LlamaConfig(
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=width // 32,
        num_key_value_heads=width // 32,
        vocab_size=len(tokenizer),
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=language,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        image_seq_length=TOKENS,
        tie_word_embeddings=True,
    )
    config.pad_token_id, config.eos_token_id = tokenizer.pad_token_id, tokenizer.eos_token_id
    return LlavaForConditionalGeneration(config)


def new_processor(tokenizer: Any) -> Any:
    """Images and messages to what the model takes."""
    from transformers import LlavaProcessor

    return LlavaProcessor(
        image_processor(SIDE),
        tokenizer,
        patch_size=SIDE // PATCHES,
        vision_feature_select_strategy="full",
        num_additional_image_tokens=1,
        chat_template=CHAT_TEMPLATE,
    )


def reading_head(width: int, classes: int) -> torch.nn.Module:
    """A head that reads a layer of any scale, and that asks nothing of it before it has learned to read."""
    head = torch.nn.Linear(width, classes)
    torch.nn.init.zeros_(head.weight)
    return torch.nn.Sequential(torch.nn.LayerNorm(width), head)


class VlmModule(torch.nn.Module):
    """The model, with heads that only training needs.

    On the eyes, what is marked and what a picture shows; within the language model, what it must find out on its way
    to an answer. Answers alone teach that slowly: a reply has a few words, a question has hundreds of places.
    """

    def __init__(self, tokenizer: Any, concepts: int) -> None:
        super().__init__()
        self.vlm = new_vlm(tokenizer)
        width = self.vlm.config.vision_config.hidden_size
        self.norm = torch.nn.LayerNorm(width)
        self.marked = torch.nn.Linear(width, sum(MARKED_CLASSES) + len(POSITIONS))
        self.shows = torch.nn.Linear(width, concepts)
        self.patches = torch.nn.Linear(width, sum(PATCH_CLASSES))
        width = self.vlm.config.text_config.hidden_size
        self.counted = reading_head(width, len(WORDS))
        self.common = reading_head(width, len(CONCEPT_WORDS) + 1)
        self.fits = reading_head(width, 1)

    @property
    def eyes(self) -> torch.nn.Module:
        """The vision tower."""
        return self.vlm.model.vision_tower
