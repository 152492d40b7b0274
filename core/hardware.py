"""Settings that are faster on this machine, measured or known. No torch at import."""

import contextlib
import ctypes
import os
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# Options of glibc's mallopt (malloc.h): free memory that it keeps, memory that it takes at once, number of mmap blocks
TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4
NEVER = -1  # the TRIM_THRESHOLD with which no memory is given back
ROUNDS = 5  # timed rounds; the fastest counts, as other load can only slow a round down


def keep_memory() -> None:
    """Freed memory stays with the process, where glibc would give every large block back to the kernel at once.

    The kernel zeroes each page when it is taken again, which took almost half of a SANA's training step.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        for option, value in ((MMAP_MAX, 0), (TRIM_THRESHOLD, NEVER), (TOP_PAD, 2**28)):
            libc.mallopt(option, value)


def settle() -> None:
    """Faster settings for a training, to be called before it. Their rounding is too small to matter to one."""
    import torch

    keep_memory()
    if torch.cuda.is_available():
        torch.set_float32_matmul_precision("high")  # TF32, as cuDNN takes it already


def faster_precision() -> str:
    """`bf16` on CUDA, and where this CPU is faster with it (some emulate it); else `fp32`."""
    import torch

    if torch.cuda.is_available():
        return "bf16"
    conv, x = torch.nn.Conv2d(64, 64, 3, padding=1), torch.ones(8, 64, 32, 32)
    seconds: dict[str, list[float]] = {"fp32": [], "bf16": []}
    for _ in range(ROUNDS):
        for name, times in seconds.items():
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=name == "bf16"):
                conv(x)
                begin = time.perf_counter()
                for _ in range(5):
                    conv(x)
                times.append(time.perf_counter() - begin)
    return min(seconds, key=lambda name: min(seconds[name]))


def several_on_cpu() -> bool:
    """Whether torchrun started several processes without CUDA: accelerate must be told, or they don't connect."""
    import torch

    return "WORLD_SIZE" in os.environ and not torch.cuda.is_available()


def attention(device: "torch.device") -> contextlib.AbstractContextManager:
    """Within: attention by plain matrix products on a CPU. The backward pass of its fused kernel takes a quarter of a
    SANA's training step at our sizes."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else contextlib.nullcontext()
