"""Networks that are trained with a system. Each encodes row by row: no row's output depends on what else is in the batch."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, relu

#: Token ids: padding, and a word that is not in the vocabulary.
PADDING, UNKNOWN = 0, 1


class ConvNet(nn.Module):
    """A small convolutional network: pixels ``(n, side, side, 3)`` uint8 to ``(n, width)``.

    Each layer halves the map; its mean and its maximum are projected.

    Args:
        width: of the output.
        channels: of the layers.
    """

    def __init__(self, width: int, channels: tuple[int, ...] = (16, 32, 64)):
        super().__init__()
        layers = [nn.Conv2d(before, after, 3, stride=2, padding=1) for before, after in pairwise((3, *channels))]
        for layer in layers:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        self.layers = nn.ModuleList(layers)
        self.last = nn.Linear(2 * channels[-1], width)

    def forward(self, pixels: Tensor) -> Tensor:
        """``(n, width)``."""
        x = pixels.permute(0, 3, 1, 2).float() / 127.5 - 1
        for layer in self.layers:
            x = relu(layer(x))
        return self.last(torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1))


class TextConvNet(nn.Module):
    """TextCNN: word ids ``(n, length)`` int64 to ``(n, width)``.

    Kim. Convolutional Neural Networks for Sentence Classification. EMNLP 2014. https://arxiv.org/abs/1408.5882

    Filters over windows of three, four and five words, the maximum of each over the text, projected. A window begins at a word
    and, unless the text is shorter, ends at one.

    Args:
        words: size of the vocabulary, with padding and the unknown word.
        width: of the output.
        word_dim: width of a word's vector.
        filters: of each window's width.
    """

    windows = (3, 4, 5)

    def __init__(self, words: int, width: int, word_dim: int = 32, filters: int = 64):
        super().__init__()
        self.words = nn.Embedding(words, word_dim, padding_idx=PADDING)
        self.convolutions = nn.ModuleList(nn.Conv1d(word_dim, filters, window) for window in self.windows)
        self.last = nn.Linear(filters * len(self.windows), width)

    def forward(self, ids: Tensor) -> Tensor:
        """``(n, width)``."""
        ids, length = _shortened(ids, max(self.windows))
        x = self.words(ids).transpose(1, 2)
        found = []
        for window, convolution in zip(self.windows, self.convolutions, strict=True):
            y = relu(convolution(x))
            inside = torch.arange(y.shape[2], device=y.device) <= (length - window).clamp(min=0)[:, None]
            found.append((y * inside[:, None]).amax(2))  # no maximum is below 0
        return self.last(torch.cat(found, 1))


class TextGRU(nn.Module):
    """A gated recurrent unit over word ids: ``(n, length)`` int64 to ``(n, width)``, the projected mean of the states at its words.

    Cho et al. Learning Phrase Representations using RNN Encoder-Decoder. EMNLP 2014. https://arxiv.org/abs/1406.1078

    Args:
        words: size of the vocabulary, with padding and the unknown word.
        width: of the output.
        word_dim: width of a word's vector.
        state: width of the state.
    """

    def __init__(self, words: int, width: int, word_dim: int = 64, state: int = 64):
        super().__init__()
        self.words = nn.Embedding(words, word_dim, padding_idx=PADDING)
        self.gru = nn.GRU(word_dim, state, batch_first=True)
        self.last = nn.Linear(state, width)

    def forward(self, ids: Tensor) -> Tensor:
        """``(n, width)``."""
        ids, length = _shortened(ids, 1)
        states, _ = self.gru(self.words(ids))
        inside = torch.arange(ids.shape[1], device=ids.device) < length[:, None]
        return self.last((states * inside[..., None]).sum(1) / length.clamp(min=1)[:, None])


def _shortened(ids: Tensor, least: int) -> tuple[Tensor, Tensor]:
    """Word ids without the columns that are padding in every row, at least ``least`` columns, and the length of each text."""
    length = (ids != PADDING).sum(1)
    longest = max(least, int(length.max()) if len(ids) else 0)
    return pad(ids, (0, max(0, longest - ids.shape[1])), value=PADDING)[:, :longest], length
