"""Makes a run a served model: weights in half precision, manifest and card, in the studio or in the box.

    python -m distill.publish RUN --id ID [--box]

The moving average of the newest good checkpoint is what goes out, laid out by its method's `serve`. A folder appears
whole.
"""

import argparse
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import torch

from core import checkpoint
from core.files import sha256, whole_folder
from core.paths import ROOT, assets, run_dir, studio, use_studio
from core.paths import cache as cache_dir
from core.settings import from_saved
from distill import declared, start, world
from distill.card import card, curve
from distill.data import cache, sources
from distill.serve import Trained
from models import catalogue
from models.catalogue import Guidance, Manifest, Row
from models.words import WORD

LICENCE, VERSION = "Apache-2.0", "0.1.0"
USUAL = {"kind": "model", "family": "sana", "timesteps": {}, "default_steps": 1, "guidance": Guidance(), "lora": None}


def code_version() -> str:
    """The project's version and the commit of the work tree."""
    git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return f"{VERSION}+{git.stdout.strip()}" if git.returncode == 0 else VERSION


def vocabulary(dataset: str, skip_bad: bool, base: Row | None = None) -> list[str]:
    """Every word of the captions that it was trained on, the commonest first."""
    parts = [cache.draw(s, cache_dir()) for s in sources(dataset, skip_bad=skip_bad, side=world.side(base))]
    captions = (c for part in parts for row in part.captions for c in row)
    counts = Counter(word for text in captions for word in WORD.findall(text.lower()))
    return sorted(counts, key=lambda word: (-counts[word], word))


def trained(run: Path) -> Trained:
    """What the run was, and its student standing at the moving average."""
    facts = json.loads((run / "run.json").read_text())
    newest, _ = checkpoint.newest(run)
    if newest is None:
        raise ValueError(f"run {run.name!r} has no good checkpoint to publish")
    module = declared.module(facts["method"])
    base = catalogue.find(facts["base"]) if facts["base"] else None
    if "latents" in module.Method.needs:
        world.check_latents(facts, base)  # before the data set goes through the other autoencoder
    cfg, seed = from_saved(module.Config(), facts["config"]), facts["train"]["seed"]
    torch.manual_seed(seed)
    asked = world.Asked(module, cfg, base, facts["dataset"], seed, facts["skip_bad"])
    student = world.build(asked, torch.device("cpu")).world.student
    saved = checkpoint.load(newest)
    player = "judge" if "judge" in saved.tensors else "student"
    weights = saved.tensors.get(f"{player}.ema", saved.tensors[player])
    parameters = dict(student.named_parameters())
    unknown = weights.keys() - parameters.keys()
    assert not unknown, f"the checkpoint holds {sorted(unknown)[:3]} that this network has not"
    for name, w in weights.items():
        parameters[name].data.copy_(w)
    for name, kept in saved.tensors.get(f"{player}.buffers", {}).items():  # such as where a router parts prompts
        student.get_buffer(name).copy_(kept)
    return Trained(facts, cfg, base, student.eval(), saved.counters["samples_seen"])


def publish(run: Path, id: str, home: Path) -> Manifest:
    """Raises ValueError for a run without a good checkpoint, or a place that the box hides."""
    box = assets() / "weights" / id
    if home != box and box.is_dir():
        raise ValueError(f"{id} is a model of the box, which hides the studio's: take another --id, or --box")
    made = trained(run)
    facts, module = made.facts, declared.module(made.facts["method"])
    with whole_folder(home) as part:
        own = {"about": module.ABOUT} | module.serve(made, part)
        forget_paths(part)
        if own.get("kind", "model") in ("model", "lora"):
            words = vocabulary(facts["dataset"], facts["skip_bad"], made.base)
            words = list(dict.fromkeys([*words, *start.words(run)])) if facts.get("start") else words
            (part / "vocabulary.json").write_text(json.dumps(words, ensure_ascii=False, indent=0))
        curve(run, part / "curve.png")
        files = {str(p.relative_to(part)): sha256(p) for p in sorted(part.rglob("*")) if p.is_file()}
        adapter = own.get("kind") == "lora"
        counted = [p for k, p in made.student.named_parameters() if not adapter or "lora_" in k]
        manifest = Manifest(
            **(USUAL | history(id, made, home, alone="base" in own) | own),
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
        (part / "README.md").write_text(card(manifest, facts))
        (part / "manifest.json").write_text(json.dumps(manifest.to_dict(), indent=1))
    return manifest


def history(id: str, run: Trained, home: Path, alone: bool) -> dict:
    """What it is built on, how it was made, from how many samples; with the past of what it goes on from: a student
    that it started from, or its base, whose place it takes. `alone`: what it is built on is part of it. Raises
    ValueError for a start and a base's place at once."""
    facts, samples = run.facts, run.samples
    box = " --box" if home.is_relative_to(assets()) else ""
    command = f"{facts['command']} && python -m distill.publish {facts['run']} --id {id}{box}"
    made = {"base": facts["base"], "command": command, "samples_seen": samples}
    if run.base is None:
        return made
    past = run.base.manifest
    made |= {"latents": past.latents}
    if begun := facts.get("start"):
        if past.id == id:
            raise ValueError(f"a student that started from {begun['id']} can't take its base's place: another --id")
        samples += begun["samples_seen"]
        return made | {"command": f"{begun['command']} && {command}", "samples_seen": samples}
    if past.id != id and not alone:
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
    use_studio()
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
