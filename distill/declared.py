"""The methods, and the declarations of their files, read without torch.

A method's file imports torch, which takes seconds. Forms, the command line of jobs and checks of requests need only its
ABOUT, BASES, STEPS and Config. So those statements alone are run, with the statements whose names they use. They are
data, as in any module: a comment has no meaning, and a declaration that needs torch works too, but imports it.
"""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from core.settings import Setting, settings
from distill.settings import TrainConfig

HOME = Path(__file__).parent / "methods"
BASES = {  # the kinds of base that `BASES` of a method's file may name
    "none": "no base",
    "autoencoder": "an autoencoder (in the box toybox-dcae or toybox-kl)",
    "sana": "a SANA (in the box toybox-sana)",
    "sprint": "a SANA-Sprint (in the box toybox-sprint)",
    "sd": "a Stable Diffusion (in the box toybox-sd)",
    "sdxl": "an SDXL",
    "judge": "a judge",
}


def methods() -> list[str]:
    return sorted(p.stem for p in HOME.glob("[a-z]*.py"))


def proposed() -> str:
    """The method that requests and forms start with: its file has the line `PROPOSED = True`."""
    return next(name for name in methods() if "\nPROPOSED = True" in (HOME / f"{name}.py").read_text(encoding="utf-8"))


def known(name: str) -> str:
    """The name, checked. Raises ValueError where there is no method of this name."""
    if name not in (valid := methods()):
        raise ValueError(f"unknown method {name!r}; valid: {', '.join(valid)}")
    return name


def module(name: str) -> ModuleType:
    """The whole module of a method, for training and publishing. Raises ValueError for an unknown name."""
    return import_module(f"distill.methods.{known(name)}")


@dataclass(frozen=True)
class Declared:
    """The declarations of a method. `settings`: its own, and the loop's with `train.` before them, except `train.seed`,
    which is a field of the request."""

    about: str  # one line
    bases: tuple[str, ...]  # kinds of base that it takes
    settings: Mapping[str, Setting]
    config: Any  # the method's Config with its defaults
    loop: TrainConfig


def declared(name: str) -> Declared:
    file = HOME / f"{known(name)}.py"
    return _declared(file, file.stat().st_mtime_ns)


@cache
def _declared(file: Path, stamp: int) -> Declared:
    names = _declarations(file)
    own, loop = names["Config"](), TrainConfig(steps=names.get("STEPS", TrainConfig.steps))
    shown = settings(own) | settings(loop, "train.")
    del shown["train.seed"]
    return Declared(names["ABOUT"], names["BASES"], shown, own, loop)


def _declarations(file: Path) -> dict[str, Any]:
    """The values of ABOUT, BASES, STEPS and Config of a method's file, and of the names that they use, by name."""
    wanted, nodes = {"ABOUT", "BASES", "STEPS", "Config"}, []
    for node in reversed(ast.parse(file.read_text(encoding="utf-8"), str(file)).body):
        if wanted & _defined(node):
            nodes.insert(0, node)
            wanted |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    out: dict[str, Any] = {"__name__": f"distill.methods.{file.stem}"}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module == "distill.methods":
            out |= {a.asname or a.name: SimpleNamespace(**_declarations(HOME / f"{a.name}.py")) for a in node.names}
        else:
            exec(compile(ast.Module([node], []), str(file), "exec"), out)
    return {name: value for name, value in out.items() if not name.startswith("__")}


def _defined(node: ast.stmt) -> set[str]:
    """The names that a statement at the top of a file defines."""
    match node:
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            return {(a.asname or a.name).partition(".")[0] for a in names}
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
            return {name}
        case ast.Assign(targets=targets):
            return {n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)}
        case ast.AnnAssign(target=ast.Name(id=name)) | ast.AugAssign(target=ast.Name(id=name)):
            return {name}
    return set()
