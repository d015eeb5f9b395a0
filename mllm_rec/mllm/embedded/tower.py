"""A small convolutional vision tower in the form transformers expects, for textures that a patch embedding misses.

Importing this module registers it, so that ``AutoModelForImageTextToText.from_pretrained`` loads models that contain it.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput


class ConvTokensConfig(PretrainedConfig):
    """Widths of each path's stages, each of which halves the sides; path ``n`` sees the picture shrunk ``2^n`` times.

    ``hidden_size`` is the sum of the paths' last widths.
    """

    model_type = "conv_tokens"

    def __init__(self, paths=((16, 32, 64), (32, 64, 128, 192), (32, 64, 128)), image_size=192, **kwargs):
        self.paths = [list(widths) for widths in paths]
        self.image_size = image_size
        self.hidden_size = sum(widths[-1] for widths in self.paths)
        super().__init__(**kwargs)


class ConvTokens(PreTrainedModel):
    """Pictures ``(batch, 3, side, side)`` to tokens ``(batch, grid^2, hidden_size)``, row by row.

    Several paths over a pyramid of the picture, averaged around each token: the finest for what a thing is made of, the
    coarser ones for its pattern and for what it is. ``grid`` is the side of the coarsest path's map.
    """

    config_class = ConvTokensConfig
    base_model_prefix = "conv_tokens"
    main_input_name = "pixel_values"

    def __init__(self, config: ConvTokensConfig):
        super().__init__(config)
        self.paths = nn.ModuleList(map(_path, config.paths))
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """He's variance; as many channels as came in begin as copies of them, so that a deep path learns as fast as a shallow one.

        He et al. Delving Deep into Rectifiers. ICCV 2015. Zagoruyko and Komodakis. DiracNets. 2017.
        """
        if isinstance(module, nn.Conv2d) and not getattr(module.weight, "_is_hf_initialized", False):  # else: loaded from a file
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.in_channels > 3:
                with torch.no_grad():
                    nn.init.dirac_(module.weight[: module.in_channels])

    def forward(self, pixel_values: Tensor, **_) -> BaseModelOutput:
        """Tokens of each picture."""
        x, seen = pixel_values.to(self.dtype, memory_format=torch.channels_last), []
        for path in self.paths:
            seen.append(path(x))
            x = F.avg_pool2d(x, 2)
        grid = min(one.shape[-1] for one in seen)
        tokens = torch.cat([F.adaptive_avg_pool2d(one, grid) for one in seen], dim=1).flatten(2).transpose(1, 2)
        return BaseModelOutput(last_hidden_state=tokens, hidden_states=(tokens,))


def _path(widths: Sequence[int]) -> nn.Sequential:
    """In each stage a convolution of stride 2, and one of stride 1 in all but the first."""
    layers: list[nn.Module] = []
    for before, width in pairwise([3, *widths]):
        layers += _convolution(before, width, 2)
        if before > 3:
            layers += _convolution(width, width, 1)
    return nn.Sequential(*layers)


def _convolution(before: int, width: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(before, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]


AutoConfig.register(ConvTokensConfig.model_type, ConvTokensConfig, exist_ok=True)
AutoModel.register(ConvTokensConfig, ConvTokens, exist_ok=True)
