"""Memory that is freed while training stays with the process, and goes back after it."""

import ctypes
import os
import resource
import sys

import pytest
import torch

from mllm_rec.optimization.memory import freed_memory_kept, peak_memory

MIB = 2**20


def step():
    """Sixteen tensors of 4 MiB at a time, each written once."""
    return len([torch.zeros(MIB) + 1 for _ in range(16)])


def pages():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="only glibc can be told to keep what is freed"
)
def test_a_step_takes_over_what_the_last_one_freed():
    of_a_step = 16 * 4 * MIB / os.sysconf("SC_PAGE_SIZE")
    with freed_memory_kept():
        for _ in range(3):
            step()
        before = pages()
        for _ in range(10):
            step()
        assert pages() - before < 10 * of_a_step / 2, "most of what ten steps write on is there already"


def test_the_peak_is_what_was_held_at_once():
    before = peak_memory(torch.device("cpu"))
    held = torch.ones(before // 4 + 64 * MIB // 4)  # more than the process ever had
    assert peak_memory(torch.device("cpu")) >= before + 32 * MIB and held.sum() > 0
