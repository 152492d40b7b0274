"""What a training is asked for: the method, what it starts from, what it looks at, how long; checked without torch.

Settings (`lr`, `train.steps`, …) are read off the source of the method's `Config` and of `TrainConfig`, so a name or
a value that the command would refuse is refused here, before anything waits in a queue.
"""

import ast
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Self, get_args, get_origin

from core.paths import studio
from core.settings import Count, parse
from models import catalogue
from models.request import SEEDS, Request, option

HERE = Path(__file__).parent
TYPES = MappingProxyType({"int": int, "float": float, "str": str, "bool": bool, "Count": Count})
FOLDERS = "datasets"  # in the studio: a person's own pictures, one folder a set
MOST = 60  # settings of one request


def methods() -> list[str]:
    return sorted(p.stem for p in (HERE / "methods").glob("[a-z]*.py"))


def _shipped() -> tuple[str, ...]:
    """The data sets of the project."""
    from distill.data import NAMES  # brings numpy, which listing jobs can do without

    return (*NAMES, "mixture")


def datasets() -> list[str]:
    """The data sets of the project, and the folders that a person put into the studio's `datasets/`."""
    from distill.data.metadata import litter  # likewise

    home, shipped = studio() / FOLDERS, _shipped()
    own = sorted(p.name for p in home.iterdir() if p.is_dir() and not litter(p, home)) if home.is_dir() else []
    return [*shipped, *(name for name in own if name not in shipped)]


def bases() -> list[str]:
    return list(catalogue.rows())


def _kind(node: ast.expr) -> Any:
    """A type from the source of an annotation: plain ones, Literal, tuples of one type, and `| None`."""
    match node:
        case ast.Name(id=name) if name in TYPES:
            return TYPES[name]
        case ast.BinOp(left=left, right=ast.Constant(value=None)):
            return _kind(left) | None
        case ast.Subscript(value=ast.Name(id="Literal"), slice=ast.Tuple(elts=parts)):
            return Literal[tuple(ast.literal_eval(p) for p in parts)]
        case ast.Subscript(value=ast.Name(id="tuple"), slice=ast.Tuple(elts=[first, *_])):
            return tuple[_kind(first), ...]
    raise ValueError(f"a setting can't be of type {ast.unparse(node)}")


@dataclass(frozen=True)
class Field:
    """A field of a dataclass, as its source has it."""

    kind: Any
    usual: str  # as `--set` would take it; empty where the source computes it
    note: str  # the comment beside it


@cache
def _fields(path: Path, name: str) -> dict[str, Field]:
    """Fields of the dataclass `name` in a source file that is not imported; first those that it inherits."""
    text = path.read_text(encoding="utf-8")
    made = next((n for n in ast.parse(text).body if isinstance(n, ast.ClassDef) and n.name == name), None)
    out: dict[str, Field] = {}
    for base in made.bases if made else []:
        if isinstance(base, ast.Attribute) and isinstance(base.value, ast.Name):
            out |= _fields(path.with_name(f"{base.value.id}.py"), base.attr)
    for node in made.body if made else []:
        if isinstance(node, ast.AnnAssign):
            note = text.splitlines()[(node.end_lineno or node.lineno) - 1].partition("  # ")[2]
            out[ast.unparse(node.target)] = Field(_kind(node.annotation), _literal(node.value), note)
    return out


@cache
def _constant(path: Path, name: str) -> str | None:
    """What a source file that is not imported gives a name, where it does."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return ast.unparse(node.value)
    return None


def settings(method: str) -> dict[str, Any]:
    """Setting -> type: the method's own, and the loop's with `train.` before them. `seed` is a field of the request."""
    return {name: field.kind for name, field in _settings(method).items()}


def _settings(method: str) -> dict[str, Field]:
    own = _fields(HERE / "methods" / f"{method}.py", "Config")
    loop = dict(_fields(HERE / "train.py", "TrainConfig"))
    if (steps := _constant(HERE / "methods" / f"{method}.py", "STEPS")) is not None:
        loop["steps"] = replace(loop["steps"], usual=steps)
    return own | {f"train.{k}": field for k, field in loop.items() if k != "seed"}


@dataclass(frozen=True)
class Setting:
    """One setting as people read it: its usual value and the comment beside it in the source."""

    name: str
    usual: str
    note: str
    choices: tuple[str, ...] = ()


@cache
def described(method: str) -> tuple[Setting, ...]:
    """The settings of `settings(method)`, in their order, as the sources describe them."""
    out = []
    for name, field in _settings(method).items():
        choices = get_args(field.kind) if get_origin(field.kind) is Literal else ()
        out.append(Setting(name, field.usual, field.note, tuple(map(str, choices))))
    return tuple(out)


def _literal(value: ast.expr | None) -> str:
    """A default as `--set` would take it; empty where the source computes it."""
    try:
        known = value is not None and ast.literal_eval(value) is not None
        return ast.unparse(value).strip("'()").rstrip(",") if value is not None and known else ""
    except ValueError:
        return ""


def about(method: str) -> str:
    """The first sentence of a method's own docstring."""
    tree = ast.parse((HERE / "methods" / f"{method}.py").read_text(encoding="utf-8"))
    return (ast.get_docstring(tree) or "").partition("\n")[0]


def no_start(row: catalogue.Row, base: str | None) -> str | None:
    """One sentence where no training on this base can begin as that row."""
    made = row.manifest
    if made.base is None or made.base != base:
        of = f"one of {made.base}" if made.base else "no student"
        return f"start takes a student of {base or 'the base'}; {row.id} is {of}"
    if made.method == "msd":
        return f"start takes one network, and {row.id} is several students; leave it out"
    return None if row.folder else f"start takes a student that was trained here; {row.id} is from elsewhere"


def starts() -> list[str]:
    """What a training can begin as, given the right base."""
    return [r.id for r in catalogue.rows().values() if not no_start(r, r.manifest.base)]


@dataclass(frozen=True)
class DistillRequest(Request):
    """A training. `set` holds settings as `key=value`; over JSON it may be an object too."""

    method: str = option("sft", "How the model is made.", choices=methods)
    base: str | None = option(None, "The model that is trained further, or that teaches.", choices=bases)
    start: str | None = option(None, "A student of the base, whose weights it begins with.", choices=starts)
    dataset: str = option("toys+emoji", "What it looks at.", choices=datasets)
    skip_bad: bool = option(False, "Leave out files of a folder of your own that cannot be used.")
    minutes: float | None = option(
        None, "Stop after so long, over all attempts.", low=0.05, high=60_000, unit="minutes"
    )
    seed: int = option(0, "The same seed gives the same weights.", low=0, high=SEEDS - 1, step=1)
    set: tuple[str, ...] = option((), "Settings of the method and the loop, such as lr=1e-4 or train.steps=500.")

    def _validate(self) -> None:
        if self.base and (reason := catalogue.in_parts(catalogue.get(self.base))):
            raise ValueError(reason)
        if self.start and (reason := no_start(catalogue.get(self.start), self.base)):
            raise ValueError(reason)
        valid, seen = settings(self.method), []
        if len(self.set) > MOST:
            raise ValueError(f"{len(self.set)} settings are too many; at most {MOST}")
        for text in self.set:
            key, equals, value = text.partition("=")
            if not equals:
                raise ValueError(f"a setting is key=value, not {text!r}")
            if key not in valid:
                raise ValueError(f"unknown setting {key!r} of {self.method}; valid: {', '.join(valid)}")
            if key in seen:
                raise ValueError(f"{key} is set twice")
            try:
                parse(value, valid[key])
            except ValueError as e:
                raise ValueError(f"{key}={value!r} must be {e}") from None
            seen.append(key)

    def folder(self) -> Path | None:
        """Where the pictures are, when the data set is a person's own."""
        return None if self.dataset in _shipped() else studio() / FOLDERS / self.dataset

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        if isinstance(data, dict) and isinstance(data.get("set"), dict):
            data = data | {"set": [f"{k}={v}" for k, v in data["set"].items()]}
        return super().from_dict(data)
