"""Which of the files that a catalog names can be used."""

import functools
import io
import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

if TYPE_CHECKING:
    from PIL import Image

#: Pictures of more pixels are not decoded: no catalog needs them, and such a file can be made to fill the memory.
MOST_PIXELS = 100_000_000
#: What a picture may be; EPS and WMF would be handed to other programs.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
_MANY = 2_000


def relative_path(cell: str) -> str | None:
    """A cell's path below its folder, or None where it is a URL, absolute, or leads out of the folder."""
    if "://" in cell or cell.startswith(("//", "data:")) or "\0" in cell:
        return None
    path = os.path.normpath(cell.replace("\\", "/"))
    if os.path.isabs(path) or path[1:2] == ":" or path == ".." or path.startswith("../") or path == ".":
        return None
    return path


def fault(root: Path, cell: str, picture: bool = True) -> str | None:
    """Why a file named by a catalog can't be used, in words; None where it can. A picture is decoded to the end."""
    if "://" in cell or cell.startswith("data:"):
        return "is an address on the web, not a file" + ("; --download fetches such pictures" if picture else "")
    name = relative_path(cell)
    if name is None:
        return "leads out of the folder"
    path = root / name
    try:
        if not path.is_file():
            return "is not in the folder"
        if path.stat().st_size == 0:
            return "is an empty file"
        return _broken(path) if picture else None
    except (OSError, ValueError) as error:
        return f"can't be read: {getattr(error, 'strerror', None) or error}"


@functools.cache
def _formats() -> tuple[str, ...]:
    """Those of ``FORMATS`` that this Pillow reads."""
    from PIL import Image

    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _broken(path: Path) -> str | None:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path, formats=_formats()) as image:
            if image.width * image.height > MOST_PIXELS:
                return f"has {image.width} x {image.height} pixels, more than {MOST_PIXELS}"
            image.draft("RGB", (64, 64))
            image.load()
    except UnidentifiedImageError:
        return f"is no picture ({', '.join(FORMATS)})"
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return f"has more than {MOST_PIXELS} pixels"
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError, MemoryError) as error:
        return f"is a broken picture: {error}"
    return None


def on_white(image: "Image.Image") -> "Image.Image":
    """RGB of a picture of any mode, white where it is transparent."""
    from PIL import Image

    if image.mode.startswith(("I", "F")):
        values = np.asarray(image, dtype=np.float64)
        most = 65_535.0 if image.mode.startswith("I;16") else max(1.0, float(np.nanmax(values)))
        return Image.fromarray((np.clip(np.nan_to_num(values) / most, 0, 1) * 255).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def opened(content: bytes, side: int, formats: Sequence[str] = FORMATS) -> "Image.Image":
    """A picture file as RGB, upright, white where it is transparent, its longest side at most ``side`` pixels.

    Raises:
        ValueError: no picture, a broken one, or one of more than ``MOST_PIXELS`` pixels; the message says which.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=[name for name in formats if name in _formats()]) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise ValueError(f"has {image.width} x {image.height} pixels, more than {MOST_PIXELS:,}")
                image.draft("RGB", (side, side))
                small = on_white(ImageOps.exif_transpose(image))
                small.thumbnail((side, side))
                return small
    except UnidentifiedImageError:
        raise ValueError(f"is no picture ({', '.join(formats)})") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ValueError(f"has more than {MOST_PIXELS:,} pixels") from None
    except (OSError, SyntaxError, EOFError, IndexError, KeyError, TypeError, OverflowError, MemoryError) as error:
        raise ValueError(f"is a broken picture: {error}") from None


def faults(root: Path, cells: Sequence[str | None], picture: bool = True) -> list[str | None]:
    """``fault`` of each cell, in threads, each distinct file once; None also where a cell names nothing."""
    from PIL import Image

    distinct = list(dict.fromkeys(cell for cell in cells if cell))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with ThreadPoolExecutor() as threads:
            said = list(
                tqdm(
                    threads.map(lambda cell: fault(root, cell, picture), distinct),
                    "pictures",
                    len(distinct),
                    disable=len(distinct) < _MANY or None,
                )
            )
    found = dict(zip(distinct, said, strict=True))
    return [found[cell] if cell else None for cell in cells]
