"""docs/adding.md is true: what it says is done in a copy of the repository, and the new thing is there."""

import inspect
import json
import os
import shutil
import subprocess
import sys
import textwrap

import pytest

from core.paths import ROOT
from distill.method import Method
from tests.test_architecture import families, fields, pages, proofs, tabs

COPIED = ("ui", "jobs", "distill", "models", "docs/methods", "tests")  # what the lists change; the rest is linked


@pytest.fixture
def tree(tmp_path):
    """A copy of the repository: (its root, the files that it had)."""
    for name in ("app.py", "core", "threed", "evals", "assets", "benchmarks", "pyproject.toml"):
        (tmp_path / name).symlink_to(ROOT / name)
    for name in COPIED:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def code(after: str, language: str) -> str:
    """The first indented block behind a sentence of the page whose first line has this word."""
    lines = (ROOT / "docs/adding.md").read_text(encoding="utf-8").partition(after)[2].splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("       ") and language in line)
    end = next(
        (i for i, line in enumerate(lines[start:], start) if line.strip() and not line.startswith("       ")), None
    )
    return "\n".join(line[7:] for line in lines[start:end]) + "\n"


def put(root, name, text):
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_text(text, encoding="utf-8")


def change(root, name, old, new):
    text = (root / name).read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{old} stands {text.count(old)} times in {name}"
    (root / name).write_text(text.replace(old, new), encoding="utf-8")


def answer(root, script):
    """What a script prints, run in the copy."""
    env = {**os.environ, "STILL_LIFE_STUDIO": str(root / "studio"), "PYTHONPATH": str(root)}
    out = subprocess.run([sys.executable, "-c", script], cwd=root, env=env, capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    return json.loads(out.stdout.splitlines()[-1])


LOOK = """
import json
from ui import shell, style
from ui.desk import Desk
from ui.place import Place
desk = Desk(Place())
demo = shell.build(desk)
server = {f.__name__: f for b in demo.blocks.values() for f in getattr(b, "server_fns", [])}
head = next(b.value for b in demo.blocks.values() if getattr(b, "elem_id", "") == "head")
print(json.dumps([[p[0] for p in demo.pages], head, "still.parts.shelf" in style.head(), ".sl-shelf" in style.css(),
                  server["shelves"]({}), server["shelves"](None)]))
"""


TRAIN = """
import json
from pathlib import Path
from core.paths import run_dir
from distill import declared, publish, train
from distill.request import DistillRequest
from ui.distill.form import form
request = DistillRequest(method="regression", dataset="mixture", set=("rank=0", "train.steps=2"))
code = train.main(["regression", "--run", "r", "--dataset", "mixture", "--set", "rank=0", "--set", "train.steps=2",
                   "--set", "train.batch_size=8", "--set", "train.precision=fp32", "--set", "train.warmup=1"])
made = publish.trained(run_dir("r"))
drawn = form("distill", {"method": "regression"})
names = [s["name"] for s in drawn["settings"]][:2]
served = callable(declared.module("regression").serve)
print(json.dumps([code, made.samples, made.cfg.rank, drawn["fields"][0]["help"], names, served]))
"""


def test_a_method(tree):
    put(tree, "distill/methods/regression.py", '"""Regression on the teacher."""\n\n' + example())
    assert pages(tree) == ["docs/methods/regression.md is missing"]
    put(tree, "docs/methods/regression.md", "# regression: what the teacher answers\n")
    assert pages(tree) == [] and proofs(tree) == ["no learning test names regression"]
    put(tree, "tests/test_regression.py", code("## A method", "from benchmarks.mixture"))
    assert proofs(tree) == []
    status, samples, rank, help, names, served = answer(tree, TRAIN)
    assert (status, samples, rank, names, served) == (0, 16, 0, ["lr", "rank"], True)
    assert help == "Regression: the student learns the teacher's answers."


def test_a_family(tree):
    put(tree, "models/families/dit.py", code("## A family", '"""PixArt'))
    assert families(tree) == ["no test compares family dit with its pipeline"]
    put(tree, "tests/test_dit.py", code("## A family", "import numpy"))
    assert families(tree) == []
    arguments = ["-m", "pytest", "-n0", "-q", "-p", "no:cacheprovider", "tests/test_dit.py"]
    out = subprocess.run([sys.executable, *arguments], cwd=tree, capture_output=True, text=True)
    assert out.returncode == 0, out.stdout + out.stderr


def example() -> str:
    """The method in the contract's docstring."""
    lines = inspect.getdoc(Method).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("    from dataclasses"))
    return textwrap.dedent("\n".join(lines[start:])) + "\n"


def test_a_tab(tree):
    put(tree, "ui/shelf/tab.py", code("## A tab", "from ui.desk"))
    files = ["ui/shelf/shelf.js is missing", "ui/shelf/shelf.css is missing"]
    assert tabs(tree) == ["shelf is not in NAMES of ui/tab.py", *files]
    put(tree, "ui/shelf/shelf.js", code("## A tab", "still.parts.shelf"))
    put(tree, "ui/shelf/shelf.css", ".sl-shelf { color: var(--sl-ink); }\n")
    change(tree, "ui/tab.py", '"compare", ', '"compare", "shelf", ')
    assert tabs(tree) == []
    pages, head, script, style, count, mistake = answer(tree, LOOK)
    assert pages[pages.index("compare") + 1] == "shelf" and '<a href="./shelf">Shelf</a>' in head
    assert script and style and count == {"pictures": 0} and mistake == {"error": "a call takes one object"}


REQUEST = """
import sys
from dataclasses import dataclass
from core.fields import option
from models.request import Request


@dataclass(frozen=True)
class EchoRequest(Request):
    prompt: str = option("", "What comes back.", required=True, longest=100)


def command(request, start):
    return [sys.executable, "-m", "echo.run", request.prompt, "--run", start.run.name]
"""
JOB = """
import json
from jobs.kinds import KINDS
from jobs.store import Store
from ui.desk import Desk
from ui.jobs.desk import Visitor
from ui.place import Place
desk, home = Desk(Place()).jobs, Visitor()
id = desk.job_submit({"kind": "echo", "values": {"prompt": "a fox"}}, home)["id"]
job = desk.store.get(id)
desk.store.run(id).mkdir(parents=True, exist_ok=True)
(desk.store.run(id) / "echo.png").write_bytes(b"png")
job.outputs.extend([{"path": "echo.png", "bytes": 3}, {"path": "echo.txt", "bytes": 4}])
from ui.jobs.shown import shown_of
form = desk.job_form({"kind": "echo", "values": {}}, home)
print(json.dumps([desk.job({"id": id}, home)["job"]["title"], [f["name"] for f in form["fields"]],
                  shown_of(job).results(desk, job), desk.jobs_page({}, home)["begin"]]))
"""


def test_a_kind_of_job(tree):
    put(tree, "echo/request.py", REQUEST)
    change(tree, "jobs/kinds.py", "import sys\n", "import sys\nfrom echo.request import EchoRequest, command\n")
    change(tree, "jobs/kinds.py", '{"distill": Kind(', '{"echo": Kind(EchoRequest, command), "distill": Kind(')
    assert tabs(tree) == ["ui/echo/job.py is missing"]
    put(tree, "ui/echo/job.py", code("## A kind of job", "from ui.jobs.shown"))
    title, fields, results, begin = answer(tree, JOB)
    assert title == "echo · a fox" and fields == ["prompt"] and begin[0].startswith("An echo starts by")
    listed = [{"path": "echo.txt", "bytes": 4, "missing": True}]
    assert results == [{"path": "echo.png", "bytes": 3, "show": "picture"}, {"show": "files", "files": listed}]


CONTROL = """
import json
from io import BytesIO
from PIL import Image
from models import generate, picture
from models.request import ImageRequest
from ui import shell
from ui.desk import Desk
from ui.place import Place
png = picture.png_bytes(Image.new("RGB", (8, 8)), ImageRequest("a fox", sharpness=0.5))
demo = shell.build(Desk(Place()))
drawn = [b.value for b in demo.blocks.values() if getattr(b, "elem_id", "") == "field-sharpness"]
flag = generate.parser().parse_args(["a fox", "--sharpness", "0.25"]).sharpness
named = [p["parameter_name"] for p in demo.get_api_info()["named_endpoints"]["/generate"]["parameters"]]
print(json.dumps([picture.read(BytesIO(png)).fields["sharpness"], drawn, flag, "sharpness" in named]))
"""


def test_a_control(tree):
    field = '    sharpness: float = option(0.0, "How crisp.", low=0, high=1)\n'
    change(tree, "models/request.py", "    even: str = option(", field + "    even: str = option(")
    assert fields(tree) == ["nothing in models/ reads sharpness"]
    change(tree, "models/generate.py", "pink(x, request.pink)", "pink(x, request.pink + request.sharpness)")
    assert fields(tree) == []
    change(tree, "ui/create/tab.py", 'add("style")', 'add("style"), add("sharpness")')
    assert answer(tree, CONTROL) == [0.5, [0.0], 0.25, True]


HOOK = """
import json
import torch
from models import catalogue, families
from models.generate import generate
from models.request import ImageRequest
parts = families.load(catalogue.get("toybox-hyper"))
ask = lambda **more: ImageRequest("a red ball", model="toybox-hyper", steps=2, **more)
last = lambda request: [e.x0 for e in generate(parts, request) if hasattr(e, "x0")][0]
print(json.dumps(torch.equal(last(ask(dim=0.5)), last(ask()) * 0.5)))
"""


def test_a_hook(tree):
    field = '    dim: float = option(1.0, "How much of x0 is left.", low=0, high=1)\n'
    change(tree, "models/request.py", "    even: str = option(", field + "    even: str = option(")
    assert fields(tree) == ["nothing in models/ reads dim"]
    run = "        return cls(request, crew, turns, "
    dimmed = "        turns = [replace(t, after=(*t.after, lambda x0: x0 * request.dim)) for t in turns]\n"
    change(tree, "models/generate.py", run, dimmed + run)
    assert fields(tree) == [] and answer(tree, HOOK) is True
