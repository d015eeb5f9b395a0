"""A small convolutional vision tower in the form transformers expects, for textures that a patch embedding misses.

Importing this module registers it, so that ``AutoModelForImageTextToText.from_pretrained`` loads models that contain it.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput


class ConvTokensConfig(PretrainedConfig):
    """Widths of the stages, each of which halves the picture's sides; ``hidden_size`` is the last."""

    model_type = "conv_tokens"

    def __init__(self, widths=(16, 32, 64, 128, 192), image_size=192, **kwargs):
        self.widths = list(widths)
        self.image_size = image_size
        self.hidden_size = self.widths[-1]
        super().__init__(**kwargs)


class ConvTokens(PreTrainedModel):
    """Pictures ``(batch, 3, side, side)`` to tokens ``(batch, (side / 2^stages)^2, hidden_size)``, row by row."""

    config_class = ConvTokensConfig
    base_model_prefix = "conv_tokens"
    main_input_name = "pixel_values"

    def __init__(self, config: ConvTokensConfig):
        super().__init__(config)
        layers: list[nn.Module] = []
        for before, width in pairwise([3, *config.widths]):
            layers += _convolution(before, width, 2)
            if before > 3:
                layers += _convolution(width, width, 1)
        self.layers = nn.Sequential(*layers)
        self.post_init()

    def forward(self, pixel_values: Tensor, **_) -> BaseModelOutput:
        """Tokens of each picture."""
        tokens = self.layers(pixel_values.to(self.dtype, memory_format=torch.channels_last)).flatten(2).transpose(1, 2)
        return BaseModelOutput(last_hidden_state=tokens, hidden_states=(tokens,))


def _convolution(before: int, width: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(before, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]


AutoConfig.register(ConvTokensConfig.model_type, ConvTokensConfig, exist_ok=True)
AutoModel.register(ConvTokensConfig, ConvTokens, exist_ok=True)
