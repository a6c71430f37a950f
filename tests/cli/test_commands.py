"""Each command on a small workspace: what it says, what it does, and how it ends."""

from __future__ import annotations

import csv
import io
import re
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.workspace import mails, write_article

FIRST = ("--since", "2020-01-01")  # on the first look, all that the workspace has is news
ARTICLE = {
    "key", "url", "title", "summary", "published_at", "source", "path", "sequence", "state", "reason",
    "banner", "qr",
}  # fmt: skip
COUNTS = {"planned", "queued", "sending", "accepted", "refused", "skipped", "unclear"}


def imported(cli: Cli) -> None:
    assert cli("subscribers", "import", "readers.csv", "--newsletter", "morning").code == 0


def sent(cli: Cli) -> None:
    """Two readers, one edition."""
    imported(cli)
    assert cli("send", "morning", *FIRST, "--yes").code == 0


def test_articles_are_listed_as_they_stand(cli: Cli):
    """The newest first, with what keeps one from being public; a first look takes them as known."""
    said = cli("articles")
    assert (said.code, said.err) == (0, "")
    for words in ("The bridge is open", "Harbour Desk · 4101", "draft", "霧 🌫 الضباب", "3 articles, 3 files"):
        assert words in said.out
    assert "This was the first look" in said.out
    assert "This was the first look" not in cli("articles").out
    assert "0 articles" in cli("articles", "--new").out


def test_articles_as_json(cli: Cli):
    """One document with the fields that the plan names, in RFC 3339 time, and nothing else around."""
    said = cli("articles", "--json", *FIRST)
    assert (said.code, said.err) == (0, "")
    assert set(said.document) == {"articles", "problems"}
    assert all(set(article) == ARTICLE for article in said.document["articles"])
    bridge = next(a for a in said.document["articles"] if a["title"] == "The bridge is open")
    assert bridge["published_at"] == "2026-06-01T06:00:00Z"
    assert (bridge["state"], bridge["path"], bridge["summary"]) == ("public", "town/bridge.md", "At last.")
    new = cli("articles", "--new", "--json").document["articles"]
    assert {article["key"] for article in new} == {"4101", bridge["key"]}


def test_the_plan_says_who_gets_what_when(cli: Cli):
    """The editions ahead with their readers, and what is waiting for the next."""
    imported(cli)
    document = cli("plan", "--days", "3", "--json").document
    assert set(document) == {"editions", "posts", "waiting"}
    assert [edition["readers"] for edition in document["editions"]] == [2, 2, 2]
    told = {"newsletter", "at", "local", "until", "zones", "cadences", "readers", "articles"}
    assert set(document["editions"][0]) == told
    assert document["editions"][0]["articles"] == 0
    said = cli("plan", "--days", "3")
    assert (said.code, said.err) == (0, "")
    assert said.out.count("morning") == 3
    assert "Times are in UTC." in said.out


def test_the_plan_names_only_cadences_that_somebody_may_have(cli: Cli, house: Path):
    """A cadence that readers can neither choose nor have is not said to be due."""
    config = house / "distributor.toml"
    config.write_text(
        config.read_text().replace('schedule = "0 7 * * *"', 'schedule = "0 7 * * *"\ncadences = ["instant"]')
    )
    assert cli("plan", "--days", "1", "--json").document["editions"][0]["cadences"] == ["instant"]
    imported(cli)
    assert cli("plan", "--days", "1", "--json").document["editions"][0]["cadences"] == ["instant", "daily"]


def test_the_plan_has_a_line_for_each_article(cli: Cli, house: Path):
    """Channels that post an article at the same time stand together; the JSON has each post by itself."""
    with (house / "distributor.toml").open("a") as config:
        config.write('[channels.sky]\nnetwork = "bluesky"\nmedia = "none"\n')
    assert cli("articles", *FIRST).code == 0
    said = cli("plan").out
    assert re.search("^ next run +A seal on the slipway +toots, sky *$", said, re.MULTILINE)
    assert said.count("A seal on the slipway") == 1
    posts = cli("plan", "--json").document["posts"]
    assert {(post["channel"], post["title"]) for post in posts} == {
        (channel, title)
        for channel in ("toots", "sky")
        for title in ("A seal on the slipway", "The bridge is open")
    }


def test_a_rehearsal_does_nothing(cli: Cli, house: Path):
    """--dry-run says what would be sent and posted, and leaves no trace of it, not even of what is new."""
    imported(cli)
    before = cli("articles", "--json").document
    said = cli("send", "morning", "--dry-run", *FIRST)
    assert said.code == 0
    assert "Would send 2 articles to 2 readers of morning, as 2 digests. Nothing was written." in said.out
    said = cli("post", "4101", "--dry-run")
    assert said.code == 0
    assert "A seal on the slipway" in said.out
    assert not (house / "var/outbox").exists()
    assert cli("campaigns", "list", "--json").document == {"campaigns": []}
    assert cli("articles", "--json").document == before
    assert "nothing new in their topics" in cli("send", "morning", "--dry-run").out


def test_nothing_is_sent_without_a_yes(cli: Cli, house: Path):
    """Where nobody can be asked, sending and posting end as wrong usage, with the option to give."""
    imported(cli)
    for words in (["send", "morning", *FIRST], ["post", "4101"]):
        said = cli(*words)
        assert said.code == 2
        assert "Nothing was done: there is nobody to ask here, so say --yes." in said.err
    assert not (house / "var/outbox").exists()


@pytest.mark.parametrize(("answer", "code", "count"), [("y\n", 0, 2), ("n\n", 1, 0), ("\n", 1, 0)])
def test_an_answer_is_waited_for(
    cli: Cli, house: Path, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, count: int
):
    """On a terminal it asks first, and only a yes is a yes."""
    imported(cli)
    keyboard = io.StringIO(answer)
    monkeypatch.setattr(keyboard, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", keyboard)
    said = cli("send", "morning", *FIRST)
    assert said.code == code
    assert "Send 2 articles to 2 readers of morning?" in said.out
    assert len(mails(house)) == count


def test_sending_again_sends_nothing(cli: Cli, house: Path):
    """An edition by hand brings each reader what is new to them, once."""
    sent(cli)
    assert len(mails(house)) == 2
    said = cli("send", "morning", "--yes")
    assert said.code == 0
    assert "2 readers left out: nothing new in their topics" in said.out
    assert "there is nothing to send" in said.out
    assert len(mails(house)) == 2


def test_one_article_to_one_reader(cli: Cli, house: Path):
    """An article by itself goes to the reader who is named, and not to them again."""
    imported(cli)
    words = ("send", "morning", "--article", "4101", "--to", "LIN@example.org", "--yes")
    assert cli(*words).code == 0
    assert [mail["To"] for mail in mails(house)] == ["Lin <lin@example.org>"]
    assert "they have it already" in cli(*words).out
    assert len(mails(house)) == 1


def test_a_post_is_taken_back(cli: Cli, house: Path):
    """It says where the post stands, asks, and deletes it; after that there is nothing to take back."""
    assert cli("post", "4101", *FIRST, "--yes").code == 0
    said = cli("post", "4101", "--withdraw", "--dry-run")
    assert (said.code, "toots: file://" in said.out, "Nothing was written" in said.out) == (0, True, True)
    assert cli("post", "4101", "--withdraw").code == 2  # there is nobody to ask
    assert cli("post", "4101", "--withdraw", "--yes").code == 0
    assert len(list(house.glob("var/outbox/social/toots/*/deleted.txt"))) == 1
    said = cli("post", "4101", "--withdraw", "--yes")
    assert (said.code, "posted on none" in said.out) == (0, True)


def test_the_addresses_of_posts_become_a_data_file(cli: Cli, house: Path):
    """Whole or not at all, beside the content; what lies in a folder of ours has no address."""
    assert cli("post", "4101", *FIRST, "--yes").code == 0
    said = cli("export", "syndication")
    assert (said.code, "0 posts of 0 articles" in said.out) == (0, True)
    assert (house / "data" / "syndication.json").read_text() == "{}\n"
    assert "already" in cli("export", "syndication").out
    assert cli("export", "syndication", "--out", "elsewhere/posts.json").code == 0
    assert [file.name for file in (house / "elsewhere").iterdir()] == ["posts.json"]


def test_a_round_can_leave_old_articles_out(cli: Cli, house: Path):
    """After a long silence, --max-age keeps what is stale from being announced; nonsense is named."""
    assert cli("run", "--once", "--max-age", "soon").code == 2
    assert cli("run", "--once", *FIRST, "--max-age", "PT1S").code == 0
    post = cli("campaigns", "list", "--channel", "toots", "--json").document["campaigns"][0]
    assert post["state"] == "skipped"
    assert "older than max_age" in post["reason"]


def test_a_post_goes_out_once(cli: Cli, house: Path):
    """Posting by hand writes the post, and doing it again says that it was done."""
    assert cli("post", "bridge", "--channel", "toots", "--channel", "toots", "--yes").code == 0
    [folder] = (house / "var/outbox/social/toots").iterdir()
    assert "The bridge is open" in (folder / "post.txt").read_text()
    again = cli("post", "bridge", "--yes")
    assert (again.code, "nothing was posted again" in again.out) == (0, True)
    assert len(list((house / "var/outbox/social/toots").iterdir())) == 1


def test_a_preview_is_a_page_to_look_at(cli: Cli, house: Path, monkeypatch: pytest.MonkeyPatch):
    """A newsletter and a channel become files; without --out they lie beside the configuration."""
    imported(cli)
    said = cli("preview", "toots", "--article", "4101", "--out", str(house / "look"))
    assert said.code == 0
    assert f"Look at {(house / 'look/index.html').as_uri()}" in said.out
    assert "A seal on the slipway" in (house / "look/index.html").read_text()
    (house / "elsewhere").mkdir()
    monkeypatch.chdir(house / "elsewhere")
    assert cli("--config", str(house / "distributor.toml"), "preview", "morning").code == 0
    assert (house / "var/preview/index.html").exists()
    assert not list((house / "elsewhere").iterdir())
    assert mails(house) == []


def test_a_preview_says_what_is_wrong(cli: Cli, house: Path):
    """What lint finds is counted and listed; nothing is said where it is off."""
    imported(cli)
    assert "Lint found nothing.\n" in cli("preview", "toots", "--article", "4101").out
    templates = house / "templates/email"
    templates.mkdir(parents=True)
    (templates / "digest.txt.j2").write_text("Read it on the site.")
    said = cli("preview", "morning").out
    assert "Lint found 1 error, 2 warnings.\n" in said
    assert re.search(r"^  error in .+: text: has no link to unsubscribe", said, re.MULTILINE)
    config = house / "distributor.toml"
    config.write_text(config.read_text().replace("schedule =", 'lint = "off"\nschedule ='))
    assert "Lint" not in cli("preview", "morning").out


def test_campaigns_are_listed_and_shown(cli: Cli):
    """The table fits a terminal, and the JSON has the counts that the plan names."""
    assert cli("campaigns", "list").out == "Nothing was planned so far.\n"
    sent(cli)
    assert cli("post", "4101", "--yes").code == 0
    assert cli("campaigns", "retry", "1").out == "Nobody in campaign 1 was refused.\n"
    listed = cli("campaigns", "list")
    assert (listed.code, listed.err) == (0, "")
    assert "an edition, 2 readers (by hand)" in listed.out
    assert "A seal on the slipway" in listed.out
    assert max(map(len, listed.out.splitlines())) <= 100
    [post, edition] = cli("campaigns", "list", "--json").document["campaigns"]
    assert (post["channel"], edition["channel"], edition["state"]) == ("toots", "morning", "done")
    shown = cli("campaigns", "show", str(edition["id"]), "--json").document
    assert shown == edition
    assert {"id", "channel", "slot", "state", "counts"} <= set(shown)
    assert set(shown["counts"]) == COUNTS
    assert (shown["counts"]["planned"], shown["counts"]["accepted"]) == (2, 2)
    assert cli("campaigns", "show", str(edition["id"])).code == 0
    only = cli("campaigns", "list", "--channel", "toots", "--limit", "1", "--json").document["campaigns"]
    assert only == [post]


def test_a_campaign_that_awaits_approval_goes_out_when_approved(cli: Cli, house: Path):
    """Approved it is sent by the next run; cancelled it never is, and its articles come with the next."""
    config = house / "distributor.toml"
    config.write_text(
        config.read_text().replace('schedule = "0 7 * * *"', 'schedule = "0 7 * * *"\napproval = "required"')
    )
    imported(cli)
    said = cli("send", "morning", *FIRST, "--yes")
    assert (said.code, "distributor campaigns approve 1" in said.out) == (0, True)
    assert cli("campaigns", "cancel", "1", "--reason", "wrong picture", "--yes").out == (
        "Campaign 1 is cancelled; 2 recipients will not get it.\n"
    )
    assert "wrong picture" in cli("campaigns", "show", "1").out
    assert cli("send", "morning", "--yes").code == 0
    assert cli("campaigns", "approve", "2").code == 2
    assert cli("campaigns", "approve", "2", "--yes").code == 0
    assert mails(house) == []
    assert cli("run", "--once").code == 0
    assert len(mails(house)) == 2
    again = cli("campaigns", "approve", "2", "--yes")
    assert (again.code, again.err) == (2, "distributor: campaign 2 is done, so it cannot become scheduled\n")


def test_controls_need_a_campaign(cli: Cli):
    """A number that is none is told, whatever is to be done with it."""
    for words in (
        ["show"],
        ["approve", "--yes"],
        ["pause"],
        ["resume"],
        ["cancel", "--yes"],
        ["retry", "--yes"],
    ):
        said = cli("campaigns", words[0], "99", *words[1:])
        assert said.code == 2, words
        assert "there is no campaign 99" in said.err
    assert cli("campaigns", "settle", "99", "--as", "perhaps").code == 2


def test_subscribers_come_and_are_shown(cli: Cli):
    """Added, changed, listed, shown, and counted."""
    words = (
        "subscribers",
        "add",
        "zoë@bücher.example",
        "--newsletter",
        "morning",
        "--name",
        "Zoë, Dr. \u2028 =1+1",
    )
    said = cli(*words, "--topics", "sea,town", "--cadence", "weekly")
    assert (said.code, said.out) == (0, "zoë@bücher.example gets morning.\n")
    assert cli(*words).code == 0  # and keeps the rest
    person = cli("subscribers", "show", "ZOË@xn--bcher-kva.example", "--json").document
    assert (person["address"], person["name"]) == ("zoë@bücher.example", "Zoë, Dr. =1+1")
    [place] = person["subscriptions"]
    assert (place["list"], place["state"], place["cadence"], place["topics"]) == (
        "morning",
        "confirmed",
        "weekly",
        ["sea", "town"],
    )
    assert cli("subscribers", "list", "--json").document == {"subscribers": [person]}
    listed = cli("subscribers", "list", "--newsletter", "morning")
    assert "1 confirmed reader (1 weekly)" in listed.out
    assert "sea, town; served through" in cli("subscribers", "show", "zoë@bücher.example").out
    everything = cli(*words, "--topics", "")
    assert everything.code == 0
    assert (
        cli("subscribers", "show", "zoë@bücher.example", "--json").document["subscriptions"][0]["topics"]
        == []
    )


def test_broken_rows_are_listed_and_the_good_imported(cli: Cli, house: Path):
    """Each bad row by file and line on standard error, a summary, and an end with code 1."""
    rows = "email,name\nada@example.org,Ada\nnowhere,Bo\nlin@example.org,M\udcfcller\nzoe@example.org,Zoe\n"
    (house / "bad.csv").write_bytes(rows.encode("utf-8", errors="surrogateescape"))
    said = cli("subscribers", "import", "bad.csv", "--newsletter", "morning")
    assert said.code == 1
    first, second = said.err.splitlines()
    assert first.startswith("bad.csv:3: is no e-mail address")
    assert second.startswith("bad.csv:4: is no UTF-8 text")
    assert said.out == "4 rows: 2 new subscriptions, 2 with a problem.\n"
    again = cli("subscribers", "import", "bad.csv", "--newsletter", "morning", "--json")
    assert (again.document["added"], again.document["unchanged"]) == (0, 2)
    assert [problem["line"] for problem in again.document["problems"]] == [3, 4]


def test_a_file_without_addresses_is_named(cli: Cli, house: Path):
    """A file that is no list of subscribers changes nothing and ends with 1; one that is not there with 2."""
    for name, data in (
        ("empty.csv", b""),
        ("names.csv", b"name\nAda\n"),
        ("wide.csv", "email\n".encode("utf-16")),
    ):
        (house / name).write_bytes(data)
        said = cli("subscribers", "import", name, "--newsletter", "morning")
        assert (said.code, said.out) == (1, "")
        assert said.err.startswith(f"{name}:1: ")
    for name in ("nowhere.csv", "."):
        assert cli("subscribers", "import", name).code == 2
    assert cli("subscribers", "list", "--json").document == {"subscribers": []}


def test_what_is_exported_can_be_imported_elsewhere(cli: Cli, house: Path):
    """To a file and to standard output it is the same CSV, and importing it changes nothing."""
    imported(cli)
    assert cli("subscribers", "export", "out.csv").out == "2 subscriptions in out.csv\n"
    text = (house / "out.csv").read_text(encoding="utf-8")
    assert cli("subscribers", "export", "--newsletter", "morning").out == text
    assert [row["email"] for row in csv.DictReader(io.StringIO(text))] == [
        "ada@example.org",
        "lin@example.org",
    ]
    assert cli("subscribers", "import", "out.csv").out == "2 rows: 2 unchanged.\n"
    assert not list(house.glob(".*partial*"))


def test_explain_says_why(cli: Cli):
    """For an article and a reader: what became of it, or what stands between them."""
    imported(cli)
    assert cli("articles").code == 0
    said = cli("explain", "4101", "ada@example.org")
    assert (said.code, said.err) == (0, "")
    assert "morning: it was public before the newsletter began" in said.out
    assert cli("send", "morning", "--article", "4101", "--yes").code == 0
    document = cli("explain", "4101", "ada@example.org", "--json").document
    assert (document["article"], document["address"]) == ("4101", "ada@example.org")
    [reason] = document["reasons"]
    assert reason["verdict"] == "the provider accepted it for them"
    assert "nobody subscribes as that address" in cli("explain", "4101", "bo@example.org").out


def test_a_round_does_the_whole_job(cli: Cli, house: Path):
    """`run --once` scans, plans and sends, says what it did, and finds nothing to do the second time."""
    imported(cli)
    said = cli("run", "--once", *FIRST)
    assert said.code == 0
    assert "3 files, 2 articles newly public." in said.out
    assert "2 campaigns planned." in said.out
    assert "2 accepted, 0 refused" in said.out
    document = cli("run", "--once", "--json").document
    assert set(document) == {"scanned", "planned", "delivered"}
    assert document["planned"] == []
    assert set(document["delivered"].values()) == {0}
    write_article(house, "town/well", title="A well is found")
    assert cli("run", "--once", "--json").document["scanned"]["registered"]["published"] == [
        "https://news.example/town/well/"
    ]


def test_the_database_tells_of_itself(cli: Cli):
    """Its version, what is in it, and that the accounts add up."""
    assert "now at version" in cli("db", "upgrade").out
    assert "already at version" in cli("db", "upgrade").out
    sent(cli)
    document = cli("db", "status", "--json").document
    assert (document["subscriber"], document["delivery"], document["accounting_gap"]) == (2, 2, 0)
    said = cli("db", "status").out
    assert re.search(r"^ *subscriber +2 *$", said, re.MULTILINE)
    assert "The accounts balance." in said


def test_unknown_names_are_told_with_those_that_exist(cli: Cli, house: Path):
    """A newsletter, channel, article or subscriber that is none ends with 2; nothing is done by halves."""
    imported(cli)
    for words, told in (
        (["send", "evening", "--yes"], "'evening'; there are: morning"),
        (["preview", "evening"], "'evening'; there are: morning, toots"),
        (["post", "4101", "--channel", "toots", "--channel", "x", "--yes"], "there are: toots"),
        (["post", "nothing-of-that-name", "--yes"], "no article is known as 'nothing-of-that-name'"),
        (["send", "morning", "--article", "nope", "--yes"], "no article is known as 'nope'"),
        (["send", "morning", "--to", "bo@example.org", "--yes"], "nobody subscribes as bo@example.org"),
        (["explain", "nope", "ada@example.org"], "no article is known as 'nope'"),
        (["subscribers", "show", "bo@example.org"], "nobody subscribes as bo@example.org"),
        (["subscribers", "add", "a@example.org", "--newsletter", "evening"], "there are: morning"),
        (["subscribers", "import", "readers.csv", "--newsletter", "evening"], "there are: morning"),
        (["subscribers", "list", "--newsletter", "evening"], "there are: morning"),
        (["subscribers", "export", "e.csv", "--newsletter", "evening"], "there are: morning"),
        (["campaigns", "list", "--channel", "evening"], "there are: morning, toots"),
    ):
        said = cli(*words)
        assert (said.code, said.out) == (2, ""), words
        assert told in said.err, words
        assert len(said.err.splitlines()) == 1
    assert not (house / "var/outbox").exists()
    assert not (house / "e.csv").exists()


def test_a_date_that_is_none_is_wrong_usage(cli: Cli):
    """--since takes a date; anything else is told with how to write one."""
    said = cli("articles", "--since", "yesterday")
    assert said.code == 2
    assert "'yesterday' is no date; write 2026-11-20 or 2026-11-20T08:00" in said.err.replace("\n", " ")


def test_no_title_gives_orders_to_the_terminal(cli: Cli, house: Path):
    """Control characters of an article are shown as what they are: unreadable."""
    path = write_article(house, "town/evil", title="x")
    path.write_text(path.read_text().replace('title = "x"', r'title = "\u001b]0;owned\u0007\u009b2J"'))
    for words in (["articles"], ["articles", "--json"], ["post", "evil", "--dry-run"]):
        said = cli(*words)
        assert said.code == 0
        assert not {"\x1b", "\x07", "\x9b"} & set(said.out + said.err)
