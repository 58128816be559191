"""VLMs of real classes of transformers with random weights, made without a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autointerp.labeling.asking.local_vlm import LocalVlm


@dataclass(frozen=True)
class Size:
    """How large a model is: widths and layers of its eyes and of its language model, and a picture's side in pixels."""

    width: int
    layers: int
    side: int


TINY, SMALL = Size(32, 2, 64), Size(256, 6, 224)
_PATCH = 16


def _tokenizer(*tokens: str) -> Any:
    from training.shapes.vlm_text import new_tokenizer

    tokenizer = new_tokenizer()
    if tokens:
        tokenizer.add_special_tokens({"additional_special_tokens": list(tokens)})
    return tokenizer


def _eyes(size: Size) -> dict[str, Any]:
    heads = size.width // 16
    return {
        "hidden_size": size.width,
        "intermediate_size": 4 * size.width,
        "num_hidden_layers": size.layers,
        "num_attention_heads": heads,
        "image_size": size.side,
        "patch_size": _PATCH,
    }


def _language(size: Size, tokenizer: Any) -> dict[str, Any]:
    heads = size.width // 16
    return {
        "hidden_size": size.width,
        "intermediate_size": 3 * size.width,
        "num_hidden_layers": size.layers,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 8192,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
    }


def _vlm(model: Any, processor: Any, name: str) -> LocalVlm:
    from autointerp.labeling.asking.local_vlm import LocalVlm

    model.generation_config.eos_token_id = processor.tokenizer.eos_token_id
    processor.tokenizer.padding_side = "left"
    return LocalVlm(model, processor, name)


def llava(size: Size) -> LocalVlm:
    """A LLaVA: CLIP's eyes, a Llama, and all patches of a picture."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor

    from training.shapes.clip import image_processor
    from training.shapes.vlm_text import CHAT_TEMPLATE, IMAGE

    tokenizer = _tokenizer()
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**_eyes(size), projection_dim=size.width),
        text_config=LlamaConfig(**_language(size, tokenizer)),
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        image_seq_length=(size.side // _PATCH) ** 2,
    )
    processor = LlavaProcessor(
        image_processor(size.side),
        tokenizer,
        patch_size=_PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT_TEMPLATE,
    )
    return _vlm(LlavaForConditionalGeneration(config), processor, "random LLaVA")


def idefics3(size: Size) -> LocalVlm:
    """An Idefics3, of which SmolVLM is one: SigLIP's eyes, four patches a token, and words around each picture."""
    from transformers import (
        Idefics3Config,
        Idefics3ForConditionalGeneration,
        Idefics3ImageProcessorPil,
        Idefics3Processor,
    )

    from training.shapes.vlm_text import CHAT_TEMPLATE

    places = (f"<row_{row + 1}_col_{col + 1}>" for row in range(6) for col in range(6))
    tokenizer = _tokenizer("<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>", *places)
    config = Idefics3Config(
        vision_config=_eyes(size),
        text_config={"model_type": "llama", **_language(size, tokenizer)},
        scale_factor=2,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        pad_token_id=tokenizer.pad_token_id,
    )
    longest = {"longest_edge": size.side}
    images = Idefics3ImageProcessorPil(do_image_splitting=False, size=longest, max_image_size=longest)
    tokens = (size.side // _PATCH) ** 2 // 4
    processor = Idefics3Processor(images, tokenizer, image_seq_len=tokens, chat_template=CHAT_TEMPLATE)
    return _vlm(Idefics3ForConditionalGeneration(config), processor, "random Idefics3")


CLASSES: dict[str, Callable[[Size], LocalVlm]] = {"LLaVA": llava, "Idefics3": idefics3}
