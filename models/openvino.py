"""OpenVINO computes a model's networks on a CPU, where it is faster than torch.

    serve(parts, "auto")                       compiles in the background; until then torch computes
    python -m models.openvino_convert ID       converts the networks of a model; `serve` runs this in another process

A network is converted from its torch module, with the inputs that one picture gives it; the result takes any batch and
any length of prompt. Converted networks lie in the studio's cache, by the sha256 of their weights. In single precision
the numbers agree with torch's to about 1e-6, and pictures to one grey level. For bfloat16 (models/precision.py) a
network is compiled a second time, when it is first asked for.

Each LoRA that is served has a compiled network of its own, with the adapter merged into the weights. Calls with
anything else that changes the network (another strength, more adapters, a camera, gradients) are computed by torch, so
that nobody who drags a strength waits for a compiler. As inputs of one compiled network, adapters would cost every call
what merging costs once.
"""

import atexit
import hashlib
import inspect
import json
import queue
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput

from core.files import whole_file
from core.machine import processor
from core.paths import ROOT
from core.paths import cache as cache_dir
from models import catalogue, text
from models.adapters import Acting, acting
from models.precision import SINGLE, computing, current

BACKENDS = ("auto", "torch", "openvino")
NETWORK, INPUTS = "network.xml", "inputs.json"
LAYOUT = 1  # to be raised when the conversion of the same weights changes
WALL = 4  # pictures of the batch that is measured for walls
ROUNDS = 5  # rounds of a measurement
INSTALL = "pip install -r requirements.txt"
KINDS = (torch.float32, torch.int64, torch.bool)
Inputs = dict[str, Tensor]


def missing() -> str | None:
    """One sentence where OpenVINO is not installed."""
    return None if find_spec("openvino") else f"OpenVINO is not installed, so torch paints: {INSTALL}"


def library() -> Any:
    """The package, imported without its telemetry: openvino uses a stub where that module can't be imported."""
    sys.modules.setdefault("openvino_telemetry", None)  # pyright: ignore[reportArgumentType]  # None: can't be imported
    import openvino

    return openvino


@dataclass
class Compiled:
    """One compiled network. `faster`: whether it is faster than torch here, for a batch of 1 and of a wall."""

    request: Any
    names: tuple[str, ...]  # names of its inputs, in order
    faster: dict[int, bool]
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, inputs: Inputs) -> Tensor:
        arrays = [np.ascontiguousarray(inputs[name].numpy()) for name in self.names]
        with self.lock:  # a text encoder serves several models at once
            return torch.from_numpy(np.array(self.request.infer(arrays, share_inputs=True)[0]))


class Answers:
    """Replaces a module's forward: compiled networks compute the calls that they can, torch the others."""

    def __init__(self, module: nn.Module, state: Callable[[], Any]):
        self.module, self.plain, self.state = module, module.forward, state
        self.signature = inspect.signature(module.forward)
        self.compiled: dict[Any, Compiled] = {}  # by state, as the adapter in the weights (`state_of`), and precision
        self.by = "torch"  # the back end of the last call

    def __call__(self, *args: Any, **named: Any) -> Any:
        changed = any(part._forward_hooks for part in self.module.children())  # by a camera
        compiled = None if changed else self.compiled.get((self.state(), current()))
        inputs = self.inputs(args, named) if compiled else None
        if (
            compiled is None
            or inputs is None
            or set(inputs) != set(compiled.names)
            or not self.faster(compiled, inputs)
        ):
            self.by = "torch"
            return self.plain(*args, **named)
        self.by = "openvino"
        return self.shaped(compiled(inputs), named)

    def inputs(self, args: tuple, named: dict[str, Any]) -> Inputs | None:
        """The tensors of a call by name; None for a call that only torch can compute."""
        if torch.is_grad_enabled():
            return None
        given = {k: v for k, v in self.signature.bind(*args, **named).arguments.items() if v is not None}
        given |= given.pop("kwargs", {})
        given.pop("return_dict", None)
        if current() != SINGLE:  # a compiled network takes and gives single precision
            halves = {k: v for k, v in given.items() if isinstance(v, Tensor) and v.dtype == torch.bfloat16}
            given |= {k: v.float() for k, v in halves.items()}
        fit = all(isinstance(v, Tensor) and v.device.type == "cpu" and v.dtype in KINDS for v in given.values())
        return given if fit else None

    @staticmethod
    def faster(compiled: Compiled, inputs: Inputs) -> bool:
        many = max(len(v) for v in inputs.values() if v.ndim) > 1
        return compiled.faster[WALL if many else 1]

    def shaped(self, out: Tensor, named: dict[str, Any]) -> Any:
        """The output in the form that the module returns."""
        if "return_dict" in named:
            return (out,)
        return BaseModelOutput(last_hidden_state=out) if "attention_mask" in named else out  # pyright: ignore[reportArgumentType]


def networks(parts: Any) -> dict[str, nn.Module]:
    """The networks of a model that are compiled, by name."""
    denoiser = {} if parts.row.routed else {"denoiser": parts.denoiser.network}
    return {"text": parts.pipeline.text_encoder, **denoiser, "decoder": parts.vae.decoder}


def state_of(parts: Any) -> Acting:
    """The state of the denoiser's network when it paints as it was distilled: its active adapters."""
    return acting(parts.denoiser.own(parts.row.manifest.guidance.default))


def digests(row: catalogue.Row) -> dict[str, str]:
    """The file name of each converted network: a digest of the files that it is made from."""
    chain = catalogue.chain(row)
    files = [(name.partition("/")[0], digest) for r in chain for name, digest in sorted(r.manifest.files.items())]
    own = row.manifest.files.get("lora.safetensors"), row.manifest.guidance.default
    made = {
        "text": sorted(text.PINNED.items()),
        "denoiser": [own, *(f for f in files if f[0] in catalogue.NETWORKS)],
        "decoder": [f for f in files if f[0] == "vae"],
    }
    version = library().__version__, LAYOUT, row.size
    return {k: hashlib.sha256(repr((k, v, version)).encode()).hexdigest()[:16] for k, v in made.items()}


def home() -> Path:
    return cache_dir() / "openvino"


def folder(name: str, digest: str) -> Path:
    """The folder of a converted network, with the inputs of its first call."""
    return home() / f"{name}-{digest}"


# Converting, in a process of its own


def apart(id: str) -> None:
    """Run `convert` in another process, so that no visitor waits for it. Raises ValueError where that fails."""
    command = [sys.executable, "-m", "models.openvino_convert", id]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    atexit.register(child.kill)
    try:
        _, errors = child.communicate()
    finally:
        atexit.unregister(child.kill)
    if child.returncode:
        raise ValueError(f"the networks of {id} could not be converted: {errors.strip().splitlines()[-1:]}")


# Serving


class Core:
    """OpenVINO in this process. It compiles networks and measures whether they are faster than torch."""

    def __init__(self):
        self.openvino = library()
        self.core = self.openvino.Core()
        options = {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "PERFORMANCE_HINT": "LATENCY"}
        options |= {"CACHE_DIR": str(home() / "compiled")}
        self.core.set_property("CPU", options)

    def ready(self, answers: Answers, lies: Path, precision: str, measured: bool) -> Compiled:
        examples = json.loads((lies / INPUTS).read_text())
        inputs = {name: torch.tensor(v, dtype=getattr(torch, kind)) for name, (kind, v) in examples.items()}
        hint = {"INFERENCE_PRECISION_HINT": precision}
        request = self.core.compile_model(self.core.read_model(lies / NETWORK), "CPU", hint).create_infer_request()
        made = Compiled(request, tuple(inputs), {1: True, WALL: True})
        if measured:
            with computing(precision):
                made.faster = quicker(answers, made, inputs, lies / f"{machine()}-{precision}.json")
        return made


def machine() -> str:
    """A name for this processor with the number of threads that are used."""
    return hashlib.sha256(f"{processor().name} {torch.get_num_threads()}".encode()).hexdigest()[:8]


@torch.no_grad()
def quicker(answers: Answers, compiled: Compiled, inputs: Inputs, kept: Path) -> dict[int, bool]:
    """Whether the compiled network is faster than torch, for one picture and for a wall; measured once on each
    machine."""
    if kept.is_file():
        spent = {int(k): v for k, v in json.loads(kept.read_text()).items()}
    else:
        spent = {
            n: measure(answers, compiled, {k: v.repeat_interleave(n, 0) for k, v in inputs.items()}) for n in (1, WALL)
        }
        with whole_file(kept) as part:
            part.write_text(json.dumps(spent))
    return {n: ms["openvino"] < ms["torch"] for n, ms in spent.items()}


def measure(answers: Answers, compiled: Compiled, inputs: Inputs) -> dict[str, float]:
    """Median milliseconds of both back ends, called in turns."""
    spent: dict[str, list[float]] = {"torch": [], "openvino": []}
    work = {"torch": lambda: answers.plain(**inputs), "openvino": lambda: compiled(inputs)}
    for k in range(ROUNDS + 1):
        for name, run in work.items():
            begun = time.perf_counter()
            run()
            if k:
                spent[name].append(1000 * (time.perf_counter() - begun))
    return {name: round(statistics.median(times), 2) for name, times in spent.items()}


def chosen(parts: Any) -> str:
    """A sentence with the back end of each network, for one picture and for a wall."""
    sentences = []
    for name, module in networks(parts).items():
        answers, state = module.forward, state_of(parts) if name == "denoiser" else ()
        made = answers.compiled.get((state, SINGLE)) if isinstance(answers, Answers) else None
        one, wall = ("openvino" if made and made.faster[n] else "torch" for n in (1, WALL))
        sentences.append(f"{name} {one}, of a wall {wall}")
    return "; ".join(sentences)


_lock = threading.Lock()
_jobs: queue.Queue[Callable[[], None]] = queue.Queue()
_core: list[Core] = []  # at most one, made when it is first needed
_worker: list[threading.Thread] = []


def serve(parts: Any, backend: str, precision: str = SINGLE) -> None:
    """Let OpenVINO compute the networks of a model in this precision: with `auto` as soon as they are compiled, else
    before this returns. Raises ValueError for an unknown back end, and where OpenVINO can't compute them."""
    if backend not in BACKENDS:
        raise ValueError(f"unknown backend {backend!r}; valid: {', '.join(BACKENDS)}")
    if backend == "openvino" and (reason := missing()):
        raise ValueError(reason.replace(", so torch paints", ""))
    small = parts.denoiser is not None and parts.device.type == "cpu" and catalogue.on_hub(parts.row) is None
    wanted = attach(parts, precision) if small and backend != "torch" and not missing() else {}
    if wanted and backend == "openvino":
        compile_all(parts.row, wanted, measured=False)
    elif wanted:
        _jobs.put(lambda: compile_all(parts.row, wanted, measured=True))
        with _lock:
            if not _worker:
                _worker.append(threading.Thread(target=_work, daemon=True))
                _worker[0].start()


def attach(parts: Any, precision: str) -> dict[str, tuple[Answers, Any]]:
    """The networks of a model that are not compiled yet, each with the state in which it paints, and its precision."""
    pending = {}
    for name, module in networks(parts).items():
        of = parts.denoiser.adapters if name == "denoiser" else None
        with _lock:
            if not isinstance(module.forward, Answers):
                module.forward = Answers(module, lambda of=of: of.acting if of else ())
        state = state_of(parts) if name == "denoiser" else ()
        pending[name] = module.forward, (state, SINGLE if name == "text" else precision)
    return {name: (answers, state) for name, (answers, state) in pending.items() if state not in answers.compiled}


def compile_all(row: catalogue.Row, wanted: dict[str, tuple[Answers, Any]], measured: bool) -> None:
    names = digests(row)
    if not all(folder(name, names[name]).is_dir() for name in wanted):
        apart(row.id)
    if not _core:
        _core.append(Core())
    for name, (answers, state) in wanted.items():
        if state not in answers.compiled:  # asked for twice before it was ready
            answers.compiled[state] = _core[0].ready(answers, folder(name, names[name]), state[1], measured)


def _work() -> None:
    while True:
        job = _jobs.get()
        try:
            job()
        except (ValueError, RuntimeError, OSError) as e:  # torch goes on computing
            print(f"openvino: {e}", file=sys.stderr)
        finally:
            _jobs.task_done()


def settled() -> None:
    """Wait until nothing is being compiled."""
    _jobs.join()


def compiling() -> int:
    """The number of models whose networks are being compiled or wait for it."""
    return _jobs.unfinished_tasks


def painter(parts: Any) -> str:
    """The back end of the last call of its networks: torch, openvino or both."""
    backends = {n.forward.by if isinstance(n.forward, Answers) else "torch" for n in networks(parts).values()}
    return " and ".join(sorted(backends)) or "torch"
