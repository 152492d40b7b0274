"""Files that somebody made up: weights, pictures; and doors that the sources must not have."""

import ast
import contextlib
import io
import json
import os
import pickle
import random
import shutil
import struct
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from safetensors.torch import load_file, save

from core import checkpoint
from core.files import sha256
from core.paths import ROOT
from models import catalogue, families, picture, weights
from models.families.sana import SanaDenoiser
from models.generate import Image as Painted
from models.generate import generate
from models.request import ImageRequest
from tests import tiny
from tests.test_architecture import modules, name_of
from tests.test_http import bomb
from ui.turns import Turns

WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def box(tmp_path_factory):
    return tiny.build(tmp_path_factory.mktemp("box"))


@pytest.fixture
def studio(box, tmp_path, monkeypatch):
    shutil.copytree(box, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("STILL_LIFE_STUDIO", str(tmp_path))
    return tmp_path


def plant(studio: Path, data: bytes, name: str = WEIGHTS) -> None:
    """Other bytes in tiny-sprint, and a manifest that says they are right."""
    home = studio / "models" / "tiny-sprint"
    (home / name).write_bytes(data)
    facts = json.loads((home / "manifest.json").read_text())
    facts["files"][name] = sha256(home / name)
    (home / "manifest.json").write_text(json.dumps(facts))


class Canary:
    """Whoever unpickles it makes a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def header(text: bytes, body: bytes = b"", size: int | None = None) -> bytes:
    return struct.pack("<Q", len(text) if size is None else size) + text + body


def entry(name: str, begin: int, end: int, shape: str = "[1]", kind: str = "F32") -> str:
    return f'"{name}":{{"dtype":"{kind}","shape":{shape},"data_offsets":[{begin},{end}]}}'


def table(*entries: str, body: bytes = b"") -> bytes:
    return header(("{" + ",".join(entries) + "}").encode(), body)


MALFORMED = {  # T-MOD-01 and the legal but hostile ones
    "empty": b"",
    "short": b"abc",
    "pickle": pickle.dumps([1]),
    "zip": b"PK\x03\x04" + bytes(100),
    "7z": b"7z\xbc\xaf\x27\x1c" + bytes(100),
    "cut in the header": table(entry("a", 0, 4))[:20],
    "cut in the body": table(entry("a", 0, 4), body=b"00"),
    "trailing bytes": table(entry("a", 0, 4), body=b"00000"),
    "length without end": header(b"{}", size=2**63),
    "header of 100 MB": header(b"{" + b" " * 99 + b"}", size=100_000_000),
    "offset past the end": table(entry("a", 0, 400), body=b"0000"),
    "overlap": table(entry("a", 0, 4), entry("b", 2, 6), body=bytes(6)),
    "shape that overflows": table(entry("a", 0, 4, "[4294967296, 4294967296]"), body=bytes(4)),
    "unknown kind": table(entry("a", 0, 4, kind="F33"), body=bytes(4)),
    "whole numbers": table(entry("a", 0, 4, kind="I32"), body=bytes(4)),
    "metadata that is no text": header(b'{"__metadata__":{"a":1}}'),
    "no UTF-8": header(b'{"\xff":1}'),
    "no JSON": header(b"{nope"),
    "20 MB of metadata": header(b'{"__metadata__":{"a":"' + b"x" * 20_000_000 + b'"}}'),
    "100,000 tensors": table(*(entry(f"t{n}", 0, 0, "[0]") for n in range(100_000))),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_file_that_is_no_sound_safetensors_is_named_and_harms_no_other(studio, name):
    plant(studio, MALFORMED[name])
    with pytest.raises(ValueError, match=r"tiny-sprint/transformer/diffusion_pytorch_model.safetensors (is|holds) "):
        families.load(catalogue.get("tiny-sprint"))
    weights.check(studio / "models" / "tiny-sana" / WEIGHTS)


MISFITS = {  # T-MOD-02
    "a tensor too few": (lambda w: {k: v for k, v in w.items() if k != "caption_norm.weight"}, "lack caption_norm"),
    "a tensor too many": (lambda w: w | {"evil": torch.zeros(1)}, "no place for, evil"),
    "another shape": (lambda w: w | {"caption_norm.weight": torch.zeros(3)}, "don't fit its config.json"),
    "not finite": (lambda w: w | {"caption_norm.weight": torch.full((32,), torch.nan)}, "caption_norm.weight holds"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_weights_that_do_not_fit_are_refused(studio, name):
    change, sentence = MISFITS[name]
    plant(studio, save(change(load_file(studio / "models" / "tiny-sprint" / WEIGHTS))))
    with pytest.raises(ValueError, match=f"the weights of tiny-sprint/transformer .*{sentence}") as e:
        families.load(catalogue.get("tiny-sprint"))
    assert str(studio) not in str(e.value)


@pytest.mark.parametrize("suffix", [".safetensors", ".SafeTensors", ".ckpt", ".pt", ".pth", ".bin"])
def test_a_pickle_is_never_opened(studio, suffix):
    """T-MOD-03: under any name, in the manifest and beside it."""
    harm = pickle.dumps(Canary(studio / "canary"))
    plant(studio, harm, f"transformer/diffusion_pytorch_model{suffix}")
    if suffix == ".safetensors":
        with pytest.raises(ValueError, match="is no safetensors file"):
            families.load(catalogue.get("tiny-sprint"))
    else:
        (studio / "models" / "tiny-dcae" / "vae" / f"diffusion_pytorch_model{suffix}").write_bytes(harm)
        assert families.load(catalogue.get("tiny-sprint")).denoiser is not None
    assert not (studio / "canary").exists()


def test_what_torch_loads_is_numbers(tmp_path):
    """The one caller of torch.load; that it is the only one is a test of tests/test_architecture.py."""
    harm = pickle.dumps(Canary(tmp_path / "canary"))
    (tmp_path / "optimizers.pt").write_bytes(harm)
    (tmp_path / "manifest.json").write_text(json.dumps({"step": 1, "counters": {}}))
    with pytest.raises(pickle.UnpicklingError):
        checkpoint.load(tmp_path)
    assert not (tmp_path / "canary").exists()
    pickle.loads(harm)
    assert (tmp_path / "canary").exists(), "this canary does sing"


def test_what_is_not_in_the_manifest_is_not_served(studio):
    folder = studio / "models" / "tiny-sprint"
    (folder / "transformer" / "more.safetensors").write_bytes((folder / WEIGHTS).read_bytes())
    with pytest.raises(ValueError, match="transformer/more.safetensors of tiny-sprint is not in its manifest"):
        families.load(catalogue.get("tiny-sprint"))


def test_a_model_that_is_replaced_while_it_is_loaded_is_refused(studio, monkeypatch):
    """T-MOD-04."""
    load = weights.load

    def slow(kind, folder, dtype):
        made = load(kind, folder, dtype)
        (folder / "config.json").write_text((folder / "config.json").read_text() + "\n")
        return made

    monkeypatch.setattr(weights, "load", slow)
    with pytest.raises(ValueError, match="tiny-sprint was replaced while it was being loaded; ask again"):
        families.load(catalogue.get("tiny-sprint"))


def test_numbers_that_are_no_picture_cost_only_that_picture(studio):
    """T-MOD-05."""
    parts = families.load(catalogue.get("tiny-sprint"))

    def poisoned(x_t, t, cond):
        x0 = parts.denoiser(x_t, t, cond)
        x0[1] = torch.nan
        return x0

    class Poisoned:
        schedule, takes_guidance, route = parts.denoiser.schedule, True, parts.denoiser.route
        network = parts.denoiser.network
        __call__ = staticmethod(poisoned)

    request, done = ImageRequest(prompt="a ball", model="tiny-sprint", num_images=3, seed=7), []
    with pytest.raises(ValueError, match="tiny-sprint produced NaN or infinite values for seed 8; try another"):
        for event in generate(replace(parts, denoiser=Poisoned()), request):
            done += [event.seed] if isinstance(event, Painted) else []
    assert done == [7, 9]


def test_memory_that_runs_out_costs_one_visitor_a_sentence(studio, monkeypatch):
    """T-MOD-06, without a GPU: the error is torch's own."""
    turns = Turns("cpu")

    def greedy(*args):
        raise torch.OutOfMemoryError("CUDA")

    request = ImageRequest(prompt="a ball", model="tiny-sprint")
    with monkeypatch.context() as patch:
        patch.setattr(SanaDenoiser, "predict", greedy)
        with pytest.raises(ValueError, match="memory ran out while tiny-sprint painted; ask for fewer pictures"):
            list(turns.paint(request, "a", 0))
    assert len(list(turns.paint(request, "a", 1))) == 1 and turns.where("a")[0] == ""


# Pictures: read by a process of its own, under a limit of memory


READ = """
import resource, sys, time
from models.upload import upload
base = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (base + 200_000_000,) * 2)
begun = time.process_time()
try:
    print(upload(open(sys.argv[1], "rb").read()).size)
except ValueError as e:
    print(e)
print(f"{time.process_time() - begun:.2f}", file=sys.stderr)
"""


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """A grey dot with chunks before its data."""
    out = io.BytesIO()
    Image.new("L", (1, 1)).save(out, "PNG")
    data, packed = out.getvalue(), b""
    for kind, body in chunks:
        packed += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return data[:33] + packed + data[33:]


def saved(picture: Image.Image, kind: str, **options) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def animation(frames: int) -> bytes:
    first, *more = [Image.new("P", (64, 64), n % 256) for n in range(frames)]
    return saved(first, "PNG", save_all=True, append_images=more)


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


ZEROS = zlib.compress(bytes(100_000_000), 9)
GREY = Image.new("RGB", (64, 32), "grey")
PICTURES = {
    "119 megapixels": (bomb(11_000, 10_800), "megapixels; at most 25 are read"),
    "400 megapixels": (bomb(20_000, 20_000), "megapixels"),
    "a text of 100 MB": (png((b"zTXt", b"a\0\0" + ZEROS)), "(1, 1)"),
    "a profile of 100 MB": (png((b"iCCP", b"a\0\0" + ZEROS)), "(1, 1)"),
    "1000 frames": (animation(1000), "(64, 64)"),
    "CMYK": (saved(GREY.convert("CMYK"), "JPEG"), "(64, 32)"),
    "16 bits": (saved(Image.new("I;16", (64, 32)), "PNG"), "(64, 32)"),
    "on its side": (saved(GREY, "JPEG", exif=exif(6)), "(64, 32)"),
    "a page in front": (b"<html><script>alert(1)</script>" + saved(GREY, "PNG"), "no picture that can be read"),
    "a page behind": (saved(GREY, "PNG") + b"<script>alert(1)</script>", "(64, 32)"),
    "PSD": (b"8BPS\0\1" + bytes(100), "no picture that can be read"),
    "FITS": (b"SIMPLE  =                    T" + bytes(3000), "no picture that can be read"),
    "EPS": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no picture that can be read"),
    "cut short": (saved(Image.effect_noise((64, 64), 50), "PNG")[:900], "damaged or cut short"),
}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_that_mean_harm_cost_little(tmp_path, name):
    """T-SEC-08: the right picture or a sentence, in 200 MB and 2 s of work."""
    data, sentence = PICTURES[name]
    (tmp_path / "x.png").write_bytes(data)
    argv = [sys.executable, "-c", READ, str(tmp_path / "x.png")]
    out = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert out.returncode == 0 and sentence in out.stdout, out.stdout + out.stderr
    assert float(out.stderr) < 2


def test_a_picture_with_wrong_bytes_is_read_or_is_a_sentence():
    info, tag = PngInfo(), exif(6)
    info.add_itxt("still-life", '{"prompt": "a"}')
    info.add_text("parameters", "a ball\nSteps: 4, Seed: 1", zip=True)
    tag.get_ifd(picture.EXIF_IFD)[picture.USER_COMMENT] = b"UNICODE\0" + "a\nSteps: 3, Seed: 5".encode("utf-16-be")
    noise = Image.effect_noise((24, 24), 60).convert("RGB")
    sound = [
        saved(noise, "PNG", pnginfo=info, exif=tag),
        saved(noise, "JPEG", exif=tag),
        saved(noise, "WEBP", exif=tag),
    ]
    rng = random.Random(0)
    for n in range(900):
        data = bytearray(sound[n % 3])
        for _ in range(rng.randint(1, 6)):
            data[rng.randrange(min(len(data), rng.choice((200, 10**6))))] = rng.randrange(256)
        with contextlib.suppress(ValueError):
            picture.read(bytes(data[: rng.choice((None, rng.randrange(len(data))))]))


def test_numbers_of_other_tools_that_are_none():
    for digits in ("²", "٣", "1" * 5000):
        read = picture.parse_a1111(f"a ball\nSteps: {digits}, Seed: {digits}")
        assert read.request.seed == 0 and read.notes == ("Steps, seed left out, as toybox-sprint can't take them.",)


def test_a_request_in_a_picture_is_only_data(tmp_path):
    info = PngInfo()
    info.add_itxt("still-life", json.dumps({"prompt": "a", "__class__": "os.system"}))
    (tmp_path / "x.png").write_bytes(saved(GREY, "PNG", pnginfo=info))
    read = picture.read(tmp_path / "x.png")
    assert "__class__" not in read.fields and "Settings of another version left out" in read.notes[-1]


# Sources


DOORS = {"eval", "exec", "pickle.load", "pickle.loads", "os.system", "yaml.load", "marshal.loads", "joblib.load"}
DOORS |= {"gr.load", "gr.Workflow", "gr.FileExplorer", "gr.LoginButton", "gr.Interface", "torch.hub.load"}
KEYS = {"trust_remote_code", "custom_pipeline", "allow_pickle", "shell", "auto_map", "allow_flagging", "flagging_mode"}


HOMES = ("ui", "jobs", "distill", "threed", "models", "evals", "benchmarks")
OWN_CODE = ("distill/declared.py exec",)  # runs statements of the methods' files of this repository, and nothing else


def doors(root: Path) -> list[str]:
    """Calls through which somebody's file or text becomes code, or another server is asked in our name."""
    out = []
    for home in HOMES:
        for name, tree, _ in modules(root / home):
            for call in (n for n in ast.walk(tree) if isinstance(n, ast.Call)):
                called, keys = name_of(call.func), {k.arg for k in call.keywords}
                opened = [d for d in sorted({called} & DOORS | keys & KEYS) if f"{home}/{name} {d}" not in OWN_CODE]
                out += [f"{home}/{name}:{call.lineno} {d}" for d in opened]
                if called.endswith("extractall") and "filter" not in keys:
                    out.append(f"{home}/{name}:{call.lineno} extractall without a filter")
    return out


def test_no_source_opens_a_door(tmp_path):
    assert doors(ROOT) == []
    (tmp_path / "ui").mkdir()
    bad = "np.load(p, allow_pickle=True)\nsubprocess.run(c, shell=True)\ngr.load(x)\nt.extractall(p)\neval(x)\n"
    (tmp_path / "ui" / "a.py").write_text(bad)
    assert len(doors(tmp_path)) == 5
