"""What goes wrong at a publisher's, and what they are told: a sentence, a place, a code, and nothing lost."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.workspace import mails, write_article

FIRST = ("--since", "2020-01-01")
ROOT = Path(__file__).parents[2]


def imported(cli: Cli) -> None:
    assert cli("subscribers", "import", "readers.csv", "--newsletter", "morning").code == 0


def program(house: Path, *arguments: str, before: str = "") -> subprocess.Popen[str]:
    """The command line in a process of its own, after a few lines of Python."""
    return subprocess.Popen(
        [sys.executable, "-c", f"{before}\nfrom distributor.cli import main\nmain()", *arguments],
        cwd=house,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """How a process ended, and what it said."""
    with process:
        out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def test_without_a_configuration_it_says_how_to_make_one(cli: Cli, house: Path):
    """Every command ends with 2 and the remedy where there is no distributor.toml."""
    (house / "distributor.toml").unlink()
    for words in (["check"], ["articles"], ["run", "--once"], ["db", "status"], ["subscribers", "list"]):
        said = cli(*words)
        assert (said.code, said.out) == (2, ""), words
        assert said.err == (
            f"{house}/distributor.toml: there is no such file "
            "(make one with `distributor init`, or name it with --config)\n"
        )


def test_all_of_the_configurations_problems_are_told(cli: Cli, house: Path):
    """A line each, with file and line, however the program is started."""
    config = house / "distributor.toml"
    config.write_text(
        config.read_text().replace("The Morning <news@news.example>", "nobody") + "\n[channel.x]\n"
    )
    said = cli("--config", "distributor.toml", "run", "--once")
    assert (said.code, said.out) == (2, "")
    first, second = said.err.splitlines()
    assert first.startswith(f"{config}:16: newsletters.morning.from: ")
    assert second.startswith(f"{config}:")
    assert second.endswith("(did you mean 'channels'?)")


def _remove(content: Path) -> None:
    shutil.rmtree(content)


def _make_a_file(content: Path) -> None:
    shutil.rmtree(content)
    content.write_text("no folder")


def _make_a_loop(content: Path) -> None:
    shutil.rmtree(content)
    content.symlink_to(content)


@pytest.mark.parametrize("spoil", [_remove, _make_a_file, _make_a_loop])
def test_without_its_content_nothing_is_concluded(cli: Cli, house: Path, spoil: Callable[[Path], None]):
    """A content folder that cannot be read is told by its path, and no article counts as gone."""
    imported(cli)
    before = cli("articles", "--json", *FIRST).document
    shutil.copytree(house / "content", house / "kept")
    spoil(house / "content")
    for words in (
        ["articles"],
        ["run", "--once"],
        ["send", "morning", "--yes"],
        ["preview", "morning"],
        ["plan"],
    ):
        said = cli(*words)
        assert said.code == 1, words
        assert str(house / "content") in said.err
        assert len(said.err.splitlines()) == 1
    assert cli("check").code == 1
    assert mails(house) == []
    (house / "content").unlink(missing_ok=True)
    shutil.copytree(house / "kept", house / "content")
    assert cli("articles", "--json").document == before


def test_a_broken_file_is_told_with_its_line_and_stops_no_other(cli: Cli, house: Path):
    """Front matter that does not parse and a date that is none: file, line, reason; the rest goes out."""
    (house / "content/town/broken.md").write_text('+++\ntitle = "Broken\n+++\nText\n')
    (house / "content/town/dated.md").write_text("---\ntitle: Dated\ndate: the day before\n---\nText\n")
    imported(cli)
    said = cli("check")
    assert said.code == 1
    assert "town/broken.md:2: the front matter is not TOML" in said.err
    assert "town/dated.md:3: date 'the day before' is not in a form Hugo reads" in said.err
    assert said.err.endswith("2 problems\n")
    document = cli("articles", "--json", *FIRST).document
    assert {(problem["path"], problem["line"]) for problem in document["problems"]} == {
        ("town/broken.md", 2),
        ("town/dated.md", 3),
    }
    assert next(a["state"] for a in document["articles"] if a["title"] == "Dated") == "held"
    said = cli("run", "--once")
    assert said.code == 0
    assert cli("send", "morning", "--yes").code == 0
    assert {mail["To"] for mail in mails(house)} == {"Ada <ada@example.org>", "Lin <lin@example.org>"}


@pytest.mark.parametrize(
    ("template", "text", "line"),
    [
        ("email/digest.mjml.j2", "<mjml>\n<mj-body>\n{% if %}\n</mj-body>\n</mjml>\n", 3),
        ("email/digest.txt.j2", "one\n{{ nothing.of.that.name }}\n", 2),
        ("email/digest.subject.j2", "{% for a in b %}\n", 1),
        ("email/digest.subject.j2", "\n\n{{ 'a' | unheard_of }}\n", 3),
    ],
)
def test_a_template_with_an_error_is_told_with_its_line(
    cli: Cli, house: Path, template: str, text: str, line: int
):
    """`check`, `preview` and `send` name file and line, and after mending it the edition goes out."""
    path = house / "templates" / template
    path.parent.mkdir(parents=True)
    path.write_text(text)
    imported(cli)
    for words in (["check"], ["preview", "morning"], ["send", "morning", *FIRST, "--yes"]):
        said = cli(*words)
        assert said.code == 1, words
        assert f"{template}:{line}: " in said.err, words
    assert mails(house) == []
    path.unlink()
    assert cli("send", "morning", "--yes").code == 0
    assert len(mails(house)) == 2


def test_a_posts_template_is_no_exception(cli: Cli, house: Path):
    """The same for what is written on networks."""
    path = house / "templates/social/post.txt.j2"
    path.parent.mkdir(parents=True)
    path.write_text("{{ article.title\n}} {{ 1 / 0 }}\n")
    for words in (["check"], ["preview", "toots", "--article", "4101"], ["post", "4101", "--yes"]):
        said = cli(*words)
        assert said.code == 1, words
        assert "social/post.txt.j2:2: " in said.err, words
    assert not (house / "var/outbox").exists()


def test_a_newer_database_is_left_alone(cli: Cli, house: Path):
    """A database that a newer program has changed is refused by every command, with what to do."""
    assert cli("db", "upgrade").code == 0
    with sqlite3.connect(house / "var/distributor.db") as db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
    before = (house / "var/distributor.db").read_bytes()
    for words in (
        ["db", "status"],
        ["db", "upgrade"],
        ["run", "--once"],
        ["subscribers", "import", "readers.csv"],
    ):
        said = cli(*words)
        assert (said.code, said.out) == (1, ""), words
        assert "is at version 9999" in said.err
        assert "install the newer distributor again" in said.err
    assert "version 9999" in cli("check").err
    assert (house / "var/distributor.db").read_bytes() == before


def test_a_file_that_is_no_database_is_told(cli: Cli, house: Path):
    """Another file in its place is named, and not touched."""
    (house / "var").mkdir()
    (house / "var/distributor.db").write_text("a diary\n" * 1000)
    said = cli("run", "--once")
    assert said.code == 1
    assert f"{house}/var/distributor.db" in said.err
    assert len(said.err.splitlines()) == 1
    assert (house / "var/distributor.db").read_text() == "a diary\n" * 1000


@pytest.mark.parametrize(
    "url", ["mysql://h/d", "sqlite", "postgresql+psycopg://nobody:s3cr3tpw@127.0.0.1:1/none"]
)
def test_a_database_that_cannot_be_is_told(cli: Cli, monkeypatch: pytest.MonkeyPatch, url: str):
    """An address that is none, or where nobody answers, ends in one sentence without its password."""
    monkeypatch.setenv("DATABASE_URL", url)
    said = cli("run", "--once")
    assert said.code == 1
    assert "[database] url" in said.err
    assert "s3cr3tpw" not in said.err
    assert "Traceback" not in said.err


NO_ROOM = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({bytes}, {bytes}))
"""


@pytest.mark.parametrize("size", [4_096, 250_000])
def test_on_a_full_disk_nothing_is_done_by_halves(cli: Cli, house: Path, size: int):
    """Wherever the room ends, it is said in a sentence; with room again, everybody gets everything once."""
    imported(cli)
    assert cli("articles", *FIRST).code == 0
    body = "".join(f"Word {n} of a long article. " for n in range(500))
    write_article(house, "town/long", title="Long", summary=body[:300], body=body)
    code, _, told = ended(program(house, "run", "--once", before=NO_ROOM.format(bytes=size)))
    assert code == 1, told
    assert "Traceback" not in told
    assert not list((house / "var").rglob("*.partial"))
    assert cli("db", "status").code == 0
    assert cli("run", "--once").code in (0, 1)  # 1: what waits for its next try is said again
    cli("send", "morning", "--yes")
    got = [(mail["To"], mail["Subject"]) for mail in mails(house)]
    assert len(got) == len(set(got))
    assert {to for to, _ in got} == {"Ada <ada@example.org>", "Lin <lin@example.org>"}
    assert cli("db", "status", "--json").document["accounting_gap"] == 0


def test_two_programs_on_one_file_send_everything_once(cli: Cli, house: Path):
    """Two runs at the same moment share the work: together they send each mail and post exactly once."""
    readers = "".join(f"r{n}@example.org\n" for n in range(300))
    (house / "many.csv").write_text("email\n" + readers)
    assert cli("subscribers", "import", "many.csv", "--newsletter", "morning").code == 0
    assert cli("articles", *FIRST).code == 0
    config = house / "distributor.toml"
    config.write_text(config.read_text().replace("0 7 * * *", "* * * * *"))  # due at the next minute's turn
    with sqlite3.connect(house / "var/distributor.db") as db:
        db.execute("UPDATE channel SET handled_at = handled_at - 86400000000")  # as if begun yesterday
    runs = [program(house, "run", "--once", "--json") for _ in range(2)]
    results = [ended(run) for run in runs]
    assert [code for code, _, _ in results] == [0, 0], results
    got = [str(mail["To"]) for mail in mails(house)]
    assert len(got) == 300
    assert len(set(got)) == 300
    assert len(list((house / "var/outbox/social/toots").iterdir())) == 2
    counts = [campaign["counts"] for campaign in cli("campaigns", "list", "--json").document["campaigns"]]
    assert sum(count["accepted"] for count in counts) == 300 + 2
    assert cli("db", "status", "--json").document["accounting_gap"] == 0


def test_a_closed_pipe_is_no_failure(cli: Cli, house: Path):
    """Whoever reads only the first lines of a long export hears no complaint."""
    (house / "many.csv").write_text("email\n" + "".join(f"r{n}@example.org\n" for n in range(2000)))
    assert cli("subscribers", "import", "many.csv", "--newsletter", "morning").code == 0
    with program(house, "subscribers", "export") as export:
        assert export.stdout is not None
        assert export.stderr is not None
        assert export.stdout.readline().startswith("email,name")
        export.stdout.close()
        assert export.stderr.read() == ""
