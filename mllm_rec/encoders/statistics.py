"""A picture in numbers: color, texture and shape of what stands out from its background, and where colors lie."""

import io

import numpy as np
import PIL.Image
from PIL import ImageOps

from mllm_rec.data.pictures import MOST_PIXELS, on_white

#: Pictures are looked at in this many pixels a side; another aspect ratio is squeezed, and kept as a number.
SIDE = 128
#: What is said of a picture, and in how many numbers.
BLOCKS = {"color": 35, "layout": 49, "pattern": 102, "texture": 36, "shape": 800, "outline": 800}

_HUES, _GRAYS, _RINGS, _WEDGES = 12, 5, 6, 8
#: Power of noise of one gray step in every pixel: a surface without a pattern has less.
_NOISE = float(SIDE**4) / 255**2
_Y, _X = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j].astype(np.float32)
#: The middle of a picture counts most, its edges little.
_MIDDLE = np.exp(-2 * (_X**2 + _Y**2))


def pixels(source: "bytes | PIL.Image.Image") -> tuple[np.ndarray, float]:
    """A picture as ``(SIDE, SIDE, 3)`` uint8 RGB, upright, on white where it is transparent; and its width to height.

    Args:
        source: the bytes of a file in any format that Pillow reads, or an open picture.

    Raises:
        OSError, ValueError, or whatever else Pillow's readers raise on a broken file.
    """
    image = PIL.Image.open(io.BytesIO(source)) if isinstance(source, bytes) else source
    if (
        image.width * image.height > MOST_PIXELS // 8
    ):  # a big JPEG is decoded at a part of its size; smaller ones whole, as a program shows them
        image.draft("RGB", (4 * SIDE, 4 * SIDE))
    if image.width * image.height > MOST_PIXELS:
        raise ValueError(f"{image.width} x {image.height} pixels; at most {MOST_PIXELS:,} are read")
    image = ImageOps.exif_transpose(image)
    aspect = image.width / image.height
    return np.asarray(on_white(image).resize((SIDE, SIDE), PIL.Image.Resampling.BOX, reducing_gap=3.0)), aspect


def describe(source: "bytes | PIL.Image.Image") -> np.ndarray:
    """The blocks of a picture one after the other, ``(sum(BLOCKS.values()),)`` float32."""
    blocks = statistics(*pixels(source))
    return np.concatenate([blocks[name] for name in BLOCKS]).astype(np.float32)


def statistics(rgb: np.ndarray, aspect: float) -> dict[str, np.ndarray]:
    """The numbers of each block of ``BLOCKS``.

    Args:
        rgb: ``(SIDE, SIDE, 3)`` uint8.
        aspect: width to height of the picture.
    """
    from skimage.color import rgb2lab

    lab = rgb2lab(rgb.astype(np.float32) / 255) / np.array([100, 50, 50], dtype=np.float32)
    light, figure = np.ascontiguousarray(lab[..., 0]), _figure(lab)
    weight = figure * _MIDDLE
    return {
        "color": _color(lab, weight),
        "layout": np.append(_halved(lab, 5), np.log(aspect)),
        "pattern": _spectrum(light, weight),
        "texture": _texture(light, weight),
        "shape": _gradients(_halved(lab)),
        "outline": _gradients(_halved(figure)[..., None]),
    }


def _halved(image: np.ndarray, times: int = 1) -> np.ndarray:
    """An image of half the side, ``times`` times: each pixel the mean of four."""
    for _ in range(times):
        image = (image[::2, ::2] + image[1::2, ::2] + image[::2, 1::2] + image[1::2, 1::2]) / 4
    return image


def _figure(lab: np.ndarray) -> np.ndarray:
    """``(SIDE, SIDE)`` in [0, 1]: how far each pixel is from the background that its row has at the left and the right edge."""
    edge = SIDE // 24
    left, right = np.median(lab[:, :edge], axis=1), np.median(lab[:, -edge:], axis=1)
    across = np.linspace(0, 1, SIDE, dtype=np.float32)[None, :, None]
    distance = np.sqrt(((lab - (left[:, None] * (1 - across) + right[:, None] * across)) ** 2).sum(axis=2))
    return np.clip(distance / 0.25, 0, 1) ** 2


def _color(lab: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Hues, weighted by saturation and in two lightnesses, grays, and mean and spread in Lab."""
    total = weight.sum() + 1e-6
    saturation = np.minimum(1, np.hypot(lab[..., 1], lab[..., 2]) / 0.5)
    place = (np.arctan2(lab[..., 2], lab[..., 1]) / (2 * np.pi) % 1) * _HUES
    low = np.floor(place).astype(int)
    part, bright = place - low, (lab[..., 0] > 0.55) * _HUES
    colored = weight * saturation
    hues = np.bincount((low % _HUES + bright).ravel(), (colored * (1 - part)).ravel(), 2 * _HUES)
    hues += np.bincount(((low + 1) % _HUES + bright).ravel(), (colored * part).ravel(), 2 * _HUES)
    gray = np.clip(lab[..., 0] * _GRAYS, 0, _GRAYS - 1).astype(int)
    grays = np.bincount(gray.ravel(), (weight * (1 - saturation)).ravel(), _GRAYS)
    mean = (lab * weight[..., None]).sum(axis=(0, 1)) / total
    spread = np.sqrt((((lab - mean) ** 2) * weight[..., None]).sum(axis=(0, 1)) / total)
    return np.concatenate([np.sqrt(hues / total), np.sqrt(grays / total), mean, spread])


def _spectrum(light: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Where the figure's lightness repeats: power by wavelength (rings) and direction (wedges), and how peaked it is."""
    inside = weight > 0.15
    mean = light[inside].mean() if inside.any() else light.mean()
    power = np.abs(np.fft.fftshift(np.fft.fft2((light - mean) * inside)))[_CELLS_AT] ** 2
    cells = np.bincount(_CELLS, power, _RINGS * _WEDGES).reshape(_RINGS, _WEDGES)
    peaks = np.maximum.reduceat(power, _RING_STARTS) / (cells.sum(axis=1) + _NOISE)
    shares = np.sqrt(cells / (cells.sum() + _NOISE))
    # sorted wedges say "stripes" whatever their direction
    return np.concatenate([shares.ravel(), np.sort(shares, axis=1)[:, ::-1].ravel(), np.sqrt(peaks)])


def _frequencies() -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray, np.ndarray]:
    """Of the frequencies in a ring, ring by ring: where they lie in a spectrum, cell of each, and where each ring begins."""
    y, x = np.indices((SIDE, SIDE)) - SIDE // 2
    ring = np.digitize(np.hypot(x, y), np.geomspace(3, SIDE // 2, _RINGS + 1)) - 1
    wedge = np.minimum(_WEDGES - 1, (np.mod(np.arctan2(y, x), np.pi) / np.pi * _WEDGES).astype(int))
    places = np.nonzero((ring >= 0) & (ring < _RINGS))
    order = np.argsort(ring[places], kind="stable")
    at = (places[0][order], places[1][order])
    return at, (ring * _WEDGES + wedge)[at], np.searchsorted(ring[at], np.arange(_RINGS))


_CELLS_AT, _CELLS, _RING_STARTS = _frequencies()


def _texture(light: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Local binary patterns at three scales (Ojala et al., TPAMI 2002), and contrast over three distances, of the figure."""
    from skimage.feature import local_binary_pattern

    total = weight.sum() + 1e-6
    contrasts = [np.sqrt((weight * (light - np.roll(light, shift, axis)) ** 2).sum() / total) for shift in (1, 3, 8) for axis in (0, 1)]
    numbers = []
    for _ in range(3):
        codes = local_binary_pattern((np.clip(light, 0, 1) * 255).astype(np.uint8), 8, 1, "uniform")
        numbers.append(np.sqrt(np.bincount(codes.astype(int).ravel(), weight.ravel(), 10) / (weight.sum() + 1e-6)))
        light, weight = _halved(light), _halved(weight)
    return np.concatenate([*numbers, contrasts])


def _gradients(image: np.ndarray) -> np.ndarray:
    """Histograms of oriented gradients in 6 x 6 cells (Dalal and Triggs, CVPR 2005)."""
    from skimage.feature import hog

    return np.sqrt(hog(image, 8, (10, 10), (2, 2), block_norm="L2-Hys", channel_axis=2))
