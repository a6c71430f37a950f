"""The command line: one file per noun, and the only place that prints."""

from __future__ import annotations

from distributor.cli.main import main

__all__ = ["main"]
