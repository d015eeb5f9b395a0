"""What the tests of explanations share."""

import numpy as np
import pytest
from six_items import explainer, shop

from mllm_rec.data.features import Features
from mllm_rec.explain import Explainer


@pytest.fixture(scope="session")
def lamps() -> Explainer:
    pictures = np.array([[1, 0], [0.9, 0.1], [-1, 0], [0, -1], [0, 1], [0, 0]], dtype=np.float32)
    return explainer(shop(), features={"image": Features(pictures, np.array([True] * 5 + [False]))})
