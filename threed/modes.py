"""The names of the modes of threed/guidance.py, without torch."""

MODES = ("hybrid", "pool", "vsd", "sds", "sdi")
SWITCH = 0.6  # share of the rounds for which hybrid uses pool


def acting(mode: str, progress: float) -> str:
    """The mode of this part of the run: pool or vsd for hybrid, else the mode itself."""
    return mode if mode != "hybrid" else "pool" if progress < SWITCH else "vsd"


def scores(mode: str) -> bool:
    """Whether a mode needs the renders' own score, which has to be learnt."""
    return mode in ("hybrid", "vsd")
