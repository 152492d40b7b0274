"""What of a training must fit together: method, base, start, data and settings. Where something doesn't, one sentence.

Jobs and the command ask the same here, before anything is drawn or waits in a queue. No torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from distill.declared import BASES, declared
from distill.settings import TrainConfig
from models import catalogue
from models.catalogue import Row

MIXTURE = "mixture"
READ = {"mini", "toys", "pairs"}  # parts of data sets that the judge which rewards can read


@dataclass(frozen=True)
class Training:
    method: str
    base: Row | None
    start: Row | None
    dataset: str
    own: Any  # the method's Config
    loop: TrainConfig


def check(t: Training) -> None:
    """Raises ValueError for what is no training."""
    if t.base is not None and (reason := catalogue.in_parts(t.base)):
        raise ValueError(reason)
    reason = no_base(t.method, t.base, t.dataset) or no_data(t) or (t.start and no_beginning(t, t.start))
    if reason:
        raise ValueError(reason)
    check_settings(t)


def check_settings(t: Training) -> None:
    """Raises ValueError for settings that are no training together, or not on this base: also of a run that goes on."""
    own, loop = t.own, t.loop
    if reason := unreached(getattr(own, "stages", {}), loop.steps):
        raise ValueError(reason)
    if loop.batch_size % loop.accumulate:
        raise ValueError(f"train.batch_size={loop.batch_size} can't be cut into train.accumulate={loop.accumulate}")
    if loop.batch_size // loop.accumulate < (least := getattr(own, "least", 1)):
        where = f"each of {loop.accumulate} slices (train.accumulate)" if loop.accumulate > 1 else "a step"
        raise ValueError(f"train.batch_size={loop.batch_size}: this method needs {least} samples in {where}")
    if loop.compile and (getattr(own, "several", False) or on_pictures(t.method)):
        raise ValueError("train.compile=true takes a student that is one network; leave it out")
    if t.base is not None and getattr(own, "slips", 0):
        from distill.data.painted import painters_of  # brings numpy, which listing jobs can do without

        painters_of(t.base)
    if t.base is not None and t.dataset != MIXTURE and (reason := no_blocks(getattr(own, "looks_at", ()), t.base)):
        raise ValueError(reason)


def no_base(method: str, row: Row | None, dataset: str) -> str | None:
    """One sentence where this method does not take that base. The mixture has a base of its own."""
    if dataset == MIXTURE:
        return None
    takes = declared(method).bases
    if (kind := base_kind(row)) in takes:
        return None
    *most, last = (BASES[name] for name in takes)
    is_one = f"{row.id} is {BASES.get(kind, f'of kind {kind}').partition(' (')[0]}" if row else "name one with --base"
    many = f"{', '.join(most)} or {last}" if most else last
    return f"{method} takes {many} as its base; {is_one}"


def base_kind(row: Row | None) -> str:
    """As `BASES` of a method's file names it."""
    if row is None:
        return "none"
    made = row.manifest
    if made.kind != "model":
        return made.kind
    return "sprint" if made.prediction == "trigflow" else made.family


def no_data(t: Training) -> str | None:
    """One sentence where the data set has not what the method looks at."""
    from distill.data import NAMES, SIDE  # brings numpy, which listing jobs can do without

    if t.dataset == MIXTURE:
        valid = f"{', '.join(NAMES)} or a folder"
        return f"the mixture has no pictures, which {t.method} needs; valid: {valid}" if on_pictures(t.method) else None
    side = (t.base.size if t.base else 0) or SIDE
    if t.dataset in NAMES and side != SIDE:
        return f"pictures of {t.dataset} are {SIDE} × {SIDE}; a model of {side} × {side} needs a folder of pictures"
    with_toys = [name for name in NAMES if READ & {*name.split("+")}]
    if getattr(t.own, "rewarded", False) and t.dataset not in with_toys:
        return f"the judge that rewards reads toys, and {t.dataset} has none; valid: {', '.join(with_toys)}"
    return None


def on_pictures(method: str) -> bool:
    """Whether it trains on pictures; the others train on latents, which are those of a base."""
    return "none" in declared(method).bases


def no_beginning(t: Training, start: Row) -> str | None:
    """One sentence where the training can't begin as that row."""
    if on_pictures(t.method) or t.dataset == MIXTURE:
        return "start takes a training on latents of pictures; leave it out"
    if reason := no_start(start, t.base and t.base.id):
        return reason
    if getattr(t.own, "several", False):
        return "start takes one network, and this method trains several; leave it out"
    ranks = int((start.manifest.lora or {}).get("rank", 0)), getattr(t.own, "rank", 0)
    begun, made = (f"an adapter of rank {rank}" if rank else "a whole network" for rank in ranks)
    return None if begun == made else f"the start is {begun}, and this training makes {made}"


def no_start(row: Row, base: str | None) -> str | None:
    """One sentence where no training on this base can start from that row's weights."""
    made = row.manifest
    if made.base is None or made.base != base:
        of = f"one of {made.base}" if made.base else "no student"
        return f"start takes a student of {base or 'the base'}; {row.id} is {of}"
    if row.routed:
        return f"start takes one network, and {row.id} is several students; leave it out"
    return None if row.folder else f"start takes a student that was trained here; {row.id} is from elsewhere"


def no_blocks(wanted: tuple[int, ...], base: Row) -> str | None:
    """One sentence where the base's network, as far as it is on this machine, has fewer blocks than are looked at."""
    layers = (catalogue.network_config(base) or {}).get("num_layers")
    wrong = [b for b in wanted if layers is not None and b >= layers]
    return f"blocks={wrong}: {base.id} has {layers} blocks, 0 to {layers - 1}" if layers and wrong else None


def unreached(begins: Mapping[str, int], steps: int) -> str | None:
    """One sentence where a training of so many steps ends before one of its stages begins."""
    what, step = max(begins.items(), key=lambda item: item[1], default=("", 0))
    if step < steps:
        return None
    return f"train.steps={steps} ends before {what}, step {step}: set more steps, or start that phase earlier"
