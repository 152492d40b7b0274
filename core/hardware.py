"""What this machine is quicker with, measured or known, so that the loop need not ask. No torch at import."""

import contextlib
import ctypes
import os
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# glibc's mallopt (malloc.h): how much free memory it keeps, how much it asks for at once, how many blocks lie outside
TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4
NEVER = -1  # the threshold at which nothing is ever given back
ROUNDS = 5  # of which the quickest counts: whatever else the machine did only made it slower


def keep_memory() -> None:
    """Freed memory stays with the process, where glibc would give every large block back to the kernel at once.

    To get it again, zeroed page by page, took almost half of a SANA's step.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        for option, value in ((MMAP_MAX, 0), (TRIM_THRESHOLD, NEVER), (TOP_PAD, 2**28)):
            libc.mallopt(option, value)


def settle() -> None:
    """Before a training: what makes this machine quicker and costs no digit that a training would miss."""
    import torch

    keep_memory()
    if torch.cuda.is_available():
        torch.set_float32_matmul_precision("high")  # TF32, as cuDNN takes it already


def faster_precision() -> str:
    """bf16 where this CPU is quicker with it (some emulate it); CUDA always takes it."""
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
    """Which accelerate has to be told, or processes of torchrun don't find each other."""
    import torch

    return "WORLD_SIZE" in os.environ and not torch.cuda.is_available()


def attention(device: "torch.device") -> contextlib.AbstractContextManager:
    """The fused CPU kernel's backward takes a quarter of a SANA step at our sizes; plain matrix products do not."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else contextlib.nullcontext()
