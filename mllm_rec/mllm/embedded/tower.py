"""A small residual convolutional vision tower in the form transformers expects, for textures that a patch embedding misses.

Importing this module registers it, so that ``AutoModelForImageTextToText.from_pretrained`` loads models that contain it.
"""

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput


class ConvTokensConfig(PretrainedConfig):
    """Widths of the stages, each of which halves the picture's sides, and residual blocks of each after the first.

    ``hidden_size`` is the last width.
    """

    model_type = "conv_tokens"

    def __init__(self, widths=(32, 64, 128, 192), blocks=(1, 2, 2), image_size=112, **kwargs):
        self.widths, self.blocks = list(widths), list(blocks)
        self.image_size = image_size
        self.hidden_size = self.widths[-1]
        super().__init__(**kwargs)


class Block(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut (He et al. Deep Residual Learning for Image Recognition. CVPR 2016)."""

    def __init__(self, before: int, width: int, stride: int):
        super().__init__()
        self.path = nn.Sequential(
            nn.Conv2d(before, width, 3, stride, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
        )
        shortcut = [nn.AvgPool2d(stride, ceil_mode=True), nn.Conv2d(before, width, 1, bias=False), nn.BatchNorm2d(width)]
        self.shortcut = nn.Identity() if before == width and stride == 1 else nn.Sequential(*shortcut)

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, before, side, side)`` to ``(batch, width, side / stride, side / stride)``."""
        return torch.relu(self.path(x) + self.shortcut(x))


class ConvTokens(PreTrainedModel):
    """Pictures ``(batch, 3, side, side)`` to tokens ``(batch, (side / 2^stages)^2, hidden_size)``, row by row."""

    config_class = ConvTokensConfig
    base_model_prefix = "conv_tokens"
    main_input_name = "pixel_values"

    def __init__(self, config: ConvTokensConfig):
        super().__init__(config)
        first = config.widths[0]
        layers: list[nn.Module] = [nn.Conv2d(3, first, 3, 2, 1, bias=False), nn.BatchNorm2d(first), nn.ReLU()]
        for before, width, blocks in zip(config.widths, config.widths[1:], config.blocks, strict=False):
            layers += [Block(before, width, 2), *(Block(width, width, 1) for _ in range(blocks - 1))]
        self.layers = nn.Sequential(*layers)
        self.post_init()

    def forward(self, pixel_values: Tensor, **_) -> BaseModelOutput:
        """Tokens of each picture."""
        tokens = self.layers(pixel_values.to(self.dtype, memory_format=torch.channels_last)).flatten(2).transpose(1, 2)
        return BaseModelOutput(last_hidden_state=tokens, hidden_states=(tokens,))


AutoConfig.register(ConvTokensConfig.model_type, ConvTokensConfig, exist_ok=True)
AutoModel.register(ConvTokensConfig, ConvTokens, exist_ok=True)
