"""The templates that a new workspace has: they change nothing, and show how to change everything."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from distributor.model import Digest
from distributor.rendering.environment import environment
from distributor.rendering.faults import faults
from distributor.resources import templates
from tests.rendering.test_digest import MORNING, NOON, QUAY, article, made, picture
from tests.rendering.test_post import ARTICLE, NETWORKS
from tests.rendering.test_post import made as made_post

BEGINNINGS = templates() / "init"
FILES = sorted(str(file.relative_to(BEGINNINGS)) for file in BEGINNINGS.glob("*/*.j2"))
EXAMPLE = re.compile(r"\{# (\w+): [^#]*?\n(\{% block \1 %\}\n.*?\{% endblock %\})\n#\}", re.DOTALL)
EXAMPLES = [
    (name, block)
    for name in FILES
    for block, _ in EXAMPLE.findall((BEGINNINGS / name).read_text(encoding="utf-8"))
]
LINKED = ["preferences_url", "unsubscribe_url", "view_url"]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A folder of templates as a newcomer has it."""
    for kind in ("email", "social"):
        shutil.copytree(BEGINNINGS / kind, tmp_path / kind)
    return tmp_path


def edition(folder: Path | None, **more: Any) -> Digest:
    """A mail with everything in it."""
    paper = more.pop("publication", QUAY)
    return made(
        [article(n, tags=("ships",) if n % 2 else ()) for n in range(9)],
        {f"a{n}": picture(n) for n in range(9)},
        thumbnails={f"a{n}": picture(100 + n, width=304, height=160) for n in range(9)},
        newsletter=MORNING.model_copy(update={"sections": "topic", "topics": {"port": ("ships",)}}),
        publication=paper,
        templates=folder,
        edition_at=NOON,
        **more,
    )


@pytest.mark.parametrize("body", [None, "<p>All of it.</p>"], ids=["digest", "breaking"])
def test_a_new_workspace_changes_no_mail(workspace: Path, body: str | None) -> None:
    """Rendered through the beginnings, an edition or breaking news is what it is without them."""
    assert edition(workspace, body=body) == edition(None, body=body)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_new_workspace_changes_no_post(workspace: Path, network: str) -> None:
    """Rendered through the beginnings, a post is what it is without them."""
    assert made_post(network, templates=workspace) == made_post(network)


@pytest.mark.parametrize("name", FILES)
def test_a_beginning_extends_what_is_shipped(name: str) -> None:
    """Each has the name of a shipped template and builds on it, so that a better one reaches the reader."""
    assert (templates() / name).is_file()
    source = (BEGINNINGS / name).read_text(encoding="utf-8")
    assert re.findall(r"\{% extends .*", source) == [f'{{% extends "shipped/{Path(name).name}" %}}']


@pytest.mark.parametrize(("name", "block"), EXAMPLES)
def test_examples_work_when_their_comment_signs_are_taken_away(
    workspace: Path, name: str, block: str
) -> None:
    """An example replaces a block that there is, shows, and keeps every reader's links."""
    file = workspace / name
    source = file.read_text(encoding="utf-8")
    file.write_text(
        EXAMPLE.sub(lambda found: found[2] if found[1] == block else found[0], source), encoding="utf-8"
    )
    kind = name.partition("/")[0]
    env = environment(workspace, kind)
    assert list(faults(env)) == []
    assert block in env.get_template(f"shipped/{file.name}").blocks
    if kind == "social":
        assert made_post("mastodon", templates=workspace).text != made_post("mastodon").text
        assert ARTICLE.url in made_post("mastodon", templates=workspace).text
        return
    own, shipped = edition(workspace), edition(None)
    assert own != shipped
    assert sorted(re.findall(r"@@(\w+_url)@@", own.html)) == LINKED
    assert sorted(re.findall(r"@@(\w+_url)@@", own.text)) == LINKED


def test_there_is_an_example_for_every_block() -> None:
    """Whoever opens the files sees all that can be changed by itself."""
    blocks = {
        (name, block)
        for name in FILES
        for block in environment(None, name.partition("/")[0]).get_template(Path(name).name).blocks
    }
    assert set(EXAMPLES) == blocks - {("email/layout.mjml.j2", "content"), ("email/layout.txt.j2", "content")}


def test_the_blocks_described_are_those_there_are() -> None:
    """The page on templates names each block of each shipped template."""
    page = (templates().parent / "docs" / "templates.md").read_text(encoding="utf-8")
    told = {
        (file, block)
        for files, blocks in re.findall(
            r"^\| ((?:`[\w.]+\.j2`(?:, )?)+) \| ((?:`\w+`(?:, )?)+) \|", page, re.MULTILINE
        )
        for file in re.findall(r"`([\w.]+)`", files)
        for block in re.findall(r"`(\w+)`", blocks)
    }
    shipped = {
        (file.name, block)
        for kind in ("email", "social")
        for file in (templates() / kind).glob("*.j2")
        for block in environment(None, kind).get_template(file.name).blocks
        if (file.name, block) != ("breaking.mjml.j2", "name")  # it only looks different there
    }
    assert told == shipped
