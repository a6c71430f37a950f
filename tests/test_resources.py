"""The files that travel with the program are found wherever it lies."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path

import pytest

from distributor import resources


def test_the_fonts_of_cards_come_with_their_licence() -> None:
    """The Open Font License asks to be kept beside the fonts."""
    names = {path.name for path in (resources.templates() / "fonts").iterdir()}
    assert {"NotoSans-Regular.ttf", "NotoSans-Bold.ttf", "OFL.txt"} <= names


@pytest.mark.parametrize("where", ["", "distributor"], ids=["checkout", "wheel"])
def test_folders_lie_beside_the_package_or_in_it(tmp_path: Path, where: str) -> None:
    """A checkout has them above the package, a wheel within."""
    package = tmp_path / "distributor"
    for name in ("templates", "examples"):
        (tmp_path / where / name).mkdir(parents=True)
    package.mkdir(exist_ok=True)
    found = runpy.run_path(shutil.copy(str(resources.__file__), str(package)))
    assert found["templates"]() == tmp_path / where / "templates"
    assert found["examples"]() == tmp_path / where / "examples"
