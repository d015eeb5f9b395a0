"""Pictures in and out of the chat: what people drop is checked and made small, what the page shows are thumbnails."""

import base64
import binascii
import io
import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from mllm_rec.data.pictures import opened
from mllm_rec.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

#: Bytes of a picture that is accepted, and the kinds.
MOST_BYTES = 10_000_000
KINDS = ("JPEG", "PNG", "WEBP")
#: Side of a card's thumbnail and of one in the talk, in pixels; a card shows 240 of them, twice that on fine screens.
CARD_SIDE, SENT_SIDE = 448, 96
#: Longest side of a picture in memory, in pixels.
DECODED_SIDE = 1024
_DATA_URL = re.compile(r"data:image/(png|jpe?g|webp)(;[^,;]{1,40})*;base64,", re.IGNORECASE)


def received(image: str) -> "Image.Image":
    """A picture that came as a data URL, or as a path below Gradio's upload folder.

    Raises:
        InputError: any other path, too large, or no PNG, JPEG or WebP picture.
    """
    if image[:5].lower() == "data:":
        return _opened(_data(image), "the picture")
    from gradio.utils import get_upload_folder

    refused = InputError(
        "the picture must be a data URL (PNG, JPEG or WebP, base64) or a path that this page's upload returned; this path is neither"
    )
    try:
        path, folder = Path(image).resolve(), Path(get_upload_folder()).resolve()
        if not path.is_relative_to(folder) or not path.is_file():
            raise refused
        if path.stat().st_size > MOST_BYTES:
            raise _too_large()
        return _opened(path.read_bytes(), "the uploaded file")
    except (OSError, ValueError, RuntimeError) as error:
        raise error if isinstance(error, InputError) else refused from error


def _data(url: str) -> bytes:
    if len(url) > MOST_BYTES * 4 // 3 + 100:
        raise _too_large()
    head = _DATA_URL.match(url)
    if head is None:
        raise InputError(f"{url[:40]!r} is not a picture's data URL; it must start with data:image/png;base64, (or jpeg, or webp)")
    try:
        return base64.b64decode(url[head.end() :], validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"the picture's data URL is not base64: {error}") from None


def _too_large() -> InputError:
    return InputError(f"the picture is larger than {MOST_BYTES // 1_000_000} MB; make it smaller")


def _opened(content: bytes, name: str) -> "Image.Image":
    try:
        return opened(content, DECODED_SIDE, KINDS)
    except ValueError as error:
        raise InputError(f"{name} {error}; wanted PNG, JPEG or WebP") from None


def sent(image: "Image.Image") -> str:
    """A small copy of a dropped picture as a JPEG data URL, for the talk."""
    small = image.copy()
    small.thumbnail((SENT_SIDE * 2, SENT_SIDE * 2))
    return f"data:image/jpeg;base64,{base64.b64encode(_jpeg(small, 80)).decode()}"


@lru_cache(maxsize=2_000)
def thumbnail(path: Path, changed: int, side: int = CARD_SIDE) -> bytes:
    """A square-bounded JPEG of a picture file; ``changed`` (its time of change, ns) keeps the cache honest.

    Raises:
        InputError: the file is no picture any more.
    """
    image = _opened(path.read_bytes(), "the catalog's picture")
    image.thumbnail((side, side))
    return _jpeg(image, 82)


def _jpeg(image: "Image.Image", quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()
