"""Starts a job's command: `python -m jobs.child PARENT MEMORY NICE COMMAND…` sets limits, then runs it in its place.

When the worker dies in any way, the kernel sends the command SIGTERM, so that it writes a checkpoint and exits.
"""

import contextlib
import ctypes
import os
import resource
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1


def main(argv: list[str]) -> None:
    parent, memory, nice = (int(text) for text in argv[:3])
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        with contextlib.suppress(OSError):  # so that the job dies of memory before the page; may be forbidden
            Path("/proc/self/oom_score_adj").write_text("700")
    if os.getppid() != parent:  # the worker died before the call above
        sys.exit(128 + signal.SIGTERM)
    if memory:
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        memory = memory if hard == resource.RLIM_INFINITY else min(memory, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(nice)
    os.execvp(argv[3], argv[3:])


if __name__ == "__main__":
    main(sys.argv[1:])
