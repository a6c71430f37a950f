"""Where the files that travel with the program lie: beside it in a wheel, above it in a checkout."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parent


def templates() -> Path:
    """The folder of the shipped templates: `email/`, `social/`, `pages/`, `fonts/`."""
    return _folder("templates")


def examples() -> Path:
    """The folder of the shipped example: a small Hugo site and a distributor.toml."""
    return _folder("examples")


def _folder(name: str) -> Path:
    inside = PACKAGE / name
    return inside if inside.is_dir() else PACKAGE.parent / name
