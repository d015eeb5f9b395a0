"""Any pretrained model in the form transformers saves it, as a frozen encoder: one class for each modality.

A model is loaded when there is something new to encode, and never for what the store keeps.
"""

import io
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from typing import Any, ClassVar, Self

import numpy as np

from mllm_rec.data.catalog import Catalog
from mllm_rec.data.pictures import opened
from mllm_rec.encoders.content import ContentEncoder, Source, files, in_threads, queried_picture, where_readable
from mllm_rec.encoders.hub import check_whole, chosen_device, content_of, fetched, loading
from mllm_rec.encoders.media import frames_of, sound_of
from mllm_rec.encoders.text import item_texts
from mllm_rec.errors import InputError

#: Longest side that pictures are decoded at, pixels; models look at less.
_SIDE = 512


class ModelEncoder(ContentEncoder):
    """A frozen model: pooled output of its last layer; on a GPU if there is one.

    Class attributes:
        processor: name of transformers' class that prepares inputs.
        poolings: where the outputs of a sequence may be pooled.

    Args:
        model: folder, or name on the hub.
        pooling: ``mean`` over the sequence or ``cls``, its first token; None: as suits the model.
        batch_size: contents in one forward pass.

    Raises:
        InputError: no such model, or no weights in safetensors.
    """

    processor: ClassVar[str]
    poolings: ClassVar[tuple[str, ...]] = ("mean", "cls")

    def __init__(self, model: str, pooling: str | None = None, batch_size: int = 32):
        super().__init__(batch_size)
        if pooling not in (None, *self.poolings):
            raise InputError(f"pooling '{pooling}' is not known; choose one of {', '.join(self.poolings)}")
        self.model, self.pooling, self.device = str(model), pooling, chosen_device(None)
        self.folder = fetched(self.model, "an encoder is named by a model's folder or hub name")

    def spec(self) -> dict[str, Any]:
        """Model, its weights' content, pooling, and the library that runs it."""
        settings = {"model": self.model, "pooling": self.pooling}
        return {"encoder": self.name, "version": 1, **settings, "weights": self._content, "transformers": version("transformers")}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Self:
        """The encoder a spec describes."""
        return cls(spec["model"], spec["pooling"])

    @property
    def embedded_width(self) -> int:
        """Width of the model's output; 1 where nothing was encoded, and so nothing loaded."""
        return 1

    @cached_property
    def config(self) -> Any:
        """The model's configuration."""
        from transformers import AutoConfig

        with loading(f"'{self.model}' can't be read as a model"):
            return AutoConfig.from_pretrained(self.folder, trust_remote_code=False)

    @cached_property
    def prepare(self) -> Any:
        """What prepares the model's inputs.

        Raises:
            InputError: it can't be loaded.
        """
        import transformers

        with loading(f"'{self.model}' has nothing that prepares its inputs"):
            return getattr(transformers, self.processor).from_pretrained(self.folder, trust_remote_code=False)

    @cached_property
    def loaded(self) -> Any:
        """The model, ready on its device.

        Raises:
            InputError: it can't be loaded, or weights are missing.
        """
        import torch
        from transformers import AutoModel

        with loading(f"'{self.model}' can't be loaded as an encoder"):
            model, found = AutoModel.from_pretrained(
                self.folder,
                trust_remote_code=False,
                use_safetensors=True,
                dtype="auto" if self.device != "cpu" else torch.float32,
                output_loading_info=True,
            )
        check_whole(self.model, found["missing_keys"])
        return model.to(torch.device(self.device)).eval()

    def pooled(self, model: Any, **inputs: Any) -> Any:
        """``(batch, width)``: the output of a model whose last layer is a sequence or a map."""
        output = model(**inputs)
        hidden = output.last_hidden_state
        if hidden.ndim == 4:  # (batch, channels, height, width)
            return hidden.mean((2, 3))
        if (self.pooling or self._usual(model)) == "cls":
            return hidden[:, 0]
        mask = inputs.get("attention_mask")
        if mask is None or mask.shape != hidden.shape[:2]:
            return hidden.mean(1)
        weights = mask[:, :, None].to(hidden.dtype)
        return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)

    def run(self, inputs: Mapping[str, Any]) -> np.ndarray:
        """``(batch, width)`` float32 of prepared inputs."""
        import torch

        model = self.loaded
        with torch.inference_mode():
            moved = {name: value.to(model.device) for name, value in inputs.items()}
            moved = {name: value.to(model.dtype) if value.is_floating_point() else value for name, value in moved.items()}
            return self.output(model, moved).float().cpu().numpy()

    def output(self, model: Any, inputs: dict[str, Any]) -> Any:
        """``(batch, width)`` of a model on its inputs."""
        return self.pooled(model, **inputs)

    def opened(self, content: bytes) -> Any:
        """What the processor takes of one content.

        Raises:
            ValueError: it can't be read; the message says why.
        """
        raise NotImplementedError

    def prepared(self, read: list[Any]) -> Mapping[str, Any]:
        """Inputs of the model for a batch of what ``opened`` gave."""
        raise NotImplementedError

    def embed(self, contents: Sequence[bytes]) -> Iterable[np.ndarray | Exception]:
        """One forward pass over the batch; a content that can't be read takes no part in it."""
        return where_readable(in_threads(self.opened, contents), lambda good: self.run(self.prepared(good)))

    @cached_property
    def _content(self) -> Any:
        return content_of(self.model, self.folder)

    def _usual(self, model: Any) -> str:
        """``cls`` for a model that has a token for the whole."""
        return "cls" if any(name.endswith(("cls_token", "class_embedding")) for name, _ in model.named_parameters()) else "mean"


class TextModel(ModelEncoder):
    """Words by a language model's encoder, through sentence-transformers: title, texts and values of attributes as one text.

    What the model's folder says of pooling, prefixes, further layers and scaling is done.

    Args:
        pooling: ``mean``, ``cls``, ``max``, ``lasttoken``; None: as the folder says, else the mean.
        query, passage: prefixes of what is searched with and of what is found; None: as the folder says.
        model, batch_size: see ``ModelEncoder``.
    """

    name = "text-model"
    queries = ("words",)
    unit = "text"
    poolings = ("mean", "cls", "max", "lasttoken")

    def __init__(
        self,
        model: str,
        pooling: str | None = None,
        query: str | None = None,
        passage: str | None = None,
        batch_size: int = 32,
    ):
        super().__init__(model, pooling, batch_size)
        self.query, self.passage = query, passage

    def spec(self) -> dict[str, Any]:
        """See ``ModelEncoder``; with the prefixes."""
        return {**super().spec(), "query": self.query, "passage": self.passage, "sentence-transformers": version("sentence-transformers")}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Self:
        """The encoder a spec describes."""
        return cls(spec["model"], spec["pooling"], spec["query"], spec["passage"])

    def sources(self, catalog: Catalog) -> list[Source | None]:
        """What is written about each item."""
        return [text or None for text in item_texts(catalog)]

    @cached_property
    def loaded(self) -> Any:
        """The sentence encoder.

        Raises:
            InputError: it can't be loaded, or weights are missing.
        """
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer.modules import Pooling

        with loading(f"'{self.model}' can't be loaded as an encoder of text"):
            model = SentenceTransformer(
                str(self.folder),
                device=self.device,
                trust_remote_code=False,
                local_files_only=True,
                model_kwargs={"use_safetensors": True},
            )
        # sentence-transformers doesn't tell what was missing; what came from the file is marked
        check_whole(self.model, [name for name, one in model[0].named_parameters() if not getattr(one, "_is_hf_initialized", False)])
        if self.pooling is not None:
            model[1] = Pooling(model[1].embedding_dimension, self.pooling)
        return model

    def embed(self, contents: Sequence[bytes]) -> Iterable[np.ndarray | Exception]:
        """One forward pass over the batch."""
        return self._vectors([content.decode() for content in contents], self.passage, "passage", "document")

    def encode_query(self, query: str) -> np.ndarray:
        """``(width,)`` float32 vector of words; zero where nothing is said."""
        said = str(query).strip()
        vector = self._vectors([said], self.query, "query")[0]
        return vector if said else np.zeros_like(vector)

    def _vectors(self, texts: list[str], prefix: str | None, *names: str) -> np.ndarray:
        """``(len(texts), width)`` float32, after the prefix that is given or that the model has under one of ``names``."""
        model = self.loaded
        prompt = next((model.prompts[name] for name in names if model.prompts.get(name)), "") if prefix is None else prefix
        found = model.encode(texts, prompt=prompt, batch_size=self.batch_size, show_progress_bar=False, convert_to_numpy=True)
        return np.asarray(found, dtype=np.float32)


class ImageModel(ModelEncoder):
    """Pictures by a vision model: ViT, DINOv2, ResNet, Swin, CLIP, SigLIP, ...

    A model with a text tower beside the picture tower (CLIP, SigLIP) puts words among the pictures too.
    """

    name = "image-model"
    unit = "picture"
    processor = "AutoImageProcessor"

    @property
    def queries(self) -> tuple[str, ...]:  # type: ignore[override]
        """Pictures, and words where the model has a text tower."""
        return ("picture", "words") if self._two_towers else ("picture",)

    @property
    def _two_towers(self) -> bool:
        return hasattr(self.config, "text_config") and hasattr(self.config, "vision_config")

    def sources(self, catalog: Catalog) -> list[Source | None]:
        """The pictures."""
        return files(catalog, "image")

    def opened(self, content: bytes) -> Any:
        """The picture, RGB."""
        return opened(content, _SIDE)

    def prepared(self, read: list[Any]) -> Mapping[str, Any]:
        """Pixels."""
        return {"pixel_values": self.prepare(images=read, return_tensors="pt")["pixel_values"]}

    def output(self, model: Any, inputs: dict[str, Any]) -> Any:
        """Pooled output; the picture tower's projection where the model has a text tower beside it."""
        if self._two_towers:
            return _tensor(model.get_text_features(**inputs) if "input_ids" in inputs else model.get_image_features(**inputs))
        return self.pooled(model, **inputs)

    def encode_query(self, query: Any) -> np.ndarray:
        """``(width,)`` float32 vector of a picture, open or as the bytes of its file, or of words where the model reads words.

        Raises:
            InputError: the picture can't be read.
        """
        if isinstance(query, str):
            return self._words(query)
        return self.run(self.prepared([queried_picture(query, _SIDE)]))[0]

    @cached_property
    def tokenizer(self) -> Any:
        """What prepares words for the text tower."""
        from transformers import AutoTokenizer

        with loading(f"'{self.model}' has nothing that prepares its words"):
            return AutoTokenizer.from_pretrained(self.folder, trust_remote_code=False)

    def _words(self, said: str) -> np.ndarray:
        if "words" not in self.queries:
            return super().encode_query(said)
        longest = self.config.text_config.max_position_embeddings
        return self.run(self.tokenizer([said], padding="max_length", truncation=True, max_length=longest, return_tensors="pt"))[0]


class AudioModel(ModelEncoder):
    """Sounds by an audio model: CLAP, Whisper's encoder, wav2vec 2.0, HuBERT, ...

    Args:
        seconds: of a sound that are listened to, from its beginning.
        model, pooling, batch_size: see ``ModelEncoder``.
    """

    name = "audio-model"
    unit = "sound"
    processor = "AutoFeatureExtractor"

    def __init__(self, model: str, pooling: str | None = None, seconds: float = 30.0, batch_size: int = 8):
        super().__init__(model, pooling, batch_size)
        self.seconds = seconds

    def spec(self) -> dict[str, Any]:
        """See ``ModelEncoder``; with the seconds."""
        return {**super().spec(), "seconds": self.seconds}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Self:
        """The encoder a spec describes."""
        return cls(spec["model"], spec["pooling"], spec["seconds"])

    def sources(self, catalog: Catalog) -> list[Source | None]:
        """The sounds."""
        return files(catalog, "audio")

    def opened(self, content: bytes) -> np.ndarray:
        """``(samples,)`` float32, one channel, at the model's rate."""
        return sound_of(io.BytesIO(content), self.prepare.sampling_rate, self.seconds)

    def prepared(self, read: list[Any]) -> Mapping[str, Any]:
        """Waveforms or spectrograms, as the model takes them."""
        extractor = self.prepare
        return extractor(read, sampling_rate=extractor.sampling_rate, return_tensors="pt")

    def embed(self, contents: Sequence[bytes]) -> Iterable[np.ndarray | Exception]:
        """One forward pass over the batch where the model cuts every sound to one length; else one for each sound, for padding is heard."""
        if hasattr(self.prepare, "chunk_length") or hasattr(self.prepare, "max_length_s"):
            return super().embed(contents)
        return [one for content in contents for one in super(AudioModel, self).embed([content])]

    def output(self, model: Any, inputs: dict[str, Any]) -> Any:
        """Pooled output of the encoder; CLAP's projection where the model has a text tower beside it."""
        if hasattr(model, "get_audio_features"):
            return _tensor(model.get_audio_features(**inputs))
        return self.pooled(model.get_encoder() if model.config.is_encoder_decoder else model, **inputs)


class VideoModel(ModelEncoder):
    """Films by a video model (VideoMAE, ...): frames at equal distances, as many as the model takes."""

    name = "video-model"
    unit = "film"
    processor = "AutoImageProcessor"

    def sources(self, catalog: Catalog) -> list[Source | None]:
        """The films."""
        return files(catalog, "video")

    def opened(self, content: bytes) -> list[Any]:
        """Frames, RGB."""
        return frames_of(io.BytesIO(content), self.config.num_frames, _SIDE)

    def prepared(self, read: list[Any]) -> Mapping[str, Any]:
        """Pixels ``(batch, frames, 3, height, width)``."""
        import torch

        prepare = self.prepare
        frames = [prepare(list(film), return_tensors="pt")["pixel_values"].flatten(0, -4) for film in read]
        return {"pixel_values": torch.stack(frames)}


class VideoFrames(ContentEncoder):
    """Films by an encoder of pictures: the mean over frames at equal distances.

    Args:
        image: encodes a frame.
        frames: looked at of each film.
        batch_size: films kept together.
    """

    name = "video-frames"
    unit = "film"

    def __init__(self, image: ImageModel, frames: int = 8, batch_size: int = 4):
        super().__init__(batch_size)
        self.image, self.frames = image, frames

    def spec(self) -> dict[str, Any]:
        """The picture encoder's spec, and how many frames it sees."""
        return {"encoder": self.name, "version": 1, "frames": self.frames, "image": self.image.spec()}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "VideoFrames":
        """The encoder a spec describes."""
        return cls(ImageModel.from_spec(spec["image"]), spec["frames"])

    @property
    def embedded_width(self) -> int:
        """See ``ModelEncoder``."""
        return 1

    def sources(self, catalog: Catalog) -> list[Source | None]:
        """The films."""
        return files(catalog, "video")

    def embed(self, contents: Sequence[bytes]) -> Iterable[np.ndarray | Exception]:
        """Each film in one forward pass."""
        films = in_threads(lambda content: frames_of(io.BytesIO(content), self.frames, _SIDE), contents)
        return [film if isinstance(film, Exception) else self.image.run(self.image.prepared(film)).mean(0) for film in films]


def _tensor(found: Any) -> Any:
    """The pooled output, which some versions of a model wrap."""
    return getattr(found, "pooler_output", found)
