"""Long work, in a table that outlives who asked for it (docs/jobs.md)."""

import core  # noqa: F401  # so that Ctrl+C ends a command in order from its first import on
