"""Which files named by a catalog can be used."""

import pytest
from by_hand import picture
from PIL import Image

from mllm_rec.data import pictures


@pytest.mark.parametrize(
    ("cell", "path"),
    [
        ("a.jpg", "a.jpg"),
        ("./sub//a.jpg", "sub/a.jpg"),
        ("sub\\a.jpg", "sub/a.jpg"),
        ("sub/../a.jpg", "a.jpg"),
        ("../a.jpg", None),
        ("sub/../../a.jpg", None),
        ("..", None),
        (".", None),
        ("/etc/passwd", None),
        ("C:\\a.jpg", None),
        ("\\\\host\\a.jpg", None),
        ("https://x.org/a.jpg", None),
        ("data:image/png;base64,AAAA", None),
        ("a\0.jpg", None),
    ],
)
def test_paths_stay_in_the_folder(cell, path):
    assert pictures.relative_path(cell) == path


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_whole_and_truncated_pictures(tmp_path, kind):
    content = picture(kind, size=64)
    (tmp_path / "whole").write_bytes(content)
    (tmp_path / "part").write_bytes(content[: len(content) // 2])
    assert pictures.fault(tmp_path, "whole") is None
    assert "is a broken picture" in pictures.fault(tmp_path, "part")


def test_faults_say_what_is_wrong(tmp_path):
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "program.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EOF\n")
    (tmp_path / "folder.jpg").mkdir()
    cells = ["text.jpg", "empty.jpg", "program.jpg", "folder.jpg", "none.jpg", "../x.jpg", "http://x/y.jpg", "x" * 5000, None]
    words = [
        "is no picture",
        "is an empty file",
        "is no picture",
        "is not in",
        "is not in",
        "leads out of",
        "is an address",
        "can't be read",
    ]
    faults = pictures.faults(tmp_path, cells)
    assert all(word in fault for word, fault in zip(words, faults[:-1], strict=True)) and faults[-1] is None
    assert pictures.faults(tmp_path, ["text.jpg"], picture=False) == [None]


def test_a_picture_that_would_fill_the_memory_is_not_decoded(tmp_path):
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    assert "pixels" in pictures.faults(tmp_path, ["bomb.png"])[0]
