"""The models of the Hub that can be served, and requests to the Hub."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from models.manifest import Guidance, Manifest, Row

HUB_SECONDS = 3.0  # time limit of an answer of the Hub, proxies included
SPRINT_STEPS = {"1": [1.5708], "2": [1.5683, 1.3], "4": [1.5683, 1.3, 1.1, 0.6]}  # SANA-Sprint, Table 7, radians
TCD_STEPS = {  # as TCDScheduler spaces them from its 50 training steps
    "1": [999],
    "2": [999, 499],
    "4": [999, 759, 499, 259],
    "8": [999, 879, 759, 639, 499, 379, 259, 139],
}
SPRINT, TEACHER = "SANA-Sprint: continuous-time consistency.", "A teacher: a generator of many steps."
CONTROL, CONTROL_FILE = "A control: its base follows a drawing.", "diffusion_pytorch_model.safetensors"
HYPER = "ByteDance/Hyper-SD"
NVIDIA = "NSCL v2-custom or NVIDIA Open Model License (read the model's page); text encoder under the Gemma terms"

SD15_CONTROLS = (
    ("sd15-scribble", "sketch", "lllyasviel/control_v11p_sd15_scribble", "CreativeML Open RAIL-M"),
    ("sd15-canny", "edges", "lllyasviel/control_v11p_sd15_canny", "CreativeML Open RAIL-M"),
)
SDXL_CONTROLS = (
    ("sdxl-scribble", "sketch", "xinsir/controlnet-scribble-sdxl-1.0", "Apache-2.0"),
    ("sdxl-canny", "edges", "diffusers/controlnet-canny-sdxl-1.0", "CreativeML Open RAIL++-M"),
)


def _hub(
    id: str,
    family: str,
    about: str,
    licence: str,
    parameters: int,
    scheduler: str,
    default_steps: int,
    timesteps: dict[str, list[float]] | None = None,
    guidance: Guidance | None = None,
    prediction: str = "epsilon",
    eta: float = 0.0,
    base: str | None = None,
) -> Manifest:
    """The manifest of a model that others made; with `base`, of a LoRA on that one."""
    return Manifest(
        id=id,
        family=family,
        base=base,
        kind="lora" if base else "model",
        method="not made here",
        about=about,
        dataset="not published",
        command="not made here",
        code="not made here",
        seed=0,
        samples_seen=0,
        scheduler=scheduler,
        timesteps=timesteps or {},
        default_steps=default_steps,
        guidance=guidance or Guidance(),
        prediction=prediction,
        lora={} if base else None,
        licence=licence,
        files={},
        parameters=parameters,
        eta=eta,
    )


def _hub_sprint(name: str, parameters: int, memory_gib: float) -> Row:
    manifest = _hub(
        f"sana-sprint-{name.lower()}",
        "sana",
        SPRINT,
        NVIDIA,
        parameters,
        scheduler="SCMScheduler",
        timesteps=SPRINT_STEPS,
        default_steps=2,
        prediction="trigflow",
        guidance=Guidance("embedded", 4.5, (1.0, 10.0)),
    )
    hub = f"Efficient-Large-Model/Sana_Sprint_{name}_1024px_diffusers"
    return Row(manifest, 1024, None, hub, "main", memory_gib, tokens=300, instruction=True, batch=1)


def _hub_base(id: str, family: str, hub: str, size: int, memory_gib: float, **own: Any) -> Row:
    manifest = _hub(id, family, TEACHER, **own)
    return Row(manifest, size, None, hub, "main", memory_gib, tokens=77, batch=1)


def _hub_lora(id: str, base: Row, hub: str, file: str, **own: Any) -> Row:
    """The row of a LoRA on another row of the Hub."""
    manifest = _hub(id, base.manifest.family, base=base.id, **own)
    return Row(manifest, base.size, None, hub, "main", base.memory_gib + 0.5, base.tokens, batch=1, file=file)


def _hub_control(base: Row, parameters: int, id: str, kind: str, hub: str, licence: str) -> Row:
    """A control of a row of the Hub, which reads one kind of drawing."""
    made = _hub(id, base.manifest.family, CONTROL, licence, parameters, "none", 1, base=base.id)
    manifest = replace(made, kind="control", scheduler=None, prediction=None, lora=None, controls=[kind])
    memory = base.memory_gib + parameters * 2 / 2**30
    return Row(manifest, base.size, None, hub, "main", memory, base.tokens, batch=1, file=CONTROL_FILE)


def hub_rows() -> list[Row]:
    """The rows of the Hub. Memory is estimated: two bytes for each parameter of denoiser, text encoders and
    autoencoder, and as much as activations need.

    The revision is the branch `main`, as no commit hash could be looked up when these rows were written.
    """
    small = _hub_base(
        "sd15",
        "sd",
        "stable-diffusion-v1-5/stable-diffusion-v1-5",
        512,
        4.0,
        licence="CreativeML Open RAIL-M",
        parameters=859_520_964,
        scheduler="DDIMScheduler",
        default_steps=25,
        guidance=Guidance("cfg", 7.5, (1.0, 20.0)),
    )
    large = _hub_base(
        "sdxl",
        "sdxl",
        "stabilityai/stable-diffusion-xl-base-1.0",
        1024,
        10.0,
        licence="CreativeML Open RAIL++-M",
        parameters=2_567_463_684,
        scheduler="EulerDiscreteScheduler",
        default_steps=30,
        guidance=Guidance("cfg", 5.0, (1.0, 20.0)),
    )
    hyper: dict[str, Any] = {
        "about": "Hyper-SD: trajectory-segmented consistency.",
        "licence": "not stated (read the model's page)",
        "hub": HYPER,
    }
    hyper |= {"scheduler": "TCDScheduler", "default_steps": 1, "timesteps": TCD_STEPS}
    hyper |= {"eta": 0.3}  # for several steps; one step is the same with any eta
    return [
        _hub_sprint("0.6B", 600_000_000, 10.0),
        _hub_sprint("1.6B", 1_600_000_000, 12.0),
        small,
        _hub_lora("hyper-sd15", small, file="Hyper-SD15-1step-lora.safetensors", parameters=67_000_000, **hyper),
        large,
        _hub_lora("hyper-sdxl", large, file="Hyper-SDXL-1step-lora.safetensors", parameters=197_000_000, **hyper),
        _hub_lora(
            "dmd2-sdxl",
            large,
            about="DMD2: distribution matching with two time scales and a discriminator.",
            hub="tianweiy/DMD2",
            file="dmd2_sdxl_4step_lora_fp16.safetensors",
            licence="CC BY-NC-SA (read the model's page)",
            parameters=197_000_000,
            scheduler="LCMScheduler",
            timesteps={"4": [999, 749, 499, 249]},
            default_steps=4,
        ),
        *(_hub_control(small, 361_279_120, *facts) for facts in SD15_CONTROLS),
        *(_hub_control(large, 1_251_014_240, *facts) for facts in SDXL_CONTROLS),
    ]


def file(row: Row) -> Path:
    """The one file of a Hub row, from the local cache or the Hub. Raises ValueError where it is in neither."""
    return fetched(row.hub or "", row.file or "", row.revision, row.id)


def fetched(hub: str, file: str, revision: str | None, id: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    local = not reachable()
    try:
        return Path(hf_hub_download(hub, file, revision=revision, local_files_only=local))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError):
        where = "the local Hub cache, and the Hub can't be reached" if local else "the Hub"
        raise ValueError(f"{file} of {id} is not in {where}") from None


def reachable() -> bool:
    """Whether the Hub answers within a few seconds, by the proxy and the certificates that downloads use."""
    import httpx2
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    if constants.is_offline_mode():
        return False
    try:
        return get_session().head(constants.ENDPOINT, timeout=HUB_SECONDS).status_code < 500
    except (httpx2.HTTPError, httpx2.InvalidURL):
        return False
