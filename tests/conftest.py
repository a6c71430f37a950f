"""What every test may ask for; a missing outside helper is reported at the end, never silent."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def corpus() -> Path:
    """A real site (its folder with hugo.toml and content/), where it lies beside the checkout."""
    folder = SHARED / "corpus"
    if not folder.is_dir():
        pytest.skip("no real site lies beside the checkout: tests on it did not run")
    return folder


@pytest.fixture(scope="session")
def hugo() -> str:
    """The path of a real Hugo, to compare with."""
    program = shutil.which("hugo")
    if not program:
        pytest.skip("hugo is not installed: comparisons with it did not run")
    return program


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a real browser, to see pages as readers do."""
    program = shutil.which("chromium")
    if not program:
        pytest.skip("chromium is not installed: pages were not looked at in a browser")
    return program
