"""Logs on standard error: one JSON object a line, or plain lines where a terminal reads them.

What a call passes as `extra` becomes fields: `log.info("ended", extra={"job": job.id})`. Prompts and commands are
replaced by a digest, unless a flag asks for them: equal ones can be recognised, and none can be read.
"""

import hashlib
import json
import logging
import sys
import time

TYPED = ("prompt", "command")  # fields that hold what people typed
FIXED = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def fields(record: logging.LogRecord, prompts: bool) -> dict[str, object]:
    """The fields that a call passed as `extra`."""
    own = {k: v for k, v in vars(record).items() if k not in FIXED}
    return own if prompts else {k: digest(v) if k in TYPED else v for k, v in own.items()}


def digest(words: object) -> str:
    return "sha256:" + hashlib.sha256(str(words).encode("utf-8", "replace")).hexdigest()[:16]


class Lines(logging.Formatter):
    """`terminal`: plain lines for people, else JSON. `prompts`: typed words as they are, not as digests."""

    def __init__(self, prompts: bool, terminal: bool):
        super().__init__()
        self.prompts, self.terminal = prompts, terminal

    def format(self, record: logging.LogRecord) -> str:
        own = fields(record, self.prompts)
        if self.terminal:
            facts = " ".join(f"{k}={v}" for k, v in own.items())
            clock = time.strftime("%H:%M:%S", time.localtime(record.created))
            line = f"{clock} {record.levelname} {record.getMessage()}" + (f"  [{facts}]" if facts else "")
            return line + (f"\n{self.formatException(record.exc_info)}" if record.exc_info else "")
        line = {"time": round(record.created, 3), "level": record.levelname, "log": record.name}
        line |= {"message": record.getMessage()} | own
        line |= {"error": self.formatException(record.exc_info)} if record.exc_info else {}
        return json.dumps(line, default=str)


def begin(prompts: bool = False) -> None:
    """Log what jobs do, all warnings and, except on a terminal, every painting."""
    terminal = sys.stderr.isatty()
    handler = logging.StreamHandler()
    handler.setFormatter(Lines(prompts, terminal))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("jobs").setLevel(logging.INFO)
    logging.getLogger("ui").setLevel(logging.WARNING if terminal else logging.INFO)
