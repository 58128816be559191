"""Parts of tiny pipelines: text encoders, tokenizers, autoencoders and sizes that several builders share."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from benchmarks import pipelines

TEXT_WIDTH = 32
SIZE = 64
HEADS: dict[str, Any] = {"num_attention_heads": 2, "attention_head_dim": 16}
"""Two heads, 32 channels."""
STACK: dict[str, Any] = {**HEADS, "num_layers": 4}
"""One stack of blocks."""
TWO_STACKS: dict[str, Any] = {
    **HEADS,
    "in_channels": 16,
    "num_layers": 2,
    "num_single_layers": 4,
    "joint_attention_dim": TEXT_WIDTH,
    "axes_dims_rope": (4, 6, 6),
}
"""Double and single blocks, as FLUX.1 has them."""
PIXTRAL: dict[str, Any] = {
    "model_type": "pixtral",
    "image_size": 28,
    "patch_size": 14,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
}
"""The eyes of a language model, which texts do without."""


_FILES = tempfile.TemporaryDirectory()
"""A tokenizer of ChatGLM is a copy of a file, which has to be there when it is saved."""


def flow(**config: Any) -> Any:
    """A scheduler of flow matching."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    return FlowMatchEulerDiscreteScheduler(**config)


def clip_text(tokenizer: Any, projection: bool = False, width: int = TEXT_WIDTH) -> Any:
    """A CLIP text encoder of two layers for this tokenizer."""
    return pipelines.clip_text(tokenizer, width, projection, layers=2, heads=2)


def t5_text(tokenizer: Any, width: int = TEXT_WIDTH) -> Any:
    """A T5 encoder of one layer for this tokenizer."""
    return pipelines.t5_text(tokenizer, width, heads=2, head_width=16)


def autoencoder(channels: int = 4, levels: int = 4) -> Any:
    """A KL autoencoder that halves `levels` - 1 times, as full-size ones do."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=(8,) * levels,
        layers_per_block=1,
        latent_channels=channels,
        norm_num_groups=4,
        sample_size=SIZE,
        shift_factor=0.0,
    )


def waken(module: Any) -> Any:
    """Return a module whose gates and last layers are large enough for pictures to depend on the prompt.

    In an untrained transformer they are near zero.
    """
    with torch.no_grad():
        for name, weight in module.named_parameters():
            gate = ("norm" in name and weight.ndim == 2) or ".modulation." in name or "scale_shift" in name
            if gate or name.startswith(("proj_out", "final_", "adaLN_modulation")):
                weight.normal_(0, 0.1)
    return module


def small_autoencoder() -> Any:
    """An autoencoder without an encoding of its own that halves twice, as the small ones made for FLUX."""
    from diffusers import AutoencoderTiny

    widths = (8, 8, 8)
    return AutoencoderTiny(
        encoder_block_out_channels=widths,
        decoder_block_out_channels=widths,
        num_encoder_blocks=(1, 1, 1),
        num_decoder_blocks=(1, 1, 1),
        latent_channels=4,
        shift_factor=0.0,
    )


_CHAT = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{{ message['content'][0]['text'] }}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def chat_tokenizer(length: int = 1024) -> Any:
    """A byte-level tokenizer of the world's words, as Qwen's, with a chat template."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import Qwen2Tokenizer

    from training.shapes.tokenizers import world_words

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    how: dict[str, Any] = {"vocab_size": 2000, "min_frequency": 1, "show_progress": False, "initial_alphabet": alphabet}
    bpe.train_from_iterator([" " + " ".join(world_words())], trainers.BpeTrainer(**how))
    model = json.loads(bpe.to_str())["model"]
    merges = [tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in model["merges"]]
    tokenizer = Qwen2Tokenizer(vocab=model["vocab"], merges=merges, model_max_length=length)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = _CHAT
    return tokenizer


def marking_tokenizer() -> Any:
    """A byte-level tokenizer that marks the beginning of each text and pads in front, as GLM's."""
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    plain = chat_tokenizer()
    inner, mark = plain.backend_tokenizer, "<|im_start|>"
    marks = [(mark, plain.convert_tokens_to_ids(mark))]
    inner.post_processor = processors.TemplateProcessing(single=f"{mark} $A", special_tokens=marks)
    how = {"padding_side": "left", "pad_token": plain.pad_token, "model_max_length": plain.model_max_length}
    return PreTrainedTokenizerFast(tokenizer_object=inner, **how)


def language(tokenizer: Any, layers: int) -> dict[str, Any]:
    """Sizes of a small language model."""
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": TEXT_WIDTH,
        "intermediate_size": TEXT_WIDTH,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "pad_token_id": tokenizer.pad_token_id,
    }


def qwen3(tokenizer: Any, layers: int = 2, *, head: bool = False) -> Any:
    """A Qwen3."""
    from transformers import Qwen3Config, Qwen3ForCausalLM, Qwen3Model

    return (Qwen3ForCausalLM if head else Qwen3Model)(Qwen3Config(**language(tokenizer, layers)))


def qwen_vl(tokenizer: Any) -> Any:
    """A Qwen2.5-VL."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    sizes = {**language(tokenizer, 2), "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3]}}
    vision = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 1, "out_hidden_size": TEXT_WIDTH}
    return Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(text_config=sizes, vision_config=vision))


def qwen3_vl(tokenizer: Any, layers: int = 8) -> Any:
    """A Qwen3-VL, of as many layers as Nucleus-Image counts back from the last one."""
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    rope = {"rope_type": "default", "mrope_section": [4, 2, 2], "mrope_interleaved": True}
    sizes = {**language(tokenizer, layers), "rope_parameters": rope}
    vision: dict[str, Any] = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 1}
    vision |= {"out_hidden_size": TEXT_WIDTH, "deepstack_visual_indexes": [0], "num_position_embeddings": 16}
    return Qwen3VLForConditionalGeneration(Qwen3VLConfig(text_config=sizes, vision_config=vision))


def _text_processor() -> Any:
    """Make a class that stands in for Qwen3-VL's processor, and reads texts alone."""
    from transformers import ProcessorMixin

    class Qwen3VLProcessor(ProcessorMixin):  # type: ignore[misc]
        def __init__(self, tokenizer: Any = None, chat_template: Any = None) -> None:
            super().__init__(tokenizer, chat_template=chat_template)

        def __call__(self, text: Any = None, **how: Any) -> Any:  # One text is a batch of one.
            return super().__call__(text=text if isinstance(text, list) else [text], **how)

    Qwen3VLProcessor.__module__ = "transformers.models.qwen3_vl.processing_qwen3_vl"
    return Qwen3VLProcessor


def text_processor(tokenizer: Any) -> Any:
    """A processor that stands in for Qwen3-VL's; it is loaded `without_torchvision`."""
    return _text_processor()(tokenizer, chat_template=tokenizer.chat_template)


@contextmanager
def without_torchvision() -> Iterator[None]:
    """Let pipelines be loaded with a stand-in for Qwen3-VL's processor, which needs torchvision for pictures."""
    import transformers

    with pytest.MonkeyPatch.context() as patch:
        # The name is set in the module's own dictionary: to ask the module for it would import the real one.
        patch.setitem(vars(transformers), "Qwen3VLProcessor", _text_processor())
        yield


def glm_tokenizer() -> Any:
    """A tokenizer of ChatGLM over pieces of the world's words."""
    import sentencepiece
    from diffusers.pipelines.kolors import ChatGLMTokenizer

    from training.shapes.tokenizers import world_words

    prefix = f"{_FILES.name}/tokenizer"
    how: dict[str, Any] = {"vocab_size": 120, "model_type": "bpe", "minloglevel": 2, "hard_vocab_limit": False}
    words = iter([" ".join(world_words())] * 4)
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=words, model_prefix=prefix, **how)
    return ChatGLMTokenizer(f"{prefix}.model", model_max_length=1024)


def qwen_vae() -> Any:
    """The video autoencoder of Qwen-Image; it halves three times."""
    from diffusers import AutoencoderKLQwenImage

    return AutoencoderKLQwenImage(
        base_dim=8, z_dim=4, dim_mult=[1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True],
        latents_mean=[0.1, -0.1, 0.2, 0.0], latents_std=[1.5, 1.0, 2.0, 0.5],
    )  # fmt: skip
