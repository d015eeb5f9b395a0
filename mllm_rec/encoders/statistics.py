"""A picture in numbers: color, texture and shape of the whole and of what stands out from its background."""

import io
from typing import Any

import numpy as np
import PIL.Image
from PIL import ImageOps

from mllm_rec.data.pictures import MOST_PIXELS

#: Pictures are looked at in this many pixels a side; another aspect ratio is squeezed, and kept as a number.
SIDE = 128
_HUES, _RINGS, _WEDGES = 12, 6, 8


def pixels(source: "bytes | PIL.Image.Image") -> tuple[np.ndarray, float]:
    """A picture as ``(SIDE, SIDE, 3)`` uint8 RGB, upright, on white where it is transparent; and its width to height.

    Args:
        source: the bytes of a file in any format that Pillow reads, or an open picture.

    Raises:
        OSError, ValueError, or whatever else Pillow's readers raise on a broken file.
    """
    image = PIL.Image.open(io.BytesIO(source)) if isinstance(source, bytes) else source
    if image.width * image.height > MOST_PIXELS // 8:  # a big JPEG is decoded at a part of its size; smaller ones whole, as a program shows them
        image.draft("RGB", (4 * SIDE, 4 * SIDE))
    if image.width * image.height > MOST_PIXELS:
        raise ValueError(f"{image.width} x {image.height} pixels; at most {MOST_PIXELS:,} are read")
    image = ImageOps.exif_transpose(image)
    aspect = image.width / image.height
    return np.asarray(_on_white(image).resize((SIDE, SIDE), PIL.Image.Resampling.BOX, reducing_gap=3.0)), aspect


def statistics(rgb: np.ndarray, aspect: float) -> dict[str, np.ndarray]:
    """Blocks of numbers, float64 each: ``color``, ``layout``, ``pattern``, ``texture``, ``shape``, ``outline``.

    Args:
        rgb: ``(SIDE, SIDE, 3)`` uint8.
        aspect: width to height of the picture.
    """
    from skimage.color import rgb2hsv, rgb2lab

    lab = rgb2lab(rgb) / [100.0, 50.0, 50.0]
    figure = _figure(lab)
    light = lab[..., 0]
    return {
        "color": np.concatenate([_color(rgb2hsv(rgb), lab, figure), 0.5 * _color(rgb2hsv(rgb), lab, np.ones_like(figure))]),
        "layout": lab.reshape(4, SIDE // 4, 4, SIDE // 4, 3).mean(axis=(1, 3)).ravel(),
        "pattern": _spectrum(light, figure),
        "texture": _texture(light, figure),
        "shape": _gradients(light),
        "outline": np.concatenate([_outline(figure), [np.log(aspect)]]),
    }


def _on_white(image: PIL.Image.Image) -> PIL.Image.Image:
    """RGB of a picture of any mode."""
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image, dtype=np.float64)
        most = 65_535.0 if image.mode.startswith("I;16") else max(1.0, float(np.nanmax(values)))
        return PIL.Image.fromarray((np.clip(np.nan_to_num(values) / most, 0, 1) * 255).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        return PIL.Image.alpha_composite(PIL.Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _figure(lab: np.ndarray) -> np.ndarray:
    """``(SIDE, SIDE)`` in [0, 1]: how far each pixel is from the background that its row has at the left and the right edge."""
    edge = SIDE // 24
    left, right = np.median(lab[:, :edge], axis=1), np.median(lab[:, -edge:], axis=1)
    across = np.linspace(0, 1, SIDE)[None, :, None]
    distance = np.sqrt(((lab - (left[:, None] * (1 - across) + right[:, None] * across)) ** 2).sum(axis=2))
    return np.clip(distance / 0.25, 0, 1) ** 2


def _color(hsv: np.ndarray, lab: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Hues, weighted by saturation and in two lightnesses, five grays, and mean and spread in Lab."""
    total = weight.sum() + 1e-6
    chroma = np.minimum(1, np.hypot(lab[..., 1], lab[..., 2]) / 0.5)
    place = hsv[..., 0] * _HUES
    low, part = np.floor(place).astype(int) % _HUES, place - np.floor(place)
    bright = (lab[..., 0] > 0.55).astype(int) * _HUES
    colored = weight * chroma
    hues = np.bincount((low + bright).ravel(), (colored * (1 - part)).ravel(), 2 * _HUES)
    hues += np.bincount(((low + 1) % _HUES + bright).ravel(), (colored * part).ravel(), 2 * _HUES)
    grays = np.bincount(np.minimum(4, (lab[..., 0] * 5).astype(int)).ravel(), (weight * (1 - chroma)).ravel(), 5)
    mean = (lab * weight[..., None]).sum(axis=(0, 1)) / total
    spread = np.sqrt((((lab - mean) ** 2) * weight[..., None]).sum(axis=(0, 1)) / total)
    return np.concatenate([np.sqrt(hues / total), np.sqrt(grays / total), mean, spread])


def _spectrum(light: np.ndarray, figure: np.ndarray) -> np.ndarray:
    """Where the figure's lightness repeats: power by wavelength (rings) and direction (wedges), and how peaked it is."""
    inside = figure > 0.3
    mean = light[inside].mean() if inside.any() else light.mean()
    power = np.abs(np.fft.fftshift(np.fft.fft2((light - mean) * inside))) ** 2
    y, x = np.indices(power.shape) - SIDE // 2
    radius, angle = np.hypot(x, y), np.mod(np.arctan2(y, x), np.pi)
    ring = np.digitize(radius, np.geomspace(3, SIDE // 2, _RINGS + 1)) - 1
    wedge = np.minimum(_WEDGES - 1, (angle / np.pi * _WEDGES).astype(int))
    valid = (ring >= 0) & (ring < _RINGS)
    cells = np.bincount((ring * _WEDGES + wedge)[valid], power[valid], _RINGS * _WEDGES).reshape(_RINGS, _WEDGES)
    peaks = np.array([power[ring == k].max() / (power[ring == k].sum() + 1e-9) for k in range(_RINGS)])
    shares = np.sqrt(cells / (cells.sum() + 1e-9))
    # sorted wedges say "stripes" whatever their direction
    return np.concatenate([shares.ravel(), np.sort(shares, axis=1)[:, ::-1].ravel(), np.sqrt(peaks)])


def _texture(light: np.ndarray, figure: np.ndarray) -> np.ndarray:
    """Local binary patterns at three distances, and contrast at three scales, of the figure."""
    from skimage.feature import local_binary_pattern

    gray = (np.clip(light, 0, 1) * 255).astype(np.uint8)
    total = figure.sum() + 1e-6
    histograms = [
        np.sqrt(np.bincount(local_binary_pattern(gray, 8, radius, "uniform").astype(int).ravel(), figure.ravel(), 10) / total) for radius in (1, 3, 6)
    ]
    contrasts = [np.sqrt((figure * (light - np.roll(light, shift, axis)) ** 2).sum() / total) for shift in (1, 3, 8) for axis in (0, 1)]
    return np.concatenate([*histograms, contrasts])


def _gradients(light: np.ndarray) -> np.ndarray:
    """Histograms of oriented gradients, cells of a sixth of the side (Dalal and Triggs, CVPR 2005)."""
    from skimage.feature import hog
    from skimage.transform import resize

    return np.sqrt(hog(resize(light, (96, 96), anti_aliasing=True), 8, (16, 16), (2, 2), block_norm="L2-Hys"))


def _outline(figure: np.ndarray) -> np.ndarray:
    """The figure's silhouette: share of each row and column, box, center, and Hu's moments."""
    from skimage.measure import moments_central, moments_hu, moments_normalized

    grid = figure.reshape(32, SIDE // 32, 32, SIDE // 32).mean(axis=(1, 3))
    rows, columns = grid.mean(axis=1), grid.mean(axis=0)
    area = grid.mean()
    hu = moments_hu(moments_normalized(moments_central(grid))) if area > 1e-4 else np.zeros(7)
    hu = np.sign(hu) * np.log1p(1e6 * np.abs(hu))
    small = grid.reshape(8, 4, 8, 4).mean(axis=(1, 3))
    return np.concatenate([rows, columns, small.ravel(), hu, [area]])


def describe(source: "bytes | PIL.Image.Image") -> np.ndarray:
    """The statistics of a picture in one row, ``(width,)`` float32."""
    blocks: dict[str, Any] = statistics(*pixels(source))
    return np.concatenate([blocks[name] for name in blocks]).astype(np.float32)
