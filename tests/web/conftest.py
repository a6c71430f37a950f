"""What tests of the pages share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web.visits import Visit, visited
from tests.workspace import Clock


@pytest.fixture
def visit(tmp_path: Path) -> Iterator[Visit]:
    """Two newsletters with nobody to read them, on SQLite."""
    with visited(tmp_path, Clock()) as visit:
        yield visit


@pytest.fixture
def visit_each(tmp_path: Path, database_url: str) -> Iterator[Visit]:
    """The same on a database of each kind."""
    with visited(tmp_path, Clock(), database=database_url) as visit:
        yield visit
