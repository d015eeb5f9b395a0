"""SqueezeNet 1.0 from a file of its weights: a pretrained picture encoder of 5 MB.

Iandola et al. SqueezeNet: AlexNet-level accuracy with 50x fewer parameters. 2016. https://arxiv.org/abs/1602.07360
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mllm_rec.data.catalog import Catalog
from mllm_rec.data.files import digest
from mllm_rec.data.pictures import opened
from mllm_rec.encoders.content import ContentEncoder, Source, files, in_threads, queried_picture, where_readable
from mllm_rec.errors import InputError

_SIDE = 227
#: Means of blue, green and red that the network was trained with.
_MEAN = np.array([104.0, 117.0, 123.0], dtype=np.float32)
_FIRES = range(2, 10)
#: Fires after which the map is halved.
_HALVED = (4, 8)
WIDTH = 512


class SqueezeNet(ContentEncoder):
    """The mean of the last fire module's map, ``(512,)``.

    Args:
        weights: ``.npz`` file of ``LAYER/w`` ``(out, in, k, k)`` and ``LAYER/b`` ``(out,)``, with the layers ``conv1`` and
            ``fire2`` to ``fire9``, each of ``conv1x1_1`` (squeeze), ``conv1x1_2`` and ``conv3x3_2`` (expand).
        batch_size: pictures in one forward pass.

    Raises:
        InputError: no such file, or not these layers.
    """

    name = "squeezenet"
    queries = ("picture",)
    unit = "picture"

    def __init__(self, weights: Path | str, batch_size: int = 32):
        super().__init__(batch_size)
        self.path = Path(weights)
        if not self.path.is_file():
            raise InputError(f"there is no file {self.path} of SqueezeNet's weights")

    def spec(self) -> dict[str, Any]:
        """The file, and its content."""
        return {"encoder": self.name, "version": 1, "weights": str(self.path), "sha256": self._content}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "SqueezeNet":
        """The encoder a spec describes."""
        return cls(spec["weights"])

    @property
    def embedded_width(self) -> int:
        """Channels of the last fire module."""
        return WIDTH

    def sources(self, catalog: Catalog) -> list[Source | None]:
        """The pictures."""
        return files(catalog, "image")

    def embed(self, contents: Sequence[bytes]) -> list[np.ndarray | Exception]:
        """One forward pass over the batch."""
        read = in_threads(lambda content: pixels(opened(content, 2 * _SIDE)), contents)
        return where_readable(read, lambda good: self._forward(np.stack(good)))

    def encode_query(self, query: Any) -> np.ndarray:
        """``(512,)`` float32 vector of a picture, open or as the bytes of its file.

        Raises:
            InputError: it can't be read.
        """
        return self._forward(pixels(queried_picture(query, 2 * _SIDE))[None])[0]

    def _forward(self, pictures: np.ndarray) -> np.ndarray:
        """``(batch, 512)`` of ``(batch, 3, 227, 227)``."""
        import torch
        from torch.nn.functional import conv2d, max_pool2d, relu

        layers = self._layers

        def convolved(x, layer, **how):
            return relu(conv2d(x, *layers[layer], **how))

        def halved(x):
            return max_pool2d(x, 3, 2, ceil_mode=True)

        with torch.inference_mode():
            x = halved(convolved(torch.from_numpy(pictures), "conv1", stride=2))
            for fire in _FIRES:
                squeezed = convolved(x, f"fire{fire}/conv1x1_1")
                expanded = [convolved(squeezed, f"fire{fire}/conv1x1_2"), convolved(squeezed, f"fire{fire}/conv3x3_2", padding=1)]
                x = torch.cat(expanded, dim=1)
                x = halved(x) if fire in _HALVED else x
            return x.mean((2, 3)).numpy()

    @cached_property
    def _layers(self) -> dict[str, tuple[Any, Any]]:
        import torch

        names = ["conv1", *(f"fire{fire}/{part}" for fire in _FIRES for part in ("conv1x1_1", "conv1x1_2", "conv3x3_2"))]
        try:
            with np.load(self.path, allow_pickle=False) as file:
                return {name: (torch.from_numpy(file[f"{name}/w"]).float(), torch.from_numpy(file[f"{name}/b"]).float()) for name in names}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{self.path} can't be read as SqueezeNet 1.0: {error}; it needs LAYER/w and LAYER/b of {names[0]}, .."
            ) from error

    @cached_property
    def _content(self) -> str:
        return digest(self.path)


def pixels(picture: Image.Image) -> np.ndarray:
    """``(3, 227, 227)`` float32: blue, green, red, less their means."""
    squeezed = picture.resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
    return np.ascontiguousarray((np.asarray(squeezed, dtype=np.float32)[:, :, ::-1] - _MEAN).transpose(2, 0, 1))
