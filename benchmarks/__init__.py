"""Benchmarks: each file measures one thing and writes flat rows to results/, and their tables."""

import core  # noqa: F401  # so that Ctrl+C ends a command in order from its first import on
