"""The command line of a training: its flags, and the command that makes a run again."""

import argparse
import dataclasses
from shlex import quote
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


DATASET = "toys+emoji"  # the default


def pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--set takes key=value, not {text!r}")
    return key, value


def command(
    args: argparse.Namespace, cfg: "DataclassInstance", own: "DataclassInstance", loop: "DataclassInstance"
) -> str:
    """The command that makes this run again, with all settings that are not defaults. `loop`: the loop's defaults."""
    parts = ["python -m distill.train", args.method, "--run", args.run, "--dataset", quote(args.dataset)]
    parts += (["--base", quote(args.base)] if args.base else []) + (["--start", args.start] if args.start else [])
    parts += ["--skip-bad"] if args.skip_bad else []
    for prefix, config, known in (("", own, type(own)()), ("train.", cfg, loop)):
        usual = dataclasses.asdict(known) | {"precision": getattr(config, "precision", None)}
        for key, value in dataclasses.asdict(config).items():
            if value != usual[key]:
                shown = ",".join(map(str, value)) if isinstance(value, tuple) else value
                parts.append(f"--set {prefix}{key}={shown}")
    return " ".join(parts)


def resumed(saved: dict, step: int, args: argparse.Namespace, settings: dict[str, str]) -> str:
    """The commands that make again a run that was resumed with other settings at `step`: the old one, then the
    change."""
    before = saved["command"] + (f" --until {step}" if step < saved["train"]["steps"] else "")
    changes = " ".join(f"--set {key}={value}" for key, value in settings.items())
    return f"{before} && python -m distill.train {args.method} --run {args.run} --resume {changes}"


def parser(about: str | None) -> argparse.ArgumentParser:
    """The flags of the command. `about`: the description in its help."""
    p = argparse.ArgumentParser("distill.train", description=about, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("method", help="the name of a file in distill/methods")
    p.add_argument("--run", required=True, help="name of the run's folder in the studio")
    p.add_argument("--base", help="id of the base model: the teacher, or the model to train further")
    p.add_argument("--start", metavar="ID", help="a published student of the base, whose weights the run starts from")
    p.add_argument(
        "--dataset",
        help="toys, emoji, toys+emoji, toys+words+pairs, mini, mixture or a folder of pictures",
    )
    p.add_argument("--skip-bad", action="store_true", help="skip files of a folder that can't be used")
    p.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a setting of the method, or train.… for one of the loop",
    )
    p.add_argument("--seed", type=int)
    p.add_argument("--resume", action="store_true", help="go on from the newest good checkpoint")
    p.add_argument("--minutes", type=float, help="stop after so many minutes, with a checkpoint")
    p.add_argument("--until", type=int, metavar="STEP", help="stop after this step, with a checkpoint")
    return p
