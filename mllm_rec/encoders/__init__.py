"""Encoders: one modality of a catalog in, one vector per item out. All say what determines their output; some can be trained with a system."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mllm_rec.data.catalog import Catalog
from mllm_rec.data.features import Features
from mllm_rec.data.files import atomic
from mllm_rec.encoders.store import Store
from mllm_rec.errors import InputError

if TYPE_CHECKING:
    from torch import nn


class Encoder:
    """Base of every encoder.

    ``encode`` learns what has to be learned from the catalog (a vocabulary, a scale) and gives its features; what was
    learned is the encoder's *state*, kept by ``save`` so that a query can later be encoded into the same space.

    Class attributes:
        name: names the encoder in its spec and its state file.
        queries: what ``encode_query`` understands: ``"words"``, ``"picture"``, both, or nothing.
        trainable: has a ``module`` that can be trained with a system.

    Attributes:
        problems: rows that had something to encode and could not be encoded, with the reason; of the last ``encode``.
    """

    name: ClassVar[str]
    queries: ClassVar[tuple[str, ...]] = ()
    trainable: ClassVar[bool] = False

    def __init__(self) -> None:
        self.problems: list[tuple[int, str]] = []

    def spec(self) -> dict[str, Any]:
        """Everything but the catalog that determines the output, ready for JSON."""
        raise NotImplementedError

    @classmethod
    def from_spec(cls, spec: dict[str, Any]) -> "Encoder":
        """The encoder a spec describes; one that it builds on stands there made, under ``of``."""
        raise NotImplementedError

    def encode(self, catalog: Catalog, store: Store | None = None, progress: bool = False) -> Features:
        """Features of every item.

        Args:
            catalog: the items.
            store: where results are kept between runs; None keeps none.
            progress: show a progress bar on standard error.
        """
        raise NotImplementedError

    def encode_new(self, catalog: Catalog, store: Store | None = None, progress: bool = False) -> Features:
        """Features of items that came later, in the space that ``encode`` made or ``restore`` took up: nothing is learned anew.

        Raises:
            InputError: this encoder can't.
        """
        raise InputError(f"'{self.name}' has no features of items that came later; 'mllm-rec update W --retrain' makes all anew")

    def encode_query(self, query: Any) -> np.ndarray:
        """``(width,)`` float32 vector of a query, in the space of the features; zero where it says nothing we know.

        Raises:
            InputError: the encoder understands no such query, or it was not yet fitted by ``encode`` or loaded.
        """
        raise InputError(f"the encoder '{self.name}' understands no queries; only items have its features")

    def module(self) -> "nn.Module | None":
        """The trainable part with its present weights: ``inputs`` to features, row by row; None: the encoder is frozen."""
        return None

    def inputs(self, catalog: Catalog, store: Store | None = None, progress: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """What ``module()`` reads of every item, ``(num_items, ...)``, and which items have it, ``(num_items,)`` bool.

        Raises:
            InputError: the encoder is frozen.
        """
        raise InputError(f"the encoder '{self.name}' is frozen; there is nothing to train")

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """What was learned from the catalog: arrays by name, and values for JSON."""
        return {}, {}

    def restore(self, arrays: dict[str, np.ndarray], values: dict[str, Any]) -> None:
        """Take up what ``state`` gave."""

    def save(self, path: Path) -> None:
        """Write the state, atomically, as safetensors with its values in the metadata."""
        from safetensors.numpy import save_file

        arrays, values = self.state()
        said = {"encoder": self.name, "spec": self.spec(), "values": values}
        metadata = {"said": json.dumps(said, sort_keys=True)}  # one entry: safetensors writes several in no fixed order
        with atomic(path) as temporary:
            # an empty safetensors file is legal, but the array keeps its reader simple
            save_file({**arrays, "format": np.ones(1, dtype=np.int32)}, temporary, metadata=metadata)


def usual_encoders() -> dict[str, type[Encoder]]:
    """What encodes each modality where nothing is said; needs nothing but a catalog."""
    from mllm_rec.encoders.attributes import Attributes
    from mllm_rec.encoders.image import Image
    from mllm_rec.encoders.text import Text

    return {encoder.name: encoder for encoder in (Attributes, Text, Image)}


def _known() -> dict[str, type[Encoder]]:
    """Every encoder by name."""
    from mllm_rec.encoders.models import AudioModel, ImageModel, TextModel, VideoFrames, VideoModel
    from mllm_rec.encoders.projection import Projected
    from mllm_rec.encoders.published import Published
    from mllm_rec.encoders.squeezenet import SqueezeNet
    from mllm_rec.encoders.trainable import CNN, GRU, Pixels, TextCNN, TrainedProjection
    from mllm_rec.encoders.word_vectors import WordVectors

    models = (TextModel, ImageModel, AudioModel, VideoModel, VideoFrames)
    others = (*models, WordVectors, SqueezeNet, Projected, Published, Pixels, CNN, TextCNN, GRU, TrainedProjection)
    return {**usual_encoders(), **{encoder.name: encoder for encoder in others}}


def encoder_of_spec(spec: Mapping[str, Any], further: Sequence[type[Encoder]] = ()) -> Encoder:
    """The encoder that a spec describes, as this version makes it.

    Args:
        spec: of an encoder.
        further: encoders that are known besides those of this package.

    Raises:
        InputError: no encoder, or one that this version makes differently.
    """
    known = _known() | {encoder.name: encoder for encoder in further}
    if spec.get("encoder") not in known:
        raise InputError(f"there is no encoder {spec.get('encoder')!r}; there are {', '.join(known)}")
    inner = {"of": encoder_of_spec(spec["of"], further)} if "of" in spec else {}
    encoder = known[spec["encoder"]].from_spec({**spec, **inner})
    if encoder.spec() != spec:
        changed = [name for name in spec if encoder.spec().get(name) != spec[name]]
        raise InputError(f"it was made with other {', '.join(changed) or 'settings'}; build the features again")
    return encoder


def load_encoder(path: Path, further: Sequence[type[Encoder]] = ()) -> Encoder:
    """The encoder that ``save`` wrote, ready for queries.

    Args:
        path: the file.
        further: see ``encoder_of_spec``.

    Raises:
        InputError: not an encoder's state, or one that this version makes differently.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            said = json.loads((file.metadata() or {}).get("said", "{}"))
            arrays = {name: file.get_tensor(name) for name in file.keys() if name != "format"}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is not an encoder's state ({error}); build the features again") from error
    try:
        encoder = encoder_of_spec(said.get("spec", {}), further)
    except InputError as error:
        raise InputError(f"{path} can't be loaded: {error}") from error
    encoder.restore(arrays, said["values"])
    return encoder
