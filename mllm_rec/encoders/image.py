"""Pictures as a vector: statistics of color, texture and shape."""

import hashlib
import io
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from PIL import ImageOps
from tqdm import tqdm

from mllm_rec.data.catalog import Catalog
from mllm_rec.data.features import Features
from mllm_rec.encoders import Encoder
from mllm_rec.encoders.statistics import BLOCKS, statistics
from mllm_rec.encoders.store import Store
from mllm_rec.errors import InputError

