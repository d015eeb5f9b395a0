"""Tiny pretrained models with random weights, in the library's own format, and tiny sounds and films."""

import io
import wave
from pathlib import Path

import numpy as np
import torch
import transformers as library
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

WORDS = ["a red lamp of glass", "a blue mug", "an oak chair for the hall", "query: passage:"]
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}


def tokenizer(folder: Path, **special) -> library.PreTrainedTokenizerFast:
    """Of bytes, so that it reads every script."""
    pieces = Tokenizer(models.BPE(unk_token="<unk>"))
    pieces.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    names = ["<pad>", "<unk>", "<s>", "</s>"]
    pieces.train_from_iterator(
        WORDS, trainers.BpeTrainer(vocab_size=300, special_tokens=names, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    )
    pieces.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 2), ("</s>", 3)])
    made = library.PreTrainedTokenizerFast(tokenizer_object=pieces, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    made.model_max_length = 32
    made.save_pretrained(folder)
    return made


def saved(folder: Path, model, *beside) -> str:
    """The folder of a model with random weights, and of what prepares its inputs."""
    for part in (model, *beside):
        part.save_pretrained(folder)
    return str(folder)


def bert(folder: Path) -> str:
    torch.manual_seed(0)
    words = tokenizer(folder)
    return saved(folder, library.BertModel(library.BertConfig(vocab_size=len(words), max_position_embeddings=40, pad_token_id=0, **SMALL)))


def vit(folder: Path) -> str:
    torch.manual_seed(0)
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    config = library.ViTConfig(image_size=32, patch_size=8, **SMALL)
    return saved(folder, library.ViTModel(config), ViTImageProcessorPil(size={"height": 32, "width": 32}))


def dinov2(folder: Path) -> str:
    torch.manual_seed(0)
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    config = library.Dinov2Config(image_size=32, patch_size=8, **SMALL)
    return saved(folder, library.Dinov2Model(config), ViTImageProcessorPil(size={"height": 32, "width": 32}))


def resnet(folder: Path) -> str:
    torch.manual_seed(0)
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    config = library.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    return saved(folder, library.ResNetModel(config), ViTImageProcessorPil(size={"height": 32, "width": 32}))


def _two_towers(words, vision):
    text = {**SMALL, "vocab_size": len(words), "max_position_embeddings": 32, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    return {"text_config": text, "vision_config": {**SMALL, "image_size": 32, "patch_size": 8, **vision}}


def clip(folder: Path) -> str:
    torch.manual_seed(0)
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    config = library.CLIPConfig(projection_dim=12, **_two_towers(tokenizer(folder), {"projection_dim": 12}))
    pictures = CLIPImageProcessorPil(size={"height": 32, "width": 32}, do_center_crop=False)
    return saved(folder, library.CLIPModel(config), pictures)


def siglip(folder: Path) -> str:
    torch.manual_seed(0)
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    config = library.SiglipConfig(**_two_towers(tokenizer(folder), {}))
    return saved(folder, library.SiglipModel(config), SiglipImageProcessorPil(size={"height": 32, "width": 32}))


def wav2vec(folder: Path) -> str:
    torch.manual_seed(0)
    config = library.Wav2Vec2Config(conv_dim=(8, 8), conv_stride=(10, 8), conv_kernel=(10, 8), num_conv_pos_embeddings=4,
                                    num_conv_pos_embedding_groups=2, num_feat_extract_layers=2, **SMALL)  # fmt: skip
    return saved(folder, library.Wav2Vec2Model(config), library.Wav2Vec2FeatureExtractor(return_attention_mask=True))


def whisper(folder: Path) -> str:
    torch.manual_seed(0)
    config = library.WhisperConfig(
        vocab_size=64, num_mel_bins=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=16, decoder_ffn_dim=16, d_model=16, max_source_positions=50, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        decoder_start_token_id=1, suppress_tokens=None, begin_suppress_tokens=None,
    )  # fmt: skip
    return saved(folder, library.WhisperModel(config), library.WhisperFeatureExtractor(feature_size=16, chunk_length=1))


def clap(folder: Path) -> str:
    torch.manual_seed(0)
    audio = {"spec_size": 32, "patch_size": 4, "patch_stride": [4, 4], "num_mel_bins": 16, "hidden_size": 16, "patch_embeds_hidden_size": 8,
             "depths": [1, 1], "num_attention_heads": [2, 2], "window_size": 4, "projection_dim": 12, "enable_fusion": False}  # fmt: skip
    text = {**SMALL, "vocab_size": 64, "projection_dim": 12, "pad_token_id": 1}
    extractor = library.ClapFeatureExtractor(feature_size=16, sampling_rate=8_000, max_length_s=1, fft_window_size=256, hop_length=128,
                                             frequency_max=4_000, truncation="rand_trunc", padding="repeatpad")  # fmt: skip
    return saved(folder, library.ClapModel(library.ClapConfig(projection_dim=12, audio_config=audio, text_config=text)), extractor)


def videomae(folder: Path) -> str:
    torch.manual_seed(0)
    from transformers.models.videomae.image_processing_pil_videomae import VideoMAEImageProcessorPil

    config = library.VideoMAEConfig(image_size=32, patch_size=8, num_frames=4, tubelet_size=2, **SMALL)
    pictures = VideoMAEImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    return saved(folder, library.VideoMAEModel(config), pictures)


def tone(path: Path, pitch: float, seconds: float = 0.5, rate: int = 8_000) -> Path:
    """A WAV file of one pitch."""
    samples = np.sin(2 * np.pi * pitch * np.arange(int(seconds * rate)) / rate)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples * 20_000).astype(np.int16).tobytes())
    return path


def film(path: Path, colors, side: int = 48, rate: int = 8) -> Path:
    """An MP4 of one frame for each color."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width = stream.height = side
        stream.pix_fmt = "yuv420p"
        for color in colors:
            frame = av.VideoFrame.from_ndarray(np.full((side, side, 3), color, dtype=np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def content(picture) -> bytes:
    """A picture's file."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
