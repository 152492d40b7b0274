"""The names of what threed/guidance.py does, free of torch."""

MODES = ("hybrid", "pool", "vsd", "sds", "sdi")
SWITCH = 0.6  # of the rounds that a hybrid spends on pool


def acting(mode: str, progress: float) -> str:
    """What a mode does at this part of the run."""
    return mode if mode != "hybrid" else "pool" if progress < SWITCH else "vsd"


def scores(mode: str) -> bool:
    """Whether it compares with the renders' own score, which has to be learnt."""
    return mode in ("hybrid", "vsd")
