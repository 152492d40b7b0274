"""The computer that this runs on."""

import importlib.util
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Machine:
    gpu: str | None  # its name
    gpu_gib: float
    ram_gib: float


def here() -> Machine:
    """The GPU and memory of this computer. torch asks the driver, where torch is installed."""
    ram = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    if importlib.util.find_spec("torch") is None:
        return Machine(None, 0.0, ram)
    import torch

    if not torch.cuda.is_available():
        return Machine(None, 0.0, ram)
    device = torch.cuda.get_device_properties(0)
    return Machine(device.name, device.total_memory / 2**30, ram)


@dataclass(frozen=True)
class Processor:
    name: str
    flags: frozenset[str]  # its instruction sets, as Linux names them


@cache
def processor() -> Processor:
    """The processor, as Linux describes it; without a name and flags elsewhere."""
    described = Path("/proc/cpuinfo")
    lines = described.read_text().splitlines() if described.is_file() else []
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in reversed(lines))}
    return Processor(facts.get("model name", ""), frozenset(facts.get("flags", "").split()))
