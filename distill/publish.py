"""Publishes a run as a served model: weights in half precision, manifest and card, in the studio or in the box.

    python -m distill.publish RUN --id ID [--box]

The weights are the moving average of the newest good checkpoint. The method's `serve` writes them. The folder appears
whole or not at all.
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from shlex import quote

import torch

from core import checkpoint
from core.files import sha256, whole_folder
from core.paths import ROOT, assets, run_dir, studio, use_studio
from core.paths import cache as cache_dir
from core.settings import from_saved
from distill import declared, start, world
from distill.card import card, curve
from distill.data import cache, place, sources
from distill.serve import Trained
from models import catalogue, elsewhere, families, recipe
from models import vocabulary as lexicon
from models.catalogue import Guidance, Manifest, Row
from models.generate import generate
from models.request import ImageRequest

LICENCE, VERSION = "Apache-2.0", "0.1.0"
USUAL = {"kind": "model", "family": "sana", "timesteps": {}, "default_steps": 1, "guidance": Guidance(), "lora": None}


def code_version() -> str:
    """The project's version and the commit of the work tree."""
    git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return f"{VERSION}+{git.stdout.strip()}" if git.returncode == 0 else VERSION


def vocabulary(run: Path, made: Trained) -> list[str] | None:
    """The words of its training, the commonest first, then those that its start or its base knew, unless it forgets.

    None for a model that knows a whole language, such as a student of a model of the Hub.
    """
    facts, kept = made.facts, run / start.WORDS
    if kept.is_file():
        own = json.loads(kept.read_text(encoding="utf-8"))
    else:  # an older run, which did not store its words
        chosen = sources(facts["dataset"], skip_bad=facts["skip_bad"], side=world.side(made.base))
        own = world.words_of([cache.draw(s, cache_dir()) for s in chosen])
    if getattr(declared.module(facts["method"]), "FORGETS", False):
        return own
    before: list[str] | None = start.words(run)
    if made.base is not None and made.base.manifest.kind == "model":
        known = lexicon.vocabulary(made.base)
        before = None if known is None and catalogue.on_hub(made.base) else [*before, *(known or ())]
    return None if before is None else list(dict.fromkeys([*own, *before]))


def trained(run: Path) -> Trained:
    """The facts of a run, and its student with the weights of the moving average. Raises ValueError."""
    facts = json.loads((run / "run.json").read_text())
    newest, _ = checkpoint.newest(run)
    if newest is None:
        raise ValueError(f"run {run.name!r} has no good checkpoint to publish")
    module = declared.module(facts["method"])
    base = catalogue.find(facts["base"]) if facts["base"] else None
    base = base and elsewhere.named(base, set(catalogue.rows()))
    if "latents" in module.Method.needs:
        world.check_latents(facts, base)  # before the data set goes through the other autoencoder
    cfg, seed = from_saved(module.Config(), facts["config"]), facts["train"]["seed"]
    torch.manual_seed(seed)
    scene_request = world.SceneRequest(module, cfg, base, facts["dataset"], seed, facts["skip_bad"])
    student = (
        world.student_alone(scene_request, torch.device("cpu"))
        or world.build(scene_request, torch.device("cpu")).world.student
    )
    saved = checkpoint.load(newest)
    player = "judge" if "judge" in saved.tensors else "student"
    weights = saved.tensors.get(f"{player}.ema", saved.tensors[player])
    parameters = dict(student.named_parameters())
    unknown = weights.keys() - parameters.keys()
    assert not unknown, f"the checkpoint holds {sorted(unknown)[:3]}, which this network does not have"
    for name, w in weights.items():
        parameters[name].data.copy_(w)
    for name, kept in saved.tensors.get(f"{player}.buffers", {}).items():  # such as the medians of a router
        student.get_buffer(name).copy_(kept)
    return Trained(facts, cfg, base, student.eval(), saved.counters["samples_seen"], saved.step)


def publish(run: Path, id: str, home: Path) -> Manifest:
    """Publish a run as the model `id` in the folder `home`. Raises ValueError for a run without a good checkpoint or of
    points, and for an id that a model of the box has."""
    box = assets() / "weights" / id
    if home != box and box.is_dir():
        raise ValueError(f"{id} is a model of the box, which hides the studio's: take another --id, or --box")
    if not (run / "run.json").is_file():
        raise ValueError(f"there is no run named {run.name!r} to publish")
    if json.loads((run / "run.json").read_text())["dataset"] == "mixture":
        raise ValueError(
            f"run {run.name!r} learnt the 2-D mixture: it makes points, not pictures, so it can't be published"
        )
    made = trained(run)
    if made.base is not None:
        elsewhere.remember(made.base)
    facts, module = made.facts, declared.module(made.facts["method"])
    with whole_folder(home) as part:
        own = {"about": module.ABOUT} | module.serve(made, part)
        forget_paths(part)
        if own.get("kind", "model") in ("model", "lora") and (known := vocabulary(run, made)) is not None:
            (part / lexicon.FILE).write_text(json.dumps(known, ensure_ascii=False, indent=0))
        curve(run, part / "curve.png")
        files = {str(p.relative_to(part)): sha256(p) for p in sorted(part.rglob("*")) if p.is_file()}
        of_base = own.get("kind") in ("lora", "slider", "control")
        added = re.compile(r"lora_|control\.|word$")
        counted = [p for k, p in made.student.named_parameters() if not of_base or added.search(k)]
        manifest = Manifest(
            **(USUAL | history(id, made, home, alone="base" in own) | own),
            id=id,
            method=facts["method"],
            dataset=learnt(made),
            code=code_version(),
            seed=facts["train"]["seed"],
            licence=made.base.manifest.licence if made.base else LICENCE,
            files=files,
            parameters=sum(p.numel() for p in counted),
            base_sha256=facts.get("base_sha256", "") if of_base else "",
        )
        (part / "README.md").write_text(card(manifest, facts, tried(manifest, part)))
        (part / "manifest.json").write_text(json.dumps(manifest.to_dict(), indent=1))
    return manifest


def tried(manifest: Manifest, folder: Path) -> str:
    """The card's section "In diffusers", after the model has painted a picture. Raises ValueError where it can't."""
    with catalogue.unpublished(manifest, folder) as row:
        if manifest.kind not in catalogue.HIDDEN:
            for _ in generate(families.load(row), ImageRequest("a picture", model=row.id)):
                pass
        return recipe.section(row)


def further(made: Trained) -> bool:
    """Whether the model is its base, trained further, and not a student of it."""
    module = declared.module(made.facts["method"])
    return made.base is not None and made.base.manifest.kind == "model" and getattr(module, "FURTHER", False)


def learnt(made: Trained) -> str:
    """The data sets that the model was trained on. A folder is given by its name, without its path."""
    own = [made.facts["dataset"] if place(made.facts["dataset"]) is None else Path(made.facts["dataset"]).name]
    before = made.base.manifest.dataset.split("+") if made.base is not None and further(made) else []
    known = [part for name in own for part in (name.split("+") if place(name) is None else [name])]
    return "+".join(dict.fromkeys([*before, *known]))


def history(id: str, run: Trained, home: Path, alone: bool) -> dict:
    """The manifest's base, command and number of samples. They include the history of a student that the run started
    from, or of a base that the model replaces. `alone`: the model contains its base, as an autoencoder does. Raises
    ValueError where the run has a start and the model would replace its base."""
    facts, samples = run.facts, run.samples
    box = " --box" if home.is_relative_to(assets()) else ""
    until = f" --until {run.step}" if run.step < facts["train"]["steps"] else ""
    line = pathless(facts, run.base)
    line = line if line.endswith(until) else line + until
    command = f"{line} && python -m distill.publish {facts['run']} --id {id}{box}"
    made = {"base": run.base.id if run.base else None, "command": command, "samples_seen": samples}
    if run.base is None:
        return made
    past = run.base.manifest
    made |= {"latents": past.latents}
    if begun := facts.get("start"):
        if past.id == id:
            raise ValueError(
                f"a student that started from {begun['id']} can't take its base's place; choose another --id"
            )
        samples += begun["samples_seen"]
        return made | {"command": f"{begun['command']} && {command}", "samples_seen": samples}
    if past.id != id and not alone:
        return made | ({"samples_seen": past.samples_seen + samples} if further(run) else {})
    if past.command.endswith(command):  # published again
        return made | {"base": past.base, "command": past.command, "samples_seen": past.samples_seen}
    more = {"command": f"{past.command} && {command}", "samples_seen": past.samples_seen + samples}
    return made | more | {"base": past.base}


def pathless(facts: dict, base: Row | None) -> str:
    """The run's command, with the names of folders in place of their paths."""
    line, dataset = facts["command"], facts["dataset"]
    if place(dataset) is not None or Path(dataset).is_absolute():
        line = line.replace(f"--dataset {quote(dataset)}", f"--dataset {quote(Path(dataset).name)}")
    return line if base is None else line.replace(f"--base {quote(facts['base'])}", f"--base {quote(base.id)}")


def forget_paths(home: Path) -> None:
    """Remove the paths of this computer that diffusers writes into configurations."""
    for path in home.rglob("config.json"):
        config = json.loads(path.read_text())
        if config.pop("_name_or_path", None) is not None:
            path.write_text(json.dumps(config, indent=2) + "\n")


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser("distill.publish", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("run", help="name of a run in the studio")
    p.add_argument("--id", required=True, help="id of the new model")
    p.add_argument("--box", action="store_true", help="publish into assets/weights, not into the studio")
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
