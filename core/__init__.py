"""The base of all other packages. Every command imports it, so Ctrl+C ends any command with one sentence."""

import sys
from types import TracebackType

usual = sys.excepthook


def ended(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Python then ends the process by the signal itself, so that a shell sees 130 and ends its loop, too."""
    if issubclass(kind, KeyboardInterrupt):
        print("Stopped by Ctrl+C.", file=sys.stderr, flush=True)
    else:
        usual(kind, error, trace)


sys.excepthook = ended
