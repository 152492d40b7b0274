"""The rules of the design that a machine can keep: arrows between folders, habits, weights that are what they say.

Each check is a function of a folder that returns sentences; the repository gives none, planted violations do.
"""

import ast
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.paths import ROOT

OURS = ("app", "ui", "jobs", "distill", "threed", "models", "core", "evals", "benchmarks", "tests")
ARROWS = {  # who may import whom, besides itself; each arrow may skip
    "app": {"ui", "jobs", "distill", "threed", "models", "core", "evals"},
    "ui": {"jobs", "distill", "threed", "models", "core", "evals"},
    "jobs": {"distill", "threed", "models", "core"},
    "distill": {"models", "core", "evals"},
    "threed": {"models", "core", "evals"},
    "models": {"core"},
    "core": set(),
    "evals": set(),
    "benchmarks": {"jobs", "distill", "threed", "models", "core", "evals"},
    "tests": set(OURS),
}
ONLY = {  # packages that few may import: top folder or file
    "gradio": ("app.py", "ui/", "tests/"),
    "accelerate": ("distill/train.py", "tests/"),
    "nerfstudio": ("threed/nerfstudio_method.py", "benchmarks/nerfstudio_field.py"),
}
EVALS = ("torch", "numpy", "safetensors")  # all that evals needs besides the standard library
ONCE = {  # what one file does for all of them
    re.compile(r"""["']STILL_LIFE_STUDIO["']"""): "core/paths.py",
    re.compile(r"hashlib\.file_digest"): "core/files.py",
    re.compile(r"\bOrderedDict\b"): "core/files.py",
}
LOADS = ("core/checkpoint.py",)  # may call torch.load, with weights_only=True
CATCHES_ALL = ("jobs/worker.py",)
SERVED = ("core/", "models/", "distill/", "jobs/", "ui/", "threed/")
WORDS = {
    "autoencoder",
    "camera",
    "controlnet",
    "decoder",
    "enlarge",
    "feedback",
    "personal",
    "slider",
}  # other things, too
MAX_LINES, MAX_FUNCTION, MAX_BYTES = 400, 60, 30_000_000
NOT_OURS = {".git", ".venv", ".venv-nerfstudio", "studio", "__pycache__", ".pytest_cache", ".ruff_cache", ".hypothesis"}
UNFINISHED = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "NotImplemented" + "Error")) + r")\b")
MACHINE = re.compile("/" + r"(root|work)/\w")  # absolute paths of one machine
NOT_RUN = re.compile(r"pytest(\.mark)?\.(skip|skipif|xfail|importorskip)")
DRAWS = re.compile(r"torch\.(rand|randn|randint|randperm|normal|bernoulli|multinomial|rand_like|randn_like)")
GLOBAL = re.compile(r"(np|numpy)\.random\.(?!default_rng|Generator|SeedSequence)\w+|random\.(?!Random)\w+")
TEXT = {".py", ".md", ".txt", ".toml", ".css", ".js", ".json", ".html", ".yml", ""}


def files(root: Path, suffixes: set[str]) -> Iterator[tuple[str, Path]]:
    """(path with slashes from the root, path) of the files that are ours."""
    for folder, below, names in os.walk(root):
        below[:] = sorted(set(below) - NOT_OURS)  # what others write there meanwhile is not looked at
        for path in (Path(folder) / name for name in sorted(set(names) - NOT_OURS)):  # of a worktree .git is a file
            if path.suffix in suffixes:
                yield path.relative_to(root).as_posix(), path


def modules(root: Path) -> Iterator[tuple[str, ast.Module, str]]:
    for name, path in files(root, {".py"}):
        text = path.read_text(encoding="utf-8")
        yield name, ast.parse(text, name), text


def imported(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Top-level package and line of every import, those inside functions and `import_module("…")` too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name.split(".")[0], node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield ("(relative)" if node.level else (node.module or "").split(".")[0]), node.lineno
        elif isinstance(node, ast.Call) and name_of(node.func).endswith("import_module") and node.args:
            first = node.args[0]
            first = first.values[0] if isinstance(first, ast.JoinedStr) else first
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield first.value.split(".")[0], node.lineno


def name_of(node: ast.expr) -> str:
    """`torch.load` for the expression torch.load, "" for what is no dotted name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return ""


def arrows(root: Path) -> list[str]:
    out = []
    for name, tree, _ in modules(root):
        home = name.split("/")[0].removesuffix(".py")
        for package, line in imported(tree):
            turned = package in OURS and package != home and package not in ARROWS.get(home, set())
            foreign = home == "evals" and package not in {"evals", *EVALS, *sys.stdlib_module_names}
            kept = package in ONLY and not name.startswith(ONLY[package])
            if turned or foreign or kept or package == "(relative)":
                out.append(f"{name}:{line} imports {package}")
    return out


def keyword(call: ast.Call, name: str) -> object:
    return next((k.value.value for k in call.keywords if k.arg == name and isinstance(k.value, ast.Constant)), None)


def caught(handler: ast.ExceptHandler) -> set[str]:
    if handler.type is None:
        return {"everything"}
    parts = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return {name_of(p) for p in parts}


def passes_on(handler: ast.ExceptHandler) -> bool:
    """It ends with a bare raise: it tidies up and silences nothing."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def habits(root: Path) -> list[str]:
    """No silent strict=False, no catching of everything, no torch.load of code, no tests that don't run."""
    out = []
    for name, tree, _ in modules(root):
        for node in ast.walk(tree):
            where = f"{name}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.ExceptHandler) and name not in CATCHES_ALL and not passes_on(node):
                wide = caught(node) & {"everything", "Exception", "BaseException"}
                out += [f"{where} catches {w}" for w in wide]
            if isinstance(node, ast.Attribute) and NOT_RUN.fullmatch(name_of(node)):
                out.append(f"{where} does not run its test")
            if not isinstance(node, ast.Call):
                continue
            if keyword(node, "strict") is False and name_of(node.func) != "zip":
                out.append(f"{where} passes strict=False")
            if name_of(node.func) == "torch.load" and (name not in LOADS or keyword(node, "weights_only") is not True):
                out.append(f"{where} calls torch.load")
    return out


def randomness(root: Path) -> list[str]:
    """Served and trained numbers come from generators that are passed around, never from a global one."""
    out = []
    for name, tree, _ in modules(root):
        if not name.startswith(("models/", "distill/", "threed/")):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                call = name_of(node.func)
                bare = DRAWS.fullmatch(call) and not any(k.arg == "generator" for k in node.keywords)
                if bare or GLOBAL.fullmatch(call):
                    out.append(f"{name}:{node.lineno} {call} draws from a global generator")
    return out


def doubles(root: Path) -> list[str]:
    """What the ground floor does is done there alone; tests may look behind it."""
    texts = [(name, text) for name, _, text in modules(root) if not name.startswith("tests/")]
    matches = [(name, home, pattern.search(text)) for name, text in texts for pattern, home in ONCE.items()]
    return [
        f"{name} has {match.group()}, which is for {home}" for name, home, match in matches if match and name != home
    ]


def names(root: Path) -> list[str]:
    """No method's name stands outside its file, where the folder has it; words that mean other things too may."""
    methods = {p.stem for p in (root / "distill/methods").glob("[a-z]*.py")} - WORDS
    own = "|".join(sorted(methods))
    pattern = re.compile(rf"""["'](?:{own})["']|method=(?:{own})\b""")
    served = ((name, text) for name, _, text in modules(root) if name.startswith(SERVED))
    matches = [(name, pattern.search(text)) for name, text in served if not name.startswith("distill/methods/")]
    return [f"{name} names the method {match.group()}" for name, match in matches if methods and match]


def sizes(root: Path) -> list[str]:
    out = []
    for name, tree, text in modules(root):
        if (lines := text.count("\n")) > MAX_LINES:
            out.append(f"{name} has {lines} lines, more than {MAX_LINES}")
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                long = (node.end_lineno or node.lineno) - node.lineno + 1
                if long > MAX_FUNCTION:
                    out.append(f"{name}:{node.lineno} {node.name} has {long} lines, more than {MAX_FUNCTION}")
    return out


def wording(root: Path) -> list[str]:
    """Nothing unfinished, and no path of the machine that it was written on."""
    out = []
    for name, path in files(root, TEXT):
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if (match := MACHINE.search(line)) or (path.suffix == ".py" and (match := UNFINISHED.search(line))):
                out.append(f"{name}:{number} says {match.group()}")
    return out


def pages(root: Path) -> list[str]:
    """Every method has its page."""
    methods = (p.stem for p in sorted((root / "distill/methods").glob("[a-z]*.py")))
    return [f"docs/methods/{m}.md is missing" for m in methods if not (root / f"docs/methods/{m}.md").exists()]


def weights(root: Path) -> list[str]:
    """Each folder of weights is what its manifest says, and no file is too large for the repository."""
    out = []
    for folder in sorted(p for p in (root / "assets/weights").glob("*") if p.is_dir()):
        manifest = folder / "manifest.json"
        if not manifest.exists():
            out.append(f"{folder.name} has no manifest.json")
            continue
        facts = json.loads(manifest.read_text(encoding="utf-8"))
        if facts["id"] != folder.name:
            out.append(f"{folder.name}/manifest.json says id {facts['id']}")
        on_disk = {str(p.relative_to(folder)): p for p in folder.rglob("*.safetensors")}
        out += [f"{folder.name}/{name} is not in the manifest" for name in on_disk.keys() - facts["files"].keys()]
        for name, digest in facts["files"].items():
            path = folder / name
            if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
                out.append(f"{folder.name}/{name} is not the file of the manifest")
        out += [f"{p.relative_to(root)} is too large" for p in folder.rglob("*") if p.stat().st_size > MAX_BYTES]
    return out


def proofs(root: Path) -> list[str]:
    """Every method has a frozen Config; each that makes a generator is in the lists of those that learn the mixture."""
    methods = sorted((root / "distill/methods").glob("[a-z]*.py"))
    names = ("test_distillers", "test_methods", "test_distillers_networks", *(f"test_{p.stem}" for p in methods))
    tests = (root / f"tests/{name}.py" for name in names)
    learning, out = "".join(p.read_text(encoding="utf-8") for p in tests if p.exists()), []
    for path in methods:
        if "@dataclass(frozen=True)\nclass Config" not in path.read_text(encoding="utf-8"):
            out.append(f"distill/methods/{path.name} has no frozen Config")
        recipe = re.compile(rf'\("{path.stem}",|trainer\("{path.stem}"|"{path.stem}": \{{')
        if path.stem not in ("autoencoder", "oracle") and not recipe.search(learning):
            out.append(f"no learning test names {path.stem}")
    return out


def families(root: Path) -> list[str]:
    """Every family that is served is named by a test that calls diffusers' pipeline for the same picture."""
    tests = [p.read_text(encoding="utf-8") for p in sorted((root / "tests").glob("test_*.py"))]
    comparing = "".join(text for text in tests if re.search(r"\.pipeline\(", text))
    served = sorted(p.stem for p in (root / "models/families").glob("[a-z]*.py") if p.stem != "toy2d")
    tested = [name for name in served if re.search(rf"\b{name}\b", comparing)]
    return [f"no test compares family {name} with its pipeline" for name in served if name not in tested]


def tabs(root: Path) -> list[str]:
    """Every tab is in the header's list and has its files; every kind of job says how the pages show it."""
    out, named = [], (root / "ui/tab.py").read_text(encoding="utf-8") if (root / "ui/tab.py").exists() else ""
    for tab in sorted((root / "ui").glob("*/tab.py")):
        folder, text = tab.parent, tab.read_text(encoding="utf-8")
        if f'"{folder.name}"' not in named:
            out.append(f"{folder.name} is not in NAMES of ui/tab.py")
        for kind, suffix in (("scripts", "js"), ("styles", "css")):
            names = re.findall(r'"(\w+)"', (re.search(rf"{kind}=\((.*?)\)", text, re.DOTALL) or ["", ""])[1])
            files = [folder / f"{name}.{suffix}" for name in names]
            out += [f"{path.relative_to(root)} is missing" for path in files if not path.exists()]
    kinds = root / "jobs/kinds.py"
    for kind in re.findall(r'"(\w+)": Kind\(', kinds.read_text(encoding="utf-8") if kinds.exists() else ""):
        if not (root / f"ui/{kind}/job.py").exists():
            out.append(f"ui/{kind}/job.py is missing")
    return out


def fields(root: Path) -> list[str]:
    """Every field of a request for pictures is read by the models."""
    request = root / "models/request.py"
    source = request.read_text(encoding="utf-8").partition("class ImageRequest")[2] if request.exists() else ""
    texts = "".join(p.read_text(encoding="utf-8") for p in sorted((root / "models").rglob("*.py")))
    declared = re.findall(r"^    (\w+): .* = option\(", source, re.MULTILINE)
    return [f"nothing in models/ reads {name}" for name in declared if not re.search(rf"\.{name}\b", texts)]


CHECKS = (tabs, fields, arrows, habits, randomness, doubles, names, sizes, wording, pages, proofs, families, weights)


@pytest.mark.parametrize("check", CHECKS)
def test_the_repository_keeps(check):
    faults = check(ROOT)
    assert not faults, "\n".join(faults)


def manifest(**changes: object) -> str:
    return json.dumps({"id": "a", "files": {"x.safetensors": hashlib.sha256(b"weights").hexdigest()}} | changes)


PLANTED = {
    "an arrow that turns": (arrows, {"models/a.py": "from distill.losses import mse\n"}),
    "siblings": (arrows, {"threed/a.py": "import distill\n"}),
    "an arrow inside a function": (arrows, {"distill/a.py": "def f():\n    import jobs.store\n"}),
    "an arrow by name": (arrows, {"models/a.py": "import importlib\nimportlib.import_module(f'ui.{1}')\n"}),
    "benchmarks import ui": (arrows, {"benchmarks/a.py": "from ui import style\n"}),
    "the code imports the tests": (arrows, {"models/a.py": "from tests import tiny\n"}),
    "evals imports ours": (arrows, {"evals/a.py": "import models\n"}),
    "evals imports theirs": (arrows, {"evals/a.py": "import scipy\n"}),
    "gradio below ui": (arrows, {"jobs/a.py": "import gradio as gr\n"}),
    "accelerate outside the loop": (arrows, {"distill/a.py": "from accelerate import Accelerator\n"}),
    "nerfstudio elsewhere": (arrows, {"threed/run.py": "import nerfstudio.cameras\n"}),
    "the ground floor imports ours": (arrows, {"core/a.py": "from models import catalogue\n"}),
    "a studio of its own": (doubles, {"jobs/a.py": "os.environ['STILL_LIFE_STUDIO'] = x\n"}),
    "a sum of its own": (doubles, {"models/a.py": "hashlib.file_digest(f, 'sha256')\n"}),
    "a memory of its own": (doubles, {"ui/a.py": "from collections import OrderedDict\n"}),
    "a registry of methods": (names, {"distill/methods/dmd.py": "", "ui/menu.py": "TEXTS = {'dmd': 'DMD2'}\n"}),
    "a method in a help text": (names, {"distill/methods/dmd.py": "", "jobs/a.py": '"""submit --set method=dmd"""\n'}),
    "relative": (arrows, {"models/a.py": "from . import b\n"}),
    "strict=False": (habits, {"models/a.py": "net.load_state_dict(w, strict=False)\n"}),
    "except Exception": (habits, {"ui/a.py": "try:\n    f()\nexcept (ValueError, Exception):\n    pass\n"}),
    "bare except": (habits, {"ui/a.py": "try:\n    f()\nexcept:\n    pass\n"}),
    "torch.load": (habits, {"models/a.py": "torch.load(p, weights_only=True)\n"}),
    "torch.load of code": (habits, {"core/checkpoint.py": "torch.load(p)\n"}),
    "a skipped test": (habits, {"tests/a.py": "@pytest.mark.skipif(True, reason='')\ndef test_a(): ...\n"}),
    "numbers from nowhere": (randomness, {"models/a.py": "x = torch.randn(3)\n"}),
    "numbers from numpy's nowhere": (randomness, {"distill/data/a.py": "x = np.random.rand(3)\n"}),
    "a long file": (sizes, {"ui/a.py": "a = 1\n" * 401}),
    "a long function": (sizes, {"ui/a.py": "def f():\n" + "    a = 1\n" * 60}),
    "unfinished": (wording, {"ui/a.py": "# TO" + "DO: more\n"}),
    "a path of this machine": (wording, {"README.md": "see /" + "root/studio\n"}),
    "a method without a page": (pages, {"distill/methods/dmd.py": ""}),
    "a method without a test": (proofs, {"distill/methods/dmd.py": "@dataclass(frozen=True)\nclass Config:"}),
    "a method whose settings change": (proofs, {"distill/methods/oracle.py": "@dataclass\nclass Config:"}),
    "a tab without its script": (tabs, {"ui/tab.py": 'NAMES = ("a",)', "ui/a/tab.py": 'Tab("A", scripts=("a",))'}),
    "a tab that is not named": (tabs, {"ui/tab.py": "NAMES = ()", "ui/a/tab.py": ""}),
    "a kind of job that no page shows": (tabs, {"jobs/kinds.py": 'KINDS = {"echo": Kind(EchoRequest, command)}'}),
    "a field that nothing reads": (fields,
        {"models/request.py": "class ImageRequest:\n    crisp: float = option(0.0)\n"}),
    "a family without a test": (families, {"models/families/dit.py": ""}),
    "weights without a manifest": (weights, {"assets/weights/a/x.safetensors": "weights"}),
    "other weights": (weights, {"assets/weights/a/x.safetensors": "other",
        "assets/weights/a/manifest.json": manifest()}),
    "weights that are not listed": (weights, {"assets/weights/a/x.safetensors": "weights",
        "assets/weights/a/y.safetensors": "", "assets/weights/a/manifest.json": manifest()}),
    "weights that are gone": (weights, {"assets/weights/a/manifest.json": manifest()}),
    "another id": (weights, {"assets/weights/a/x.safetensors": "weights",
        "assets/weights/a/manifest.json": manifest(id="b")}),
    "a huge file": (weights, {"assets/weights/a/x.safetensors": "weights", "assets/weights/a/manifest.json": manifest(),
        "assets/weights/a/card.png": "0" * (MAX_BYTES + 1)}),
}  # fmt: skip
SOUND = {
    "app.py": "import gradio\nimport ui.shell\nfor a, b in zip(x, y, strict=False): ...\n",
    "ui/a.py": "import gradio\nimport jobs, distill, evals\n",
    "distill/train.py": "import accelerate\nfrom core import paths\nimport_module(f'distill.methods.{1}')\n",
    "core/checkpoint.py": "torch.load(p, weights_only=True)\n",
    "core/paths.py": "STUDIO = 'STILL_LIFE_STUDIO'\n",
    "tests/a.py": "patch.setenv('STILL_LIFE_STUDIO', folder)\n",
    "distill/methods/sft.py": "torch.randn(3, generator=g)\nnp.random.default_rng(0).random()\n"
    "@dataclass(frozen=True)\nclass Config: ...\n",
    "tests/test_methods.py": 't = trainer("sft", 10)\n',
    "docs/methods/sft.md": "",
    "evals/a.py": "import torch, json, numpy as np\nfrom safetensors.torch import load_file\n",
    "jobs/a.py": "try:\n    f()\nexcept BaseException:\n    g()\n    raise\n",
    "jobs/worker.py": "try:\n    f()\nexcept Exception:\n    pass\n",
    "benchmarks/a.py": "import evals, models, jobs\n",
    "assets/weights/a/x.safetensors": "weights",
    "assets/weights/a/manifest.json": manifest(),
    ".venv/lib/a.py": "import gradio\n# TO" + "DO\n",
}


def plant(root: Path, tree: dict[str, str]) -> Path:
    for name, text in tree.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_violation_is_found(tmp_path, name):
    check, tree = PLANTED[name]
    faults = check(plant(tmp_path, tree))
    assert len(faults) == 1, faults


@pytest.mark.parametrize("check", CHECKS)
def test_what_is_allowed_stays_allowed(tmp_path, check):
    assert check(plant(tmp_path, SOUND)) == []
