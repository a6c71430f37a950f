"""What tests of the API share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from distributor.app import App
from tests.web.api.asking import asked
from tests.workspace import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def api(tmp_path: Path, database_url: str, clock: Clock) -> Iterator[tuple[App, httpx.Client]]:
    """The program on each database, and a client of its API with a token for everything."""
    with asked(tmp_path / "house", clock, database_url) as found:
        yield found


@pytest.fixture(scope="module")
def sqlite_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[App, httpx.Client]]:
    """One for many tests that all come to nothing."""
    folder = tmp_path_factory.mktemp("house")
    with asked(folder / "house", Clock(), f"sqlite:///{folder}/db") as found:
        yield found
