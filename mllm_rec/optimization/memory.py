"""Memory of the process that trains."""

import ctypes
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

#: Parameters of ``mallopt``.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
#: Bytes: the largest that glibc lets one choose, what is kept while training, and what is kept after it.
_LARGEST, _KEPT, _LEFT = 32 << 20, 1 << 30, 64 << 20


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Inside the block freed memory stays with the process, where its C library is glibc; elsewhere nothing changes.

    A step's tensors are as large as those of the step before. glibc gives them back to the system and fetches them anew, page by
    page: a quarter of the time of an epoch of MGCN on TikTok. After the block it gives back what is free.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc is None or not hasattr(libc, "mallopt"):
        yield
        return
    libc.mallopt(_MMAP_THRESHOLD, _LARGEST)
    libc.mallopt(_TRIM_THRESHOLD, _KEPT)
    try:
        yield
    finally:
        libc.mallopt(_TRIM_THRESHOLD, _LEFT)
        libc.malloc_trim(0)


def peak_memory(device: torch.device) -> int:
    """Bytes at most in use: of the accelerator, or else of this process alone."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.exists():  # getrusage of a process that another one started begins with the peak of the latter
        return int(next(line for line in status.read_text().splitlines() if line.startswith("VmHWM")).split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
