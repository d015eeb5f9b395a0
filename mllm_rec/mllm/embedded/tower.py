"""A small convolutional vision tower in the form transformers expects, for pictures whose textures a patch embedding misses.

Importing this module registers it, so that ``AutoModelForImageTextToText.from_pretrained`` loads models that contain it.
"""

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput


class ConvTokensConfig(PretrainedConfig):
    """Widths of the stages; each halves the picture's sides. ``hidden_size`` is the last width."""

    model_type = "conv_tokens"

    def __init__(self, widths: tuple[int, ...] = (32, 64, 128, 192), image_size: int = 112, **kwargs):
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
        before = 3
        for stage, width in enumerate(config.widths):
            layers += [nn.Conv2d(before, width, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            if stage:
                layers += [nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            before = width
        self.layers = nn.Sequential(*layers)
        self.post_init()

    def forward(self, pixel_values: Tensor, **_) -> BaseModelOutput:
        """Tokens of each picture."""
        tokens = self.layers(pixel_values.to(self.dtype, memory_format=torch.channels_last)).flatten(2).transpose(1, 2)
        return BaseModelOutput(last_hidden_state=tokens, hidden_states=(tokens,))


AutoConfig.register(ConvTokensConfig.model_type, ConvTokensConfig, exist_ok=True)
AutoModel.register(ConvTokensConfig, ConvTokens, exist_ok=True)
