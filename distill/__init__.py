"""Training of models: methods, data and publishing."""

import core  # noqa: F401  # so that Ctrl+C ends a command in order from its first import on
