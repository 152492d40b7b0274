"""Makes a run a served model: weights in half precision, manifest and card, in the studio or in the box.

    python -m distill.publish RUN --id ID [--box]

The moving average of the newest good checkpoint is what goes out. An autoencoder's latents get unit variance, shared
out among the channels by what each is worth to the pictures; that is folded into the encoder's last and the decoder's
first layer, so plain diffusers pipelines need no statistics of ours. A folder appears whole: it is written beside its
place and renamed.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import (
    AutoencoderDC,
    AutoencoderKL,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    LCMScheduler,
    SCMScheduler,
    TCDScheduler,
)
from torch import Tensor, nn

from core import checkpoint
from core.files import sha256, whole_folder
from core.paths import ROOT, assets, run_dir, studio
from core.paths import cache as cache_dir
from core.settings import from_saved
from distill import declared, start, world
from distill.card import card, curve
from distill.data import cache, sources
from distill.methods.autoencoder import Vae, encode
from evals.judges import Judge
from models import camera, catalogue, lora, weights
from models.catalogue import Guidance, Manifest
from models.denoiser import Denoiser, UNetDenoiser
from models.families import sd
from models.hub import TCD_STEPS
from models.route import Routed
from models.schedule import VP
from models.words import WORD

LICENCE, VERSION = "Apache-2.0", "0.1.0"
SPRINT_STEPS = {"1": [1.5707963], "2": [1.5682963, 1.3], "4": [1.5682963, 1.3, 1.1, 0.6]}  # SANA-Sprint, Table 7
MEASURED, NUDGE = 128, 0.2  # pictures, and how far their latents are moved, to see what a channel is worth
Steps = Mapping[str, Sequence[float]]  # timesteps by step count
BETAS = {"beta_start": VP.beta_start, "beta_end": VP.beta_end, "beta_schedule": "scaled_linear", "steps_offset": 1}


def code_version() -> str:
    """The project's version and the commit of the work tree."""
    git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return f"{VERSION}+{git.stdout.strip()}" if git.returncode == 0 else VERSION


@torch.no_grad()
def fold(vae: Vae, scale: Tensor) -> None:
    """z / scale [C] on the way out of the encoder, z * scale on the way into the decoder; the pictures stay the same.

    The mean is left alone: zeros that pad the decoder's first layer would become another value at the border.
    """
    mean = slice(0, len(scale))  # AutoencoderKL's last layer gives the log variance too
    last = vae.encoder.conv_out
    assert last.bias is not None, "diffusers' always has one"
    last.weight[mean] /= scale[:, None, None, None]
    last.bias[mean] /= scale
    vae.decoder.conv_in.weight *= scale[None, :, None, None]


@torch.no_grad()
def isometry(vae: Vae, pictures: Tensor) -> Tensor:
    """What to divide each channel [C] by, so that the latents have unit variance as a whole, and a unit of error costs
    the pictures the same in whichever channel it is.

    Channels of unit deviation each would weigh alike for a denoiser, though one is most of what is seen and half of
    them hardly show. For Stable Diffusion the mean of both, in logarithms: its noise never quite hides the latents, so
    in a channel far wider than the others the background would show through what should be pure noise.
    """
    decode: Callable[[Tensor], Any] = vae.decode  # pyright: ignore[reportAssignmentType]  # it means any Tensor
    z = encode(vae, pictures)
    plain, deviation = decode(z).sample, z.square().mean((0, 2, 3)).sqrt()
    noise = torch.randn(z[:, 0].shape, generator=torch.Generator().manual_seed(0))
    costs = []
    for c, size in enumerate(NUDGE * deviation):
        nudged = z.clone()
        nudged[:, c] += size * noise
        costs.append((decode(nudged).sample - plain).square().mean().sqrt() / size)
    cost = torch.stack(costs)  # root mean square of the pictures for one of the latents
    shape = 1 / cost if isinstance(vae, AutoencoderDC) else (deviation / cost).sqrt()
    return shape * (deviation / shape).square().mean().sqrt()


def some_pictures(dataset: str, n: int, skip_bad: bool, base: str | None = None) -> Tensor:
    """About n of the training set of an autoencoder, [n, 3, H, W]."""
    parts = [cache.draw(s, cache_dir()) for s in world.images(dataset, "autoencoder", skip_bad, base)]
    rows = [part[i] for part in parts for i in range(min(n // len(parts), len(part)))]
    return world.pixels(np.stack(rows))


def vocabulary(dataset: str, skip_bad: bool, base: str | None = None) -> list[str]:
    """Every word of the captions that it was trained on, the commonest first."""
    parts = [cache.draw(s, cache_dir()) for s in sources(dataset, skip_bad=skip_bad, side=world.side(base))]
    captions = (c for part in parts for row in part.captions for c in row)
    counts = Counter(word for text in captions for word in WORD.findall(text.lower()))
    return sorted(counts, key=lambda word: (-counts[word], word))


def trained(run: Path) -> tuple[dict, nn.Module, checkpoint.Saved]:
    """What the run was, and its student standing at the moving average."""
    facts = json.loads((run / "run.json").read_text())
    found, _ = checkpoint.newest(run)
    if found is None:
        raise ValueError(f"run {run.name!r} has no good checkpoint to publish")
    module = declared.module(facts["method"])
    if "latents" in module.Method.needs:
        world.check_latents(facts)  # before the data set goes through the other autoencoder
    cfg = from_saved(module.Config(), facts["config"])
    torch.manual_seed(facts["train"]["seed"])
    asked = world.Asked(module, cfg, facts["base"], facts["dataset"], facts["train"]["seed"], facts["skip_bad"])
    scene = world.build(asked, torch.device("cpu"))
    saved = checkpoint.load(found)
    player = "judge" if "judge" in saved.tensors else "student"
    weights = saved.tensors.get(f"{player}.ema", saved.tensors[player])
    parameters = dict(scene.world.student.named_parameters())
    unknown = weights.keys() - parameters.keys()
    assert not unknown, f"the checkpoint holds {sorted(unknown)[:3]} that this network has not"
    for name, w in weights.items():
        parameters[name].data.copy_(w)
    for name, kept in saved.tensors.get(f"{player}.buffers", {}).items():  # such as where a router parts prompts
        scene.world.student.get_buffer(name).copy_(kept)
    return facts, scene.world.student.eval(), saved


def write_autoencoder(facts: dict, vae: Vae, home: Path) -> dict:
    if not facts["config"]["decoder_only"]:
        fold(vae, isometry(vae, some_pictures(facts["dataset"], MEASURED, facts["skip_bad"], facts["base"])))
    plain = vae.half().to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]  # wraps() hides self
    plain.save_pretrained(home / "vae")
    family = "sd" if isinstance(vae, AutoencoderKL) else "sana"
    said = {"kind": "autoencoder", "family": family, "scheduler": None, "prediction": None, "base": None}
    return said if facts["config"]["decoder_only"] else said | {"latents": weights.digest(plain.encoder)[:12]}


def write_teacher(facts: dict, denoiser: Denoiser, home: Path) -> dict:
    if isinstance(denoiser, UNetDenoiser):
        return write_network(facts, denoiser, home) | write_ddim(home) | {"guidance": Guidance("cfg", 3.0, (1.0, 8.0))}
    denoiser.network.half().save_pretrained(home / "transformer")
    scheduler = DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=1.5)
    scheduler.save_pretrained(home / "scheduler")
    guidance = Guidance("cfg", 3.0, (1.0, 8.0))
    return {"scheduler": type(scheduler).__name__, "prediction": "flow", "guidance": guidance, "default_steps": 20}


def write_network(facts: dict, denoiser: Any, home: Path) -> dict:
    """A UNet, or of a LoRA the adapter alone, or students with their router."""
    said = {"family": catalogue.find(facts["base"]).manifest.family, "prediction": "epsilon"}
    if isinstance(denoiser, Routed):
        denoiser.router.save(home / sd.ROUTER)
        for i, member in enumerate(denoiser.members):
            network: Any = member.network
            network.half().save_pretrained(home / sd.student_folder(i))
        return said
    network = denoiser.network.half()
    if not lora.layers(network):
        network.save_pretrained(home / "unet")
        return said
    lora.save(network, "default", home)
    config = network.peft_config["default"]
    size = {"rank": config.r, "alpha": config.lora_alpha}
    return said | {"kind": "lora", "lora": size}


def write_ddim(home: Path) -> dict:
    """DDIM from the noisiest step there is (Lin et al. 2024, "trailing") to clean data."""
    DDIMScheduler(**BETAS, clip_sample=False, timestep_spacing="trailing").save_pretrained(home / "scheduler")
    return {"scheduler": "DDIMScheduler", "default_steps": 25}


def few_steps(kind: Any, timesteps: Callable[[dict], Steps], **own: Any) -> Callable[[dict, Denoiser, Path], dict]:
    """A writer of students with this scheduler, and the timesteps of each step count from the run's settings."""

    def write(facts: dict, denoiser: Denoiser, home: Path) -> dict:
        kind(**BETAS).save_pretrained(home / "scheduler")
        tables = timesteps(facts["config"])
        said = {"scheduler": kind.__name__, "timesteps": tables, "default_steps": min(map(int, tables))}
        return write_network(facts, denoiser, home) | said | own

    return write


def own_times(config: dict) -> Steps:
    """The times that the student was trained at, as timesteps."""
    return {str(len(config["times"])): [round(t * VP.num_train_timesteps) - 1 for t in config["times"]]}


def segment_starts(config: dict) -> Steps:
    """The noisy ends of as many segments as steps; but one step is told what it was trained to be told."""
    n = VP.num_train_timesteps
    tables = {str(k): [round(n * (1 - i / k)) - 1 for i in range(k)] for k in (2, 4, 8)}
    return {"1": [round(config["first"] * n) - 1]} | tables


def write_guided(facts: dict, denoiser: Denoiser, home: Path) -> dict:
    """Guidance sets how strongly the adapter acts: at `full` as it is."""
    said, (low, high) = write_network(facts, denoiser, home), facts["config"]["guidance"]
    said["lora"] |= {"full": facts["config"]["full"]}
    guidance = Guidance("embedded", min(max(3.0, low), high), (low, high))
    return said | write_ddim(home) | {"guidance": guidance}


def write_sprint(facts: dict, student: Denoiser, home: Path) -> dict:
    student.network.half().save_pretrained(home / "transformer")
    SCMScheduler().save_pretrained(home / "scheduler")
    low, high = facts["config"]["guidance"]
    guidance = Guidance("embedded", (low + high) / 2, (low, high))
    return {"scheduler": "SCMScheduler", "prediction": "trigflow", "guidance": guidance, "timesteps": SPRINT_STEPS}


def write_rewarded(facts: dict, denoiser: Denoiser, home: Path) -> dict:
    """Served as its base is: the same scheduler, steps and guidance."""
    base = catalogue.find(facts["base"])
    if (scheduler := catalogue.part(base, "scheduler")) is None:
        raise ValueError(f"what feedback makes of {base.id} can't be served; valid bases: models published here")
    shutil.copytree(scheduler, home / "scheduler")
    as_base = ("family", "scheduler", "prediction", "timesteps", "default_steps", "guidance", "eta")
    said = {name: getattr(base.manifest, name) for name in as_base}
    if isinstance(denoiser, UNetDenoiser):
        return write_network(facts, denoiser, home) | said
    denoiser.network.half().save_pretrained(home / "transformer")
    return said


def write_judge(facts: dict, judge: Judge, home: Path) -> dict:
    judge.save(home)
    return {"kind": "judge", "family": "judge", "scheduler": None, "prediction": None, "base": None}


def write_camera(facts: dict, denoiser: UNetDenoiser, home: Path) -> dict:
    """Served as its base is, and told the camera where somebody says it."""
    assert denoiser.camera is not None, "that is what the method adds"
    camera.save(denoiser.camera, home)
    return write_rewarded(facts, denoiser, home)


WRITERS: dict[str, Callable[[dict, Any, Path], dict]] = {
    "autoencoder": write_autoencoder,
    "sft": write_teacher,
    "scm_ladd": write_sprint,
    "oracle": write_judge,
    "tscd": few_steps(TCDScheduler, segment_starts, eta=0.3),
    "lcm": few_steps(LCMScheduler, lambda _: TCD_STEPS),
    "dmd": few_steps(LCMScheduler, own_times),
    "disback": few_steps(LCMScheduler, own_times),
    "msd": few_steps(LCMScheduler, own_times),
    "cfg_lora": write_guided,
    "feedback": write_rewarded,
    "camera": write_camera,
}


def publish(run: Path, id: str, home: Path) -> Manifest:
    """Raises ValueError for a run without a good checkpoint, of a method that nothing serves yet, or a hidden place."""
    box = assets() / "weights" / id
    if home != box and box.is_dir():
        raise ValueError(f"{id} is a model of the box, which hides the studio's: take another --id, or --box")
    facts, student, saved = trained(run)
    if facts["method"] not in WRITERS:
        raise ValueError(
            f"what {facts['method']} makes can't be served yet; valid methods: {', '.join(sorted(WRITERS))}"
        )
    with whole_folder(home) as tmp:
        own = WRITERS[facts["method"]](facts, student, tmp)
        forget_paths(tmp)
        if own.get("kind", "model") in ("model", "lora"):
            words = vocabulary(facts["dataset"], facts["skip_bad"], facts["base"])
            words = list(dict.fromkeys([*words, *start.words(run)])) if facts.get("start") else words
            (tmp / "vocabulary.json").write_text(json.dumps(words, ensure_ascii=False, indent=0))
        curve(run, tmp / "curve.png")
        files = {str(p.relative_to(tmp)): sha256(p) for p in sorted(tmp.rglob("*")) if p.is_file()}
        defaults = {
            "kind": "model",
            "family": "sana",
            "timesteps": {},
            "default_steps": 1,
            "guidance": Guidance(),
            "lora": None,
        }
        adapter = own.get("kind") == "lora"
        counted = [p for k, p in student.named_parameters() if not adapter or "lora_" in k]
        manifest = Manifest(
            **(defaults | history(id, facts, saved.counters["samples_seen"], home) | own),
            id=id,
            method=facts["method"],
            dataset=facts["dataset"],
            code=code_version(),
            seed=facts["train"]["seed"],
            licence=LICENCE,
            files=files,
            parameters=sum(p.numel() for p in counted),
            base_sha256=facts.get("base_sha256", "") if adapter else "",
        )
        (tmp / "README.md").write_text(card(manifest, facts))
        (tmp / "manifest.json").write_text(json.dumps(manifest.to_dict(), indent=1))
    return manifest


def history(id: str, facts: dict, samples: int, home: Path) -> dict:
    """What it is built on, how it was made, from how many samples; with the past of what it goes on from: a student
    that it started from, or its base, whose place it takes. Raises ValueError for both at once."""
    box = " --box" if home.is_relative_to(assets()) else ""
    command = f"{facts['command']} && python -m distill.publish {facts['run']} --id {id}{box}"
    made = {"base": facts["base"], "command": command, "samples_seen": samples}
    if facts["base"] is None:
        return made
    past, whole = catalogue.find(facts["base"]).manifest, facts["method"] == "autoencoder"
    made |= {"latents": past.latents}
    if begun := facts.get("start"):
        if past.id == id:
            raise ValueError(f"a student that started from {begun['id']} can't take its base's place: another --id")
        samples += begun["samples_seen"]
        return made | {"command": f"{begun['command']} && {command}", "samples_seen": samples}
    if past.id != id and not whole:
        return made
    if past.command.endswith(command):  # published again
        return made | {"base": past.base, "command": past.command, "samples_seen": past.samples_seen}
    more = {"command": f"{past.command} && {command}", "samples_seen": past.samples_seen + samples}
    return made | more | {"base": past.base}


def forget_paths(home: Path) -> None:
    """diffusers notes where a network was loaded from; that is nobody else's business."""
    for path in home.rglob("config.json"):
        config = json.loads(path.read_text())
        if config.pop("_name_or_path", None) is not None:
            path.write_text(json.dumps(config, indent=2) + "\n")


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser("distill.publish", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("run", help="name of a run in the studio")
    p.add_argument("--id", required=True, help="what the model will be called")
    p.add_argument("--box", action="store_true", help="into assets/weights, to be shipped, not into the studio")
    args = p.parse_args(argv)
    try:
        home = (assets() / "weights" if args.box else studio() / "models") / args.id
        catalogue.free(args.id, home)
        manifest = publish(run_dir(args.run), args.id, home)
    except (ValueError, FileNotFoundError) as e:
        print(f"distill.publish: {e}", file=sys.stderr)
        return 2
    size = sum((home / f).stat().st_size for f in manifest.files) / 1e6
    print(f"{args.id}: {manifest.parameters:,} parameters, {size:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
