"""A build that is killed at any moment goes on to the same result."""

import hashlib
import os
import signal
import subprocess
import sys
import time

import pytest

from mllm_rec.data.files import read_json

#: Killed as soon as this is there: while encoding, while training, while the serving system is refitted.
MOMENTS = ("catalog.parquet", "features/encoded.sqlite", "runs/freedom/0/resume.pt", "runs/freedom/0/metrics.json")


@pytest.fixture
def command(shop_inputs, tmp_path):
    said = ",".join(f"{name}={column}" for name, column in shop_inputs.map.items())
    files = ["--items", shop_inputs.items, "--images", shop_inputs.images, "--interactions", shop_inputs.interactions]
    more = ["--map", said, "--domain", shop_inputs.domain, "--out", tmp_path / "w", "--systems", "popularity,ease,freedom"]
    return [sys.executable, "-m", "mllm_rec.cli", "build", *map(str, files + more)]


def made(root):
    """Hash of what a build makes, times left out."""
    paths = sorted([*root.glob("*.parquet"), *root.glob("*.jsonl"), *root.glob("*/*.safetensors"), *root.glob("runs/*/*/*.safetensors")])
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def test_killed_at_every_stage(command, workspace, tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for moment in MOMENTS:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
        while process.poll() is None and not (tmp_path / "w" / moment).exists():
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, f"the build ended before {moment} was there"
    epochs = read_json(workspace.run("freedom", 0) / "metrics.json")["run"]["epochs"]
    subprocess.run(command, check=True, capture_output=True, env=environment)
    assert made(tmp_path / "w") == made(workspace.root)
    assert read_json(tmp_path / "w" / "runs/freedom/0/metrics.json")["run"]["epochs"] == epochs
    assert not list((tmp_path / "w").rglob("*.tmp"))
