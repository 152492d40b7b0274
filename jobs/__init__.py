"""Long work as jobs, in a table that survives the processes that use it (docs/jobs.md)."""

import core  # noqa: F401  # so that Ctrl+C ends a command in order from its first import on
