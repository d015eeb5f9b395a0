"""What the statistics say of pictures whose content is known."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from shelves import BLUE, GRAY, RED, WHITE, disc

from mllm_rec.encoders.statistics import BLOCKS, SIDE, describe, pixels, statistics


def of(picture):
    return statistics(*pixels(picture))


def file(picture, kind="PNG", **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def test_blocks_have_the_widths_they_say():
    blocks = of(disc(RED))
    assert {name: block.size for name, block in blocks.items()} == BLOCKS
    row = describe(file(disc(RED)))
    assert row.dtype == np.float32
    np.testing.assert_array_equal(row, np.concatenate([blocks[name] for name in BLOCKS]).astype(np.float32))


@pytest.mark.parametrize(
    "picture", [Image.new("RGB", (1, 1)), Image.new("L", (300, 2), 255), Image.new("RGB", (90, 90), RED)], ids=["dot", "line", "plain"]
)
def test_empty_pictures_give_finite_numbers(picture):
    assert np.isfinite(describe(picture)).all()


def test_the_color_is_that_of_what_stands_out():
    """sRGB red is L* 53.2, a* 80.1, b* 67.2; the white around it counts nothing."""
    mean = of(disc((255, 0, 0)))["color"][29:32]
    np.testing.assert_allclose(mean, [0.532, 1.602, 1.344], atol=0.01)


def test_layout_is_light_by_place_and_the_logarithm_of_the_aspect():
    half = np.zeros((64, 128, 3), dtype=np.uint8)
    half[:, 64:] = 255
    layout = of(Image.fromarray(half))["layout"]
    np.testing.assert_allclose(layout[:48].reshape(4, 4, 3)[..., 0], [[0, 0, 1, 1]] * 4, atol=1e-3)
    assert layout[48] == pytest.approx(np.log(2))


def test_stripes_are_read_whatever_their_direction():
    down, across = (of(disc(WHITE, 0.7, 256, back=BLUE, stripes=16, across=way))["pattern"] for way in (True, False))
    plain = of(disc(WHITE, 0.7, 256, back=BLUE))["pattern"]
    free = slice(48, 96)  # wedges sorted
    assert np.abs(down[:48] - across[:48]).max() > 0.3
    assert np.abs(down[free] - across[free]).max() < 0.1
    # 16 waves a side lie in the third of the rings from 3 to 64 waves (8.3 to 13.9, then 13.9 to 23.1: the fourth)
    assert down[:48].reshape(6, 8).max(axis=1).argmax() == 3
    assert plain.max() < 0.4 * down.max()


def test_texture_tells_grain_from_a_plain_surface():
    rng = np.random.default_rng(0)
    plain = disc(GRAY, 0.6, 128)
    grain = np.clip(np.asarray(plain, dtype=float) + rng.normal(0, 25, (128, 128, 1)), 0, 255).astype(np.uint8)
    contrast = slice(30, 32)  # between neighbors
    assert (of(Image.fromarray(grain))["texture"][contrast] > 2 * of(plain)["texture"][contrast]).all()


def test_the_outline_is_the_same_in_another_color_and_not_in_another_size():
    red, blue, small = (of(disc(*given))["outline"] for given in ((RED, 0.6), (BLUE, 0.6), (RED, 0.3)))
    assert np.linalg.norm(red - blue) < 0.1 * np.linalg.norm(red - small)


def test_a_photo_taken_sideways_is_turned_upright():
    upright = disc(RED, center=(0.3, -0.4))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    turned, aspect = pixels(file(upright.rotate(90, expand=True), exif=exif))
    np.testing.assert_array_equal(turned, pixels(upright)[0])
    assert aspect == 1


def test_transparent_is_white():
    clear = disc(RED).convert("RGBA")
    clear.putalpha(Image.fromarray(np.asarray(disc(WHITE, back=(0, 0, 0)))[..., 0]))
    np.testing.assert_array_equal(pixels(file(clear))[0], pixels(disc(RED))[0])


@pytest.mark.parametrize("mode", ["L", "LA", "P", "1", "CMYK", "I;16", "I", "F"])
def test_every_mode_is_read(mode):
    gray = disc(GRAY, side=SIDE).convert("L")
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(gray).astype(np.uint16) * 257)
    elif mode == "P":
        picture = gray.quantize(8)
    else:
        picture = gray.convert(mode)
    read, _ = pixels(picture)
    tolerance = 128 if mode == "1" else 1
    assert np.abs(read.astype(int) - np.asarray(gray.convert("RGB"))).max() <= tolerance


def test_a_picture_made_to_fill_the_memory_is_refused_before_it_is_decoded():
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 12_000, 9_000, 8, 2, 0, 0, 0))
    with pytest.warns(Image.DecompressionBombWarning), pytest.raises(ValueError, match="12000 x 9000 pixels; at most 100,000,000"):
        describe(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b""))
