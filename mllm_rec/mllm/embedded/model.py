"""The embedded model, new: a LLaVA with a convolutional tower and a small language model, tokenizer and processor included."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

#: How the model reads a conversation: its picture, and the words after it. It was trained on exactly this.
TEMPLATE = (
    "<s>{% for message in messages %}{% if message['role'] != 'system' %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{% if message['role'] == 'user' %}{{ '\\n' }}{% endif %}{% endif %}{% endfor %}"
)


@dataclass(frozen=True)
class Size:
    """Sizes of a new model."""

    side: int = 192  #: pixels a side that a picture is shrunk to
    #: channels of the stages of each path through the tower, the finest first
    paths: tuple[tuple[int, ...], ...] = ((16, 32, 64), (32, 64, 128, 192), (32, 64, 128))
    dim: int = 128  #: width of the language model
    layers: int = 2
    heads: int = 4
    vocabulary: int = 1024  #: tokens, at most

    @property
    def patch(self) -> int:
        """Pixels a side that a token stands for."""
        return max(2 ** (shrunk + len(widths)) for shrunk, widths in enumerate(self.paths))

    @property
    def tokens(self) -> int:
        """Tokens of a picture."""
        return (self.side // self.patch) ** 2


def new_processor(texts: Iterable[str], size: Size) -> Any:
    """A processor whose tokenizer learned its pieces from ``texts``."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlavaProcessor, PreTrainedTokenizerFast
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    pieces = Tokenizer(models.BPE())
    pieces.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    pieces.decoder = decoders.ByteLevel()
    special = ["<pad>", "<s>", "</s>", "<image>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    pieces.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=size.vocabulary, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=pieces,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        extra_special_tokens={"image_token": "<image>"},
        padding_side="left",
    )
    pictures = CLIPImageProcessorPil(
        size={"height": size.side, "width": size.side}, do_center_crop=False, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )
    return LlavaProcessor(
        pictures,
        tokenizer,
        patch_size=size.patch,
        vision_feature_select_strategy="full",
        num_additional_image_tokens=0,
        image_token="<image>",
        chat_template=TEMPLATE,
    )


def new_model(processor: Any, size: Size) -> Any:
    """A model with random weights for a processor."""
    from transformers import LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    from mllm_rec.mllm.embedded.tower import ConvTokensConfig

    tokenizer = processor.tokenizer
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=size.dim,
        intermediate_size=size.dim * 8 // 3,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=max(1, size.heads // 2),
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    config = LlavaConfig(  # type: ignore[call-arg]
        vision_config=ConvTokensConfig(paths=size.paths, image_size=size.side),
        text_config=text,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        image_seq_length=size.tokens,
        tie_word_embeddings=True,
    )
    return LlavaForConditionalGeneration(config)
