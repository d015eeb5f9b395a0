"""Encoding that is killed goes on where it was, and comes to the same end."""

import signal
import subprocess
import sys

import numpy as np
import pytest
from shelves import distinct_pictures, shelf

from mllm_rec.encoders import image
from mllm_rec.encoders.image import Image
from mllm_rec.encoders.store import Store

BATCH, PICTURES = 8, 30
#: Encodes, and is killed by a SIGKILL when the given number of pictures has been begun.
DEADLY = """
import os, signal, sys, threading
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from shelves import shelf
from mllm_rec.encoders import image
from mllm_rec.encoders.store import Store
folder, last, lock, begun, describe = Path(sys.argv[2]), int(sys.argv[3]), threading.Lock(), [], image.describe
def deadly(content):
    with lock:
        begun.append(1)
        if len(begun) == last:
            os.kill(os.getpid(), signal.SIGKILL)
    return describe(content)
image.describe = deadly
names = sorted(path.name for path in folder.glob("*.png"))
image.Image(batch_size=int(sys.argv[4])).encode(shelf(names, folder, image=names), Store(folder / "store"))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    distinct_pictures(folder, PICTURES)
    return folder


def test_killed_twice_it_loses_a_batch_at_most_and_gives_equal_bytes(folder, monkeypatch, request):
    names = sorted(path.name for path in folder.glob("*.png"))
    catalog = shelf(names, folder, image=names)
    kept = 0
    for last in (13, 11):  # in the middle of a second batch, of what is left each time
        killed = subprocess.run(
            [sys.executable, "-c", DEADLY, str(request.path.parent), str(folder), str(last), str(BATCH)], capture_output=True
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
        kept += BATCH
        with Store(folder / "store") as store:
            assert len(store) == kept and last - BATCH < BATCH
    begun, describe = [], image.describe
    monkeypatch.setattr(image, "describe", lambda content: (begun.append(content), describe(content))[1])
    with Store(folder / "store") as store:
        resumed = Image(batch_size=BATCH).encode(catalog, store)
    assert len(begun) == PICTURES - kept
    whole = Image(batch_size=BATCH).encode(catalog)
    assert resumed.values.tobytes() == whole.values.tobytes()
    assert resumed.present.all() and np.isfinite(resumed.values).all()
