"""The documents are true: settings, commands, files and links are compared, and commands are run."""

from __future__ import annotations

import ast
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import chdir, contextmanager
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, get_args
from urllib.parse import unquote, urlsplit

import orjson
import pytest
import rtoml
from markdown_it import MarkdownIt
from markdown_it.token import Token
from pydantic import BaseModel
from pydantic_core import to_jsonable_python
from typer.main import get_command
from typer.testing import CliRunner, Result

from distributor import __version__, config, errors
from distributor.cli.main import app
from distributor.model import CampaignState, DeliveryState, Wishes
from distributor.rendering.filters import FILTERS
from distributor.resources import examples
from distributor.store import schema
from subscribers.transfer import COLUMNS

ROOT = Path(__file__).parent.parent
README, ARCHITECTURE, CONFIGURATION, TEMPLATES, SUBSCRIBERS, TROUBLESHOOTING = (
    ROOT / name
    for name in (
        "README.md",
        "docs/architecture.md",
        "docs/configuration.md",
        "docs/templates.md",
        "docs/subscribers.md",
        "docs/troubleshooting.md",
    )
)
DOCUMENTS = sorted(file for folder in (".", "docs", "examples") for file in (ROOT / folder).glob("*.md"))
SECTIONS: dict[str, type[BaseModel]] = {
    "[site]": config.Site,
    "[database]": config.Database,
    "[web]": config.Web,
    "[pictures]": config.Pictures,
    "[daemon]": config.Daemon,
    "[retention]": config.Retention,
    "[providers.NAME]": config.Provider,
    "webhook": config.WebhookSettings,
    "limits": config.Limits,
    "[newsletters.NAME]": config.Newsletter,
    "[channels.NAME]": config.Channel,
    "[segments.NAME]": config.Segment,
    "[hooks.NAME]": config.Hook,
    "[log]": config.LogSettings,
    "[alerts]": config.AlertSettings,
    "[reputation]": config.Reputation,
}


# --- settings ---


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_setting_is_described(heading: str) -> None:
    """The table below a heading has exactly the settings that the program knows."""
    rows = table_below(CONFIGURATION, heading)
    assert [plain(row[0]) for row in rows] == list(settings(SECTIONS[heading]))


@pytest.mark.parametrize("heading", SECTIONS)
def test_the_defaults_are_those_of_the_program(heading: str) -> None:
    """The third column has each default as it would be written in distributor.toml."""
    rows = {plain(row[0]): plain(row[2]) for row in table_below(CONFIGURATION, heading)}
    told = {name: rtoml.loads(f"it = {cell}")["it"] for name, cell in rows.items() if cell}
    defaults = {name: default(field) for name, field in settings(SECTIONS[heading]).items()}
    assert told == {name: value for name, value in defaults.items() if value is not None}


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_choice_is_named(heading: str) -> None:
    """Where only certain words are taken, the row has all of them."""
    rows = {plain(row[0]): " ".join(row) for row in table_below(CONFIGURATION, heading)}
    for name, field in settings(SECTIONS[heading]).items():
        for choice in words_taken(field.annotation):
            assert f"`{choice}`" in rows[name] or f'"{choice}"' in rows[name], (name, choice)


def test_every_table_of_the_configuration_has_a_heading() -> None:
    """A table that is added to the configuration has to be added to its page."""
    tables = {name for name in config.Config.model_fields if name != "path"}
    assert {re.split(r"[\[.\]]", heading)[1] for heading in SECTIONS if heading[0] == "["} == tables


def test_the_configuration_shown_is_one(tmp_path: Path) -> None:
    """The smallest configuration of the page loads, and so it does with every table shown after it."""
    blocks = [block for block in fenced(CONFIGURATION, "toml") if not block.startswith("+++")]
    file = tmp_path / "distributor.toml"
    for count in range(1, len(blocks) + 1):
        file.write_text("\n".join(blocks[:count]), encoding="utf-8")
        assert config.load(file, {}).newsletters
    assert len(blocks) > 1


def test_every_environment_variable_is_described() -> None:
    """What the program reads from the environment is in the page of settings, and ours in .env.example."""
    described = {name for row in table_below(CONFIGURATION, "Environment variables") for name in names(row)}
    assert variables() >= {"DATABASE_URL", "DISTRIBUTOR_SECRET", "DISTRIBUTOR_CONFIG"}
    assert variables() <= described
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    # The system's own are no use in .env, which is read for distributor.toml alone.
    systems = {"XDG_DATA_DIRS", "WINDIR", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "PGPASSWORD"}
    assert {name for name in variables() - systems if not re.search(rf"^#?{name}=", example, re.M)} == set()


# --- commands ---


def test_every_command_is_in_the_readme() -> None:
    """The table of commands has exactly those that there are."""
    rows = table_below(README, "Commands")
    assert [" ".join(command_of(plain(row[0])).path) for row in rows] == sorted_as_told(rows)
    assert {command_of(plain(row[0])).path for row in rows} == set(commands())


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.name)
def test_commands_that_are_shown_exist(file: Path) -> None:
    """Wherever a document writes a command, the program has it, with those options."""
    for line in shown_commands(file):
        command = command_of(line)
        assert command.path in commands(), line
        known = {option for params in commands()[command.path] for option in params} | {"--help"}
        assert set(command.options) <= known, line


def test_make_has_every_target_that_is_named() -> None:
    """`make X` in a document is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {
        target for file in DOCUMENTS for target in re.findall(r"^make ([a-z]+)", codes(file), re.MULTILINE)
    }
    assert {"demo", "test"} <= named <= targets


# --- the plan of the house ---


def test_every_table_of_the_database_is_described() -> None:
    """The architecture has a row for each table, and none for one that is gone."""
    rows = table_below(ARCHITECTURE, "Tables")
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row[0])} == set(schema.tables.tables)


def test_every_room_is_described() -> None:
    """Each module and package at the top of the program has its place among the rooms."""
    rooms = {
        name for row in table_below(ARCHITECTURE, "Rooms") for name in re.findall(r"`([\w.]+)/?`", row[0])
    }
    modules = (file.name for file in (ROOT / "distributor").iterdir() if file.name[0] not in "_.")
    assert {name for name in modules if (ROOT / "distributor" / name).suffix in ("", ".py")} <= rooms


def test_every_state_and_failure_is_told() -> None:
    """The diagrams have each state that is ever taken, and the failure rule each kind of failure."""
    charts = "".join(fenced(ARCHITECTURE, "mermaid")).replace("_", " ")
    told = charts + ARCHITECTURE.read_text(encoding="utf-8")
    states = {*CampaignState, *DeliveryState} - {CampaignState.DRAFT, CampaignState.CANCELLED}  # for later
    assert {state for state in states if not re.search(rf"\b{state}\b", charts)} == set()
    assert "cancelled" in told
    failures = [plain(row[0]) for row in table_below(ARCHITECTURE, "Delivering") if row[0][1].isupper()]
    assert failures == list(kinds(errors.SendError))


def kinds(error: type[Exception]) -> Iterator[str]:
    for kind in error.__subclasses__():
        if kind.__module__ == errors.__name__:  # a provider may have finer ones of its own
            yield kind.__name__
            yield from kinds(kind)


def test_the_filters_described_are_those_there_are() -> None:
    """Templates have the filters of the page, no more and no fewer."""
    named = [re.split(r"[(`]", row[0].strip("`"))[0] for row in table_below(TEMPLATES, "Filters")]
    assert sorted(named) == sorted(FILTERS)


def test_every_wish_of_an_article_is_shown() -> None:
    """The front matter of the page has each thing that an article may ask of us."""
    [block] = [block for block in fenced(CONFIGURATION, "toml") if block.startswith("+++")]
    shown = rtoml.loads(block.replace("+++", ""))["distributor"]
    assert set(shown) == {field.name for field in fields(Wishes)}


def test_the_documents_speak_of_this_version() -> None:
    """A new version has its words."""
    for name in ("README.md", "CHANGELOG.md"):
        assert __version__ in (ROOT / name).read_text(encoding="utf-8")


# --- links and files ---


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.name)
def test_links_lead_somewhere(file: Path) -> None:
    """Every relative link names a file of the repository, and a heading that it has."""
    for link in links(file):
        parts = urlsplit(link)
        if parts.scheme:
            continue
        target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
        assert target.exists(), link
        assert not parts.fragment or parts.fragment in anchors(target), link


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.name)
def test_pictures_are_light_and_say_what_they_show(file: Path) -> None:
    """A picture in a document weighs 250 kB at most, and its words serve those who do not see it."""
    for picture in (token for token in inline(file) if token.type == "image"):
        assert (file.parent / str(picture.attrGet("src"))).stat().st_size <= 250_000
        assert len(picture.content) > 20


def test_messages_that_are_explained_exist() -> None:
    """Each message in the first column of a table is one that the program can say."""
    said = strings()
    for row in tables(TROUBLESHOOTING):
        for message in re.findall(r"`([^`]+)`", row[0]):
            for part in filter(None, (part.strip() for part in message.split("…"))):
                assert any(part in text for text in said), message


# --- the first use, as the README tells it ---


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The example's site, published some years ago and with all its pictures at home."""
    folder = tmp_path_factory.mktemp("first-use") / "site"
    shutil.copytree(examples() / "site", folder)
    for page in (folder / "content").rglob("*.md"):
        text = page.read_text(encoding="utf-8").replace("https://courier.example/img/", "/img/")
        page.write_text(in_the_past(text), encoding="utf-8")
    with pytest.MonkeyPatch.context() as environment, chdir(folder):
        for name in variables():
            environment.delenv(name, raising=False)
        yield folder


@pytest.fixture(scope="module")
def workspace(site: Path) -> Path:
    """That site after every command of the README's first use but the one that goes on for ever."""
    for name, text in re.findall(r"`(\w+\.csv)`:\n\n```csv\n(.*?)```", README.read_text("utf-8"), re.DOTALL):
        (site / name).write_text(text, encoding="utf-8")
    for line in first_use():
        if line == "distributor run":
            continue
        result = run(line)
        assert result.exit_code == 0, (line, result.output, result.exception)
    return site


def test_the_first_use_works(workspace: Path) -> None:
    """Whoever types the README's commands in order has a mail with its pictures, and posts."""
    mails = [file.read_bytes() for file in (workspace / "var/outbox/mail").rglob("*.eml")]
    posts = list((workspace / "var/outbox/social/mastodon").glob("*/post.txt"))
    assert [b"ada@example.org" in mail and b"Content-ID: <" in mail for mail in mails] == [True]
    assert posts


def test_examples_of_output_are_what_is_said(workspace: Path) -> None:
    """A command shown with its answer gives that answer."""
    blocks = fenced(README, "console")
    assert blocks
    for block in blocks:
        command, _, answer = block.removeprefix("$ ").partition("\n")
        assert run(command).output == answer


def test_files_that_the_readme_names_exist(workspace: Path) -> None:
    """A path in the README is one of the repository, or of a workspace after the first use."""
    for path in paths(README):
        assert (ROOT / path).exists() or (workspace / path).exists(), path


def test_the_daemon_ends_when_it_is_told_to(workspace: Path) -> None:
    """`distributor run` goes on until SIGTERM, and then ends well."""
    assert "distributor run" in first_use()
    with subprocess.Popen(
        [sys.executable, "-m", "distributor", "run"], cwd=workspace, stderr=subprocess.PIPE, text=True
    ) as daemon:
        assert daemon.stderr is not None
        assert any("distributor runs" in line for line in daemon.stderr)
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(timeout=30) == 0


def test_the_front_matter_shown_can_be_read(workspace: Path) -> None:
    """The page's own table is understood as the document has it, and nothing of it is reported."""
    [block] = [block for block in fenced(CONFIGURATION, "toml") if block.startswith("+++")]
    (workspace / "content/night-ferry.md").write_text(in_the_past(block) + "It sails.\n", encoding="utf-8")
    told = orjson.loads(run("distributor articles --json").stdout)
    assert not [problem for problem in told["problems"] if problem["path"] == "night-ferry.md"]
    [article] = [article for article in told["articles"] if article["path"] == "night-ferry.md"]
    assert (article["state"], article["reason"]) == ("public", None)


def test_the_templates_shown_render(workspace: Path) -> None:
    """Put where the page says, its templates pass the check, and change what the page says they change."""
    for name, text in re.findall(
        r"In `(templates/[^`]+)`[^\n]*\n\n```jinja\n(.*?)```", TEMPLATES.read_text("utf-8"), re.DOTALL
    ):
        (workspace / name).write_text(text, encoding="utf-8")
    add_newsletter(workspace / "distributor.toml", "weekend", template="weekend")
    assert run("distributor check").exit_code == 0
    assert run("distributor preview weekend").exit_code == 0
    shown = "".join(file.read_text("utf-8") for file in (workspace / "var/preview/digests").glob("*weekend*"))
    assert "stories for a long breakfast" in shown
    assert run("distributor post 4101 --dry-run").output.splitlines() == [
        "mastodon",
        "Ferries sail again after two days of storm",
        "",
        "https://courier.example/harbour/ferry-back/",
        "",
        "Nothing was written.",
    ]


def test_templates_get_what_is_promised(workspace: Path) -> None:
    """Each name in the tables of the page is there when a mail or post is rendered."""
    mails = [name for row in table_below(TEMPLATES, "Mails: what a template gets") for name in names(row)]
    later = {"subject", "preheader"}  # only the HTML has them
    attributes = mails[mails.index("title") :]
    lines = [f"{{{{ {name} is defined }}}}" for name in mails if name not in {*attributes, *later}]
    lines += [f"{{{{ stories[0].{name} is defined }}}}" for name in attributes]
    posts = [name for row in table_below(TEMPLATES, "Posts: what a template gets") for name in names(row)]
    with instead(workspace / "templates/email/digest.txt.j2", "\n".join(lines)):
        assert run("distributor preview daily --out look").exit_code == 0
        texts = [file.read_text("utf-8") for file in (workspace / "look/digests").glob("*.txt")]
    assert set(texts) == {"True\n" * len(lines)}
    with instead(
        workspace / "templates/social/post.mastodon.txt.j2",
        " ".join(f"{{{{ {name} is defined }}}}" for name in posts),
    ):
        said = run("distributor post 4101 --dry-run").output.split("\n")[1]
    assert said.split() == ["True"] * len(posts)


def test_the_subscribers_file_shown_can_be_imported(workspace: Path) -> None:
    """The CSV of the page has every column the program knows, and every row of it is good."""
    [text] = fenced(SUBSCRIBERS, "csv")
    assert text.splitlines()[0].split(",") == list(COLUMNS)
    assert [plain(row[0]) for row in table_below(SUBSCRIBERS, "The file")] == list(COLUMNS)
    add_newsletter(workspace / "distributor.toml", "weekend", template="digest")
    (workspace / "shown.csv").write_text(text, encoding="utf-8")
    result = orjson.loads(run("distributor subscribers import shown.csv --json").stdout)
    assert (result["rows"], result["problems"]) == (4, [])


def names(row: list[str]) -> list[str]:
    """The names in a row's first cell."""
    return re.findall(r"`(\w+)`", row[0])


@contextmanager
def instead(file: Path, text: str) -> Iterator[None]:
    """*text* in *file* for a while."""
    before = file.read_bytes() if file.exists() else None
    file.write_text(text, encoding="utf-8")
    try:
        yield
    finally:
        file.unlink() if before is None else file.write_bytes(before)


def first_use() -> list[str]:
    """The commands of the section, in order."""
    _, _, rest = README.read_text(encoding="utf-8").partition("\n## First use\n")
    section = rest.partition("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith("distributor ")]


def run(line: str) -> Result:
    """The program on a command line, in this process."""
    return CliRunner().invoke(app, shlex.split(in_the_past(line), comments=True)[1:])


def in_the_past(text: str) -> str:
    """*text* with the example's year moved back, so that no test depends on today."""
    return text.replace("2026-", "2020-")


def add_newsletter(file: Path, name: str, *, template: str) -> None:
    tables = rtoml.load(file)
    daily = tables["newsletters"]["daily"]
    tables["newsletters"][name] = daily | {"title": f"The {name.title()}", "template": template}
    file.write_text(rtoml.dumps(tables), encoding="utf-8")


# --- reading the program ---


def settings(model: type[BaseModel]) -> dict[str, Any]:
    """A table's settings as users write them, in the order of the program."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def default(field: Any) -> Any:
    """What a setting is when it is left out, as TOML would have it; None where it is nothing."""
    if field.is_required():
        return None
    if isinstance(field.default, BaseModel):
        return field.default.model_dump(exclude_defaults=True)
    return to_jsonable_python(field.default, exclude_none=True)


def words_taken(annotation: Any) -> Iterator[str]:
    """The words of every Literal in *annotation*."""
    for part in get_args(annotation):
        if isinstance(part, str):
            yield part
        else:
            yield from words_taken(part)


@cache
def variables() -> frozenset[str]:
    """The environment variables that the code names."""
    named = re.compile(
        r"""(?:environ|environment|known|getenv)(?:\.get)?[(\[]\s*"([A-Z][A-Z0-9_]*)"|envvar="([A-Z0-9_]+)\""""
    )
    return frozenset(name for file in sources() for pair in named.findall(file) for name in pair if name)


@cache
def sources() -> tuple[str, ...]:
    files = [file for package in ("distributor", "subscribers") for file in (ROOT / package).rglob("*.py")]
    return tuple(file.read_text(encoding="utf-8") for file in files)


@cache
def strings() -> frozenset[str]:
    """Every text that stands in the code, those in f-strings piece by piece."""
    nodes = (node for source in sources() for node in ast.walk(ast.parse(source)))
    return frozenset(
        node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


class Command(NamedTuple):
    """A command as a document writes it."""

    path: tuple[str, ...]
    options: tuple[str, ...]


@cache
def commands() -> dict[tuple[str, ...], list[list[str]]]:
    """Every command that does something, by its words, and the spellings of its options."""
    found = {}

    def collect(command: Any, path: tuple[str, ...]) -> None:
        below = getattr(command, "commands", None)
        if below is None:
            found[path] = [parameter.opts for parameter in command.params]
        for name, one in (below or {}).items():
            collect(one, (*path, name))

    collect(get_command(app), ())
    return found


def command_of(line: str) -> Command:
    """The command that *line* begins with: as many of its words as lead to one."""
    words = [word.strip("[]") for word in line.removeprefix("distributor ").split()]
    depth = next((n for n in (2, 1) if tuple(words[:n]) in commands()), 1)
    return Command(tuple(words[:depth]), tuple(word for word in words if word.startswith("--")))


def sorted_as_told(rows: Iterable[list[str]]) -> list[str]:
    """The commands of a table, each once."""
    return list(dict.fromkeys(" ".join(command_of(plain(row[0])).path) for row in rows))


# --- reading documents ---


@cache
def tokens(file: Path) -> tuple[Token, ...]:
    return tuple(MarkdownIt("commonmark").enable("table").parse(file.read_text(encoding="utf-8")))


def tables(file: Path) -> Iterator[list[str]]:
    """Every row of every table, but for their headings."""
    for _, row in rows_by_heading(file):
        yield row


def table_below(file: Path, heading: str) -> list[list[str]]:
    """The rows of the table in the section *heading*."""
    rows = [row for under, row in rows_by_heading(file) if under == heading]
    assert rows, f"{file.name} has no table below {heading!r}"
    return rows


def rows_by_heading(file: Path) -> Iterator[tuple[str, list[str]]]:
    heading, row, in_body = "", list[str](), False
    stream = tokens(file)
    for place, token in enumerate(stream):
        if token.type == "heading_open":
            heading = stream[place + 1].content
        elif token.type in ("tbody_open", "tbody_close"):
            in_body = token.nesting == 1
        elif token.type == "td_open":
            row.append(stream[place + 1].content)
        elif token.type == "tr_close" and in_body:
            yield heading, row
            row = []


def plain(cell: str) -> str:
    """A cell without its backticks."""
    return cell.replace("`", "").strip()


def fenced(file: Path, language: str) -> list[str]:
    """The blocks of code in a language."""
    return [token.content for token in tokens(file) if token.type == "fence" and token.info == language]


def inline(file: Path) -> Iterator[Token]:
    for token in tokens(file):
        yield from token.children or ()


def codes(file: Path) -> str:
    """Everything that a document writes as code, a piece a line."""
    spans = [token.content for token in inline(file) if token.type == "code_inline"]
    return "\n".join([*(token.content for token in tokens(file) if token.type == "fence"), *spans])


def shown_commands(file: Path) -> list[str]:
    lines = (line.removeprefix("$ ").partition("#")[0].strip() for line in codes(file).splitlines())
    return [line for line in lines if re.match(r"distributor [a-z]", line)]


def links(file: Path) -> Iterator[str]:
    for token in inline(file):
        if address := token.attrGet("href") or token.attrGet("src"):
            yield str(address)


def anchors(file: Path) -> set[str]:
    """What a link may name in a document: its headings, as GitHub spells them."""
    stream = tokens(file)
    headings = (stream[n + 1].content for n, token in enumerate(stream) if token.type == "heading_open")
    return {re.sub(r"[^\w\- ]", "", plain(heading).lower()).replace(" ", "-") for heading in headings}


def paths(file: Path) -> set[str]:
    """What looks like a path among the code of a document's sentences."""
    spans = (token.content for token in inline(file) if token.type == "code_inline")
    return {span for span in spans if re.fullmatch(r"[\w.-]*(?:/[\w./-]*|\.(?:toml|md|csv|env|html))", span)}
