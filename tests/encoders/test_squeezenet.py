"""SqueezeNet against a plain implementation, on weights of chance; on the real ones where they are at hand."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from shelves import BLUE, RED, disc, shelf
from torch import nn

from mllm_rec.encoders.chosen import chosen_encoder
from mllm_rec.encoders.squeezenet import SqueezeNet, pixels
from mllm_rec.errors import InputError

FIRES = {2: (96, 16, 64), 3: (128, 16, 64), 4: (128, 32, 128), 5: (256, 32, 128),
         6: (256, 48, 192), 7: (384, 48, 192), 8: (384, 64, 256), 9: (512, 64, 256)}  # fmt: skip


class Fire(nn.Module):
    def __init__(self, width, squeezed, expanded):
        super().__init__()
        self.conv1x1_1, self.conv1x1_2 = nn.Conv2d(width, squeezed, 1), nn.Conv2d(squeezed, expanded, 1)
        self.conv3x3_2 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x):
        x = self.conv1x1_1(x).relu()
        return torch.cat([self.conv1x1_2(x).relu(), self.conv3x3_2(x).relu()], 1)


@pytest.fixture(scope="module")
def plain():
    """The network as its paper draws it."""
    torch.manual_seed(0)
    pool = nn.MaxPool2d(3, 2, ceil_mode=True)
    conv1, fires = nn.Conv2d(3, 96, 7, stride=2), {number: Fire(*widths) for number, widths in FIRES.items()}
    layers = [conv1, nn.ReLU(), pool]
    for number, fire in fires.items():
        layers += [fire, pool] if number in (4, 8) else [fire]
    weights = {"conv1": conv1} | {f"fire{number}/{name}": layer for number, fire in fires.items() for name, layer in fire.named_children()}
    return nn.Sequential(*layers).eval(), weights


@pytest.fixture
def file(plain, tmp_path):
    arrays = {f"{name}/{part}": value.detach().numpy() for name, layer in plain[1].items() for part, value in (("w", layer.weight), ("b", layer.bias))}  # fmt: skip
    np.savez(tmp_path / "weights.npz", **arrays)
    return tmp_path / "weights.npz"


def test_the_network_is_the_papers(plain, file, tmp_path):
    for number, color in enumerate((RED, BLUE)):
        disc(color, side=300).save(tmp_path / f"{number}.png")
    encoder = chosen_encoder("image", str(file))
    features = encoder.encode(shelf(["a", "b", "c"], tmp_path, image=["0.png", "1.png", None]))
    assert features.present.tolist() == [True, True, False]
    with torch.inference_mode():
        map_ = plain[0](torch.from_numpy(pixels(Image.open(tmp_path / "0.png").convert("RGB")))[None])
    assert map_.shape[1:] == (512, 13, 13)
    np.testing.assert_allclose(features.values[0], map_.mean((2, 3))[0], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_query((tmp_path / "1.png").read_bytes()), features.values[1], rtol=1e-3, atol=1e-5)


def test_files_of_other_weights(file, tmp_path):
    arrays = dict(np.load(file))
    del arrays["fire5/conv3x3_2/b"]
    np.savez(tmp_path / "few.npz", **arrays)
    disc(RED).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="fire5/conv3x3_2/b"):
        SqueezeNet(tmp_path / "few.npz").encode(shelf(["a"], tmp_path, image=["a.png"]))
    (tmp_path / "words.npz").write_text("words")
    with pytest.raises(InputError, match="can't be read as SqueezeNet"):
        SqueezeNet(tmp_path / "words.npz").encode(shelf(["a"], tmp_path, image=["a.png"]))
    with pytest.raises(InputError, match="there is no file"):
        SqueezeNet(tmp_path / "gone.npz")


@pytest.mark.data
def test_the_real_weights_know_posters():
    """Half of the real posters lie nearer to themselves, squeezed, than to any other."""
    root = Path(os.environ["MLLM_REC_DATA"])
    encoder = SqueezeNet(root / "squeezenet-v1-weights" / "squeezenet_v1.0_weights.npz")
    posters = sorted((root / "ml100k-mm" / "posters").glob("*.jpg"))[:40]
    rows = np.stack([encoder.encode_query(path.read_bytes()) for path in posters])
    cut = np.stack([encoder.encode_query(Image.open(path).convert("RGB").crop((8, 8, 140, 200))) for path in posters])
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    near = (cut / np.linalg.norm(cut, axis=1, keepdims=True) - 0) @ unit.T
    assert (near.argmax(1) == np.arange(len(posters))).mean() > 0.5
