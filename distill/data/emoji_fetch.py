"""Fetches the emoji once, by `npm pack` of three pinned packages.

`<studio>/cache/emoji/` then has `fluent/` (Fluent 3D, 256 px, alpha), `noto/` (Noto, 64 px, for the judge alone),
`index.json` (one row for each emoji) and the packages' licences. The folder appears whole or not at all.
"""

import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.files import whole_folder
from core.paths import cache
from distill.data.emoji_nouns import SIGNS, TOGETHER
from distill.data.emoji_words import aliases, keywords, plain_name

GROUPS = {  # the name here of each of Unicode's groups
    "Smileys & Emotion": "smileys",
    "Animals & Nature": "nature",
    "Food & Drink": "foods",
    "Activities": "activity",
    "Travel & Places": "places",
    "Objects": "objects",
    "People & Body": "people",
}
BETWEEN = frozenset({"emotion", "person-symbol", "family"})  # sub-groups with speech bubbles, signs and silhouettes
TONES = {"1f3fb": "light", "1f3fc": "medium-light", "1f3fd": "medium", "1f3fe": "medium-dark", "1f3ff": "dark"}

ROWS = "2"  # to be raised when the index has other rows, so that older folders are fetched anew
MINUTES = 15  # time limit for one package


@dataclass(frozen=True)
class Package:
    name: str
    version: str
    sha256: str


FLUENT = Package(
    "@lobehub/fluent-emoji-3d", "1.1.0", "c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58"
)
NAMES = Package("@emoji-mart/data", "1.2.1", "93899f6e12097a8842fb63d8b84b3d68f7ef2bbe625735a2f5d48bfc33237c2c")
NOTO = Package("emoji-datasource-google", "16.0.0", "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438")
PACKAGES = (FLUENT, NAMES, NOTO)


def home() -> Path:
    return cache() / "emoji"


def pack(package: Package, into: Path) -> Path:
    """The package's archive, checked against its pinned hash. Raises RuntimeError with one sentence."""
    if shutil.which("npm") is None:
        raise RuntimeError("npm is not installed, and the emoji come as npm packages: install Node.js with npm")
    spec = f"{package.name}@{package.version}"
    where = into / package.sha256[:8]
    where.mkdir()
    command = ["npm", "pack", "--silent", "--pack-destination", str(where), spec]
    try:
        ran = subprocess.run(command, cwd=into, capture_output=True, text=True, timeout=MINUTES * 60)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"npm pack {spec} took more than {MINUTES} minutes: is the network slow?") from None
    archives = list(where.glob("*.tgz"))
    if ran.returncode or len(archives) != 1:
        reason = (ran.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise RuntimeError(f"npm pack {spec} failed ({reason}): is there a network?")
    digest = hashlib.sha256(archives[0].read_bytes()).hexdigest()
    if digest != package.sha256:
        raise RuntimeError(f"{spec} has the sha256 {digest}, not the pinned {package.sha256}")
    return archives[0]


def members(archive: Path, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """The wanted plain files of an npm archive, by their path in the package."""
    out = {}
    with tarfile.open(archive) as tar:
        for m in tar:
            name = m.name.removeprefix("package/")
            if m.isfile() and wanted(name):
                handle = tar.extractfile(m)
                assert handle is not None
                out[name] = handle.read()
    return out


def group_of(name: str, facts: dict) -> str | None:
    """The group of an emoji; None for one that nobody asks for by name, such as a clock face."""
    if name in SIGNS:
        return "signs"
    if facts["subcategory"] in BETWEEN:
        return "people" if name in TOGETHER else None
    return None if name.endswith(("o’clock", "-thirty")) else GROUPS.get(facts["category"])


def pictures_of(skins: list[dict], fluent: set[str], noto: set[str]) -> list[dict]:
    """One entry for each skin tone that is drawn: {"codepoint", "tone" (or None), "noto" (whether Noto has it)}."""
    out = []
    for skin in skins:
        code = skin["unified"]
        tones = [TONES[part] for part in code.split("-") if part in TONES]
        if code in fluent and len(tones) <= 1:
            out.append({"codepoint": code, "tone": tones[0] if tones else None, "noto": code in noto})
    return out


def index(names: dict, groups: list[dict], fluent: set[str], noto: set[str]) -> list[dict]:
    """One row for each emoji, in Unicode's order: name, aliases, keywords, group, pictures. Flags, keycaps and clocks
    are left out."""
    known = {row["unified"].lower(): row for row in groups}
    taken = {plain_name(e["name"]) for e in names["emojis"].values()}
    rows = []
    for entry in names["emojis"].values():
        facts = known.get(entry["skins"][0]["unified"])
        group = group_of(entry["name"].lower(), facts) if facts else None
        pictures = pictures_of(entry["skins"], fluent, noto)
        if facts is None or group is None or not pictures:
            continue
        if group == "signs":
            name, *others = SIGNS[entry["name"].lower()]
        else:
            name = plain_name(entry["name"])
            others = aliases(name, group, facts["short_names"], taken)
        rows.append(
            {
                "name": name,
                "aliases": others,
                "keywords": keywords(name, entry["keywords"]),
                "group": group,
                "subgroup": facts["subcategory"],
                "order": facts["sort_order"],
                "pictures": pictures,
            }
        )
    return sorted(rows, key=lambda r: r["order"])


def write_files(files: dict[str, bytes], into: Path, wanted: set[str]) -> None:
    into.mkdir()
    for name, data in files.items():
        if Path(name).stem in wanted:
            (into / Path(name).name).write_bytes(data)


def current() -> dict[str, str]:
    return {p.name: p.version for p in PACKAGES} | {"rows": ROWS}


def ready(folder: Path) -> bool:
    path = folder / "index.json"
    return path.exists() and json.loads(path.read_text(encoding="utf-8"))["packages"] == current()


def fetch(folder: Path | None = None, say: Callable[[str], None] = print) -> Path:
    """The emoji folder, fetched where it is missing or of other versions. Raises RuntimeError with one sentence."""
    folder = folder or home()
    if ready(folder):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".emoji-") as tmp:
        archives = {}
        for package in PACKAGES:
            say(f"fetching {package.name} {package.version}")
            archives[package.name] = pack(package, Path(tmp))
        with whole_folder(folder) as part:
            unpack(archives, part)
    return folder


def unpack(archives: dict[str, Path], into: Path) -> None:
    pictures = members(archives[FLUENT.name], lambda n: n.startswith("assets/") and n.endswith(".webp"))
    noto = members(archives[NOTO.name], lambda n: n.startswith("img/google/64/") or n in ("emoji.json", "LICENSE"))
    words = members(archives[NAMES.name], lambda n: n in ("sets/15/all.json", "LICENSE"))
    rows = index(
        json.loads(words["sets/15/all.json"]),
        json.loads(noto["emoji.json"]),
        {Path(n).stem for n in pictures},
        {Path(n).stem for n in noto if n.startswith("img/")},
    )
    wanted = {p["codepoint"] for row in rows for p in row["pictures"]}
    write_files(pictures, into / "fluent", wanted)
    write_files({n: d for n, d in noto.items() if n.startswith("img/")}, into / "noto", wanted)
    (into / "LICENSE.emoji-mart").write_bytes(words["LICENSE"])
    (into / "LICENSE.emoji-datasource").write_bytes(noto["LICENSE"])
    facts = {"packages": current(), "emoji": rows}
    (into / "index.json").write_text(json.dumps(facts, ensure_ascii=False, indent=1), encoding="utf-8")
