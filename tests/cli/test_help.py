"""Help that helps: every command says what it does, with an example that can be copied."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import pytest
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

from distributor.cli.main import app
from tests.cli.conftest import Cli

COMMANDS = (
    "init", "demo", "check", "articles", "preview", "plan", "send", "post", "explain", "run",
    "campaigns list", "campaigns show", "campaigns approve", "campaigns pause", "campaigns resume",
    "campaigns cancel", "campaigns retry", "campaigns settle",
    "subscribers list", "subscribers show", "subscribers add", "subscribers import", "subscribers export",
    "subscribers erase",
    "tokens add", "tokens list", "tokens revoke",
    "db upgrade", "db status",
)  # fmt: skip


def commands(group: TyperGroup, prefix: str = "") -> Iterator[tuple[str, TyperCommand]]:
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from commands(command, f"{prefix}{name} ")
        elif isinstance(command, TyperCommand):
            yield f"{prefix}{name}", command


def test_every_command_of_the_plan_is_there():
    """What users are told to type exists."""
    assert set(COMMANDS) <= {name for name, _ in commands(get_group(app))}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_an_example_on_a_line_of_its_own(cli: Cli, name: str):
    """Each example stands alone on its line, names this command, and only options that it has."""
    said = cli(*name.split(), "--help")
    assert (said.code, said.err) == (0, "")
    examples = re.findall(rf"^    distributor {name}\b.*$", said.out, re.MULTILINE)
    assert examples
    assert re.search(r"^  Examples?:$", said.out, re.MULTILINE)
    for example in examples:
        for option in re.findall(r"(?<= )--?[a-z][a-z-]*", example.split("|")[0]):
            assert re.search(rf"{option}\b", said.out), example
    assert max(map(len, said.out.splitlines())) <= 100


def test_examples_are_commands_that_parse():
    """Every example of every command is accepted by the very parser it is an example for."""
    for name, command in commands(get_group(app)):
        for line in re.findall(r"^ +distributor (.+)$", command.help or "", re.MULTILINE):
            words = shlex.split(re.split(r" [|>] ", line)[0])
            assert words[: len(name.split())] == name.split()
            rest = words[len(name.split()) :]
            if command.name == "import":  # checks that the file is there
                rest = ["-", *rest[1:]]
            command.make_context(name, rest, resilient_parsing=False)


@pytest.mark.parametrize("group", ["", "campaigns", "subscribers", "db"])
def test_summaries_are_whole_at_eighty_columns(cli: Cli, group: str):
    """In the list of commands no summary is cut off."""
    said = cli(*group.split(), "--help")
    assert said.code == 0
    assert "..." not in said.out.partition("Commands:")[2]
    assert max(map(len, said.out.splitlines())) <= 80


def test_wrong_usage_ends_with_two(cli: Cli):
    """What cannot be understood is wrong usage, says so on standard error, and does nothing."""
    for words in (
        ["nonsense"],
        ["send"],
        ["plan", "--days", "0"],
        ["plan", "--days", "x"],
        ["articles", "--no"],
    ):
        said = cli(*words)
        assert (said.code, said.out) == (2, ""), words
        assert said.err


def test_the_version_is_told(cli: Cli):
    """One line with the program's name and number."""
    said = cli("--version")
    assert (said.code, said.err) == (0, "")
    assert re.fullmatch(r"distributor \d+\.\d+\.\d+\S*\n", said.out)
