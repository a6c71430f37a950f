"""The command line as a person uses it, without a process for each command."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from distributor.cli.main import main
from tests.workspace import workspace, write_article

CHANNEL = """
[channels.toots]
network = "mastodon"
media = "none"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)


Cli = Callable[..., Said]


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A workspace with three articles of the past, two readers to import, and one channel."""
    workspace(tmp_path, config=CHANNEL)
    write_article(tmp_path, "town/bridge", title="The bridge is open", summary="At last.", tags=["Traffic"])
    write_article(
        tmp_path, "sea/seal", title="A seal on the slipway", article_id="4101", source="Harbour Desk"
    )
    write_article(tmp_path, "sea/fog", title="霧 🌫 الضباب", draft=True)
    (tmp_path / "readers.csv").write_text(
        "email,name,topics\nada@example.org,Ada,\nlin@example.org,Lin,traffic\n", encoding="utf-8"
    )
    return tmp_path


@pytest.fixture
def cli(house: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run `distributor ARGUMENTS` on that workspace, on a terminal of eighty columns without a keyboard."""
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("DATABASE_URL", "DISTRIBUTOR_SECRET", "DISTRIBUTOR_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(house)

    def run(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["distributor", *arguments])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        said = capsys.readouterr()
        return Said(code=code, out=said.out, err=said.err)

    return run
