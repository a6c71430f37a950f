"""The configuration: what it takes, and how it says what is wrong."""

from __future__ import annotations

import re
import sys
import zoneinfo
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distributor.config import Config, load, mailbox, notes
from distributor.errors import ConfigError, Problem

ROOT = Path(__file__).parent.parent
SECRET = "correct horse battery staple"

GOOD = """\
[site]
content = "content"
timezone = "Europe/Berlin"

[providers.outbox]
type = "outbox"

[newsletters.morning]
title = "The Morning"
from = "The Morning <news@news.example>"
providers = ["outbox"]
schedule = "0 7 * * *"
"""
CHANNEL = '\n[channels.toots]\nnetwork = "mastodon"\n'


def loaded(folder: Path, text: str, **environment: str) -> Config:
    path = folder / "distributor.toml"
    path.write_text(text, encoding="utf-8")
    return load(path, environment)


def problems(folder: Path, text: str, **environment: str) -> list[Problem]:
    """What is wrong with a file of that text."""
    with pytest.raises(ConfigError) as found:
        loaded(folder, text, **environment)
    assert found.value.exit_code == 2
    assert all(problem.path == str(folder / "distributor.toml") for problem in found.value.problems)
    return list(found.value.problems)


def told(folder: Path, text: str, **environment: str) -> list[tuple[int | None, str]]:
    return [(problem.line, problem.reason) for problem in problems(folder, text, **environment)]


def test_a_small_file_is_enough(tmp_path: Path):
    """A site, a provider and a newsletter: everything else has a sensible value."""
    config = loaded(tmp_path, GOOD)
    newsletter = config.newsletters["morning"]
    assert newsletter.from_ == "The Morning <news@news.example>"
    assert (newsletter.cadences, newsletter.catch_up, newsletter.approval) == (
        ("instant", "daily", "weekly", "monthly"),
        "merge",
        "none",
    )
    assert config.timezone.key == "Europe/Berlin"
    assert config.web.secret.get_secret_value() == ""


def test_paths_start_from_the_files_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Wherever the program is started, relative paths mean the same; absolute ones stay."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    text = GOOD + f'{CHANNEL}path = "posts"\n[pictures]\npath = "{tmp_path}/absolute"\n'
    config = loaded(tmp_path, text.replace('content = "content"', 'content = "content"\nfont = "f.ttf"'))
    assert config.site.content == tmp_path / "content"
    assert config.site.font == tmp_path / "f.ttf"
    assert config.database.url == f"sqlite:///{tmp_path}/var/distributor.db"
    assert config.providers["outbox"].path == tmp_path / "var/outbox/mail"
    assert config.channels["toots"].path == tmp_path / "posts"
    assert config.pictures.path == tmp_path / "absolute"
    assert config.templates == tmp_path / "templates"
    assert (
        loaded(tmp_path, GOOD + '[database]\nurl = "sqlite:////srv/d.db"').database.url
        == "sqlite:////srv/d.db"
    )


def test_every_problem_is_told_at_once(tmp_path: Path):
    """In the order of the file, each with its line, and nothing else."""
    text = """\
[site]
contents = "content"
timezone = "Berlin"

[providers.outbox]
type = "carrier pigeon"

[newsletters.morning]
title = "The Morning"
providers = ["outbox"]
schedule = "at seven"
max_articles = 0
colour = "red"

[channels.toots]
network = "mastodon"
quiet_hours = "22-7"
"""
    found = told(tmp_path, text)
    assert [line for line, _ in found] == [2, 3, 6, 8, 11, 12, 13, 17]
    assert [reason.split(":")[0].split(" ")[0] for _, reason in found] == [
        "site.contents",
        "site.timezone",
        "providers.outbox.type",
        "newsletters.morning.from",
        "newsletters.morning.schedule",
        "newsletters.morning.max_articles",
        "newsletters.morning.colour",
        "channels.toots.quiet_hours",
    ]


@pytest.mark.parametrize(
    ("text", "line", "remedy"),
    [
        (GOOD + 'titel = "x"', 13, "did you mean 'title'?"),
        (GOOD + 'form = "x"', 13, "did you mean 'from'?"),
        (GOOD + CHANNEL + "hashtag = 1", 16, "did you mean 'hashtags'?"),
        (GOOD + "[newsletter.evening]\ntitle = 'x'", 13, "did you mean 'newsletters'?"),
        (
            GOOD + "[providers.b]\ntype = 'outbox'\nlimits = { per_secund = 1 }",
            15,
            "did you mean 'per_second'?",
        ),
        (GOOD + "[web]\nxylophone = 1", 14, "remove it, or see docs/configuration.md"),
        ("path = '/etc'\n" + GOOD, 1, "remove it, or see docs/configuration.md"),
    ],
)
def test_a_misspelt_setting_is_recognised(tmp_path: Path, text: str, line: int, remedy: str):
    """Whoever writes a setting wrong is told the one they meant."""
    [problem] = problems(tmp_path, text)
    assert (problem.line, problem.remedy) == (line, remedy)
    assert "is not a setting" in problem.reason


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("Europe/Berlin", "Mars/Olympus", "'Mars/Olympus' is no time zone; write one like Europe/Berlin"),
        ("Europe/Berlin", "../../etc/passwd", "no time zone"),
        ("0 7 * * *", "0 7 * *", "no cron schedule; every day at seven is '0 7 * * *'"),
        ("0 7 * * *", "0 0 7 * * *", "no cron schedule"),
        ("0 7 * * *", "0 7 30 2 *", "no cron schedule"),
        ("0 7 * * *", "61 7 * * *", "no cron schedule"),
        ('"The Morning"', '"The\\r\\nBcc: x@y.example"', "line breaks and control characters"),
        ('"The Morning"', '"The\\u2028Morning"', "line breaks and control characters"),
        ('"The Morning"', '"The\\u001b[2J"', "line breaks and control characters"),
        ("news@news.example>", "news@news.example>\\nBcc: x@y.example", "line breaks and control characters"),
        ("The Morning <news@news.example>", "The Morning", "must have an @-sign. Write it like The Daily <"),
        ("news@news.example", "news@", "Write it like The Daily <news@example.org>"),
        ('["outbox"]', '"outbox"', "providers: is a list, written in [ ]"),
        ('["outbox"]', "[]", "providers: needs at least one"),
        ('"The Morning"', "7", "title: is text, written in quotation marks"),
        ('content = "content"\n', "", "say where the articles are"),
    ],
)
def test_a_value_that_cannot_be_is_explained(tmp_path: Path, old: str, new: str, reason: str):
    """The reason names the setting and says what it takes."""
    assert GOOD.count(old) >= 1
    [problem] = problems(tmp_path, GOOD.replace(old, new, 1))
    assert reason in problem.reason
    assert problem.line is not None


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (CHANNEL + 'quiet_hours = "25:00-07:00"', "no span of time; write one like 22:00-07:00"),
        (CHANNEL + "min_gap = -60", "min_gap"),
        (CHANNEL + 'language = "de\\r\\nBcc: x"', "language"),
        (CHANNEL.replace("toots", '"../../etc"'), "a name has letters, digits, dots, dashes and spaces"),
        (CHANNEL.replace("toots", '".hidden"'), "a name has letters"),
        (CHANNEL.replace("toots", '"a,b"'), "a name has letters"),
        ('[newsletters.morning.topics]\nsea = ["ferries"]\n"land;air" = ["trains"]', "commas, semicolons"),
        ("[newsletters.morning.topics]\nsea = []", "topics.sea: needs at least one"),
        ('[web]\nsecret = "short"', "web.secret: is too short"),
        ('[web]\npublic_url = "news.example"', "is no web address; it starts with https://"),
        ('[site.x]\na = "b"', "site.x is not a setting"),
    ],
)
def test_what_would_fail_later_fails_now(tmp_path: Path, more: str, reason: str):
    """A value that would only hurt while sending is found when the file is read."""
    assert reason in problems(tmp_path, GOOD + more)[0].reason


@pytest.mark.parametrize("name", ["toots", "Die Zeitung", "日本語", "a-b_c.d", "2026", "ملخص"])
def test_a_name_may_be_of_any_script(tmp_path: Path, name: str):
    """Newsletters and channels are called what their readers call them."""
    assert name in loaded(tmp_path, GOOD + CHANNEL.replace("toots", f'"{name}"')).channels


@pytest.mark.parametrize(
    "text", ["site = 3\n", "database = 3\n", "web = 3\n", "newsletters = []\n", "web = ''\n"]
)
def test_a_table_that_is_none_is_a_problem(tmp_path: Path, text: str):
    """A value where a table belongs is told with its line, whatever the environment adds."""
    environment = {"DATABASE_URL": "sqlite:///x.db", "DISTRIBUTOR_SECRET": SECRET}
    rest = "" if text.startswith(("site", "newsletters")) else GOOD
    found = problems(tmp_path, text + rest, **environment)
    assert any(problem.line == 1 and "is a table" in problem.reason for problem in found)


def test_a_contradiction_is_told_with_what_would_fit(tmp_path: Path):
    """A provider that is not there, and a name that is two things, are found with their lines."""
    text = GOOD.replace('["outbox"]', '["outbox", "ses"]') + CHANNEL.replace("toots", "morning")
    missing, twice = problems(tmp_path, text)
    assert (missing.line, missing.reason) == (
        11,
        "newsletters.morning.providers: there is no [providers.ses]",
    )
    assert missing.remedy == "add that table, or name one of: outbox"
    assert (twice.line, twice.reason) == (14, "'morning' is a newsletter and a channel")


def test_values_come_from_the_environment(tmp_path: Path):
    """A name in ${} is replaced anywhere, from the process first and from .env beside the file otherwise."""
    (tmp_path / ".env").write_text(f"PLACE=here\nTITLE=from the file\nDISTRIBUTOR_SECRET={SECRET}\n")
    text = GOOD.replace('"The Morning"', '"${TITLE}, ${PLACE}"').replace('["outbox"]', '["${P}"]')
    config = loaded(tmp_path, text, TITLE="from outside", P="outbox")
    newsletter = config.newsletters["morning"]
    assert (newsletter.title, newsletter.providers) == ("from outside, here", ("outbox",))
    assert config.web.secret.get_secret_value() == SECRET


def test_what_is_not_set_is_told_once_each(tmp_path: Path):
    """A name without a value is a problem at its line, not an empty text."""
    text = GOOD.replace('"The Morning"', '"${TITLE}${TITLE}"').replace('"0 7', '"${WHEN} 7')
    found = problems(tmp_path, text)
    assert [(p.line, p.reason) for p in found if "is not set" in p.reason] == [
        (9, "${TITLE} is not set"),
        (12, "${WHEN} is not set"),
    ]
    assert found[0].remedy == "put TITLE=… into .env beside distributor.toml"


def test_the_database_of_the_environment_goes_first(tmp_path: Path):
    """One variable moves a workspace to another database; the secret only fills what the file leaves open."""
    text = GOOD + f'[database]\nurl = "sqlite:///a.db"\n[web]\nsecret = "{SECRET}"\n'
    config = loaded(
        tmp_path, text, DATABASE_URL="postgresql+psycopg://h/d", DISTRIBUTOR_SECRET="another " + SECRET
    )
    assert config.database.url == "postgresql+psycopg://h/d"
    assert config.web.secret.get_secret_value() == SECRET
    assert loaded(tmp_path, GOOD, DATABASE_URL="sqlite:///b.db").database.url == f"sqlite:///{tmp_path}/b.db"


@pytest.mark.parametrize(
    "text",
    [
        GOOD.replace("Europe/Berlin", "${KEY}"),
        GOOD.replace("0 7 * * *", "${KEY}"),
        GOOD.replace('["outbox"]', '["${KEY}"]'),
        GOOD.replace('"outbox"\n', '"${KEY}"\n'),
        GOOD + '[web]\npublic_url = "${KEY}"\n',
        GOOD + '[web]\nlisten = ["${KEY}"]\n',
        GOOD + f'[web]\nsecret = ["{SECRET}"]\n',
        GOOD + f'[web]\nsecret = "{SECRET}" x\n',
        GOOD + f'[web]\nsecret = "{SECRET}\n',
    ],
)
def test_no_secret_is_ever_shown(tmp_path: Path, text: str):
    """A message may be pasted anywhere: what came from the environment has its name in it instead."""
    found = problems(tmp_path, text, KEY=SECRET)
    assert found
    assert SECRET not in "\n".join(map(str, found))


def test_a_secret_is_not_in_what_is_printed(tmp_path: Path):
    """Nor is it when the configuration itself is printed."""
    config = loaded(tmp_path, GOOD, DISTRIBUTOR_SECRET=SECRET)
    assert SECRET not in f"{config} {config!r} {config.model_dump()}"


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        (GOOD + "title = \n", 13, "is not TOML"),
        (GOOD + GOOD, 13, "is not TOML: duplicate key"),
        (GOOD.replace('"content"', '"content'), 2, "is not TOML"),
        ("[" * 5000, 1, "is not TOML"),
    ],
)
def test_broken_toml_is_told_with_its_line(tmp_path: Path, text: str, line: int, reason: str):
    """The place where reading ended, and nothing that was read."""
    [problem] = problems(tmp_path, text)
    assert problem.line == line
    assert reason in problem.reason
    assert "at line" not in problem.reason


def test_a_file_that_is_no_text_is_told(tmp_path: Path):
    """Another encoding is named with its line; a byte order mark is no obstacle."""
    path = tmp_path / "distributor.toml"
    path.write_bytes(GOOD.replace("The Morning", "Die Straße").encode("latin-1"))
    with pytest.raises(ConfigError) as found:
        load(path, {})
    assert str(found.value) == f"{path}:9: is not UTF-8 text (save it as UTF-8)"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert load(path, {}).newsletters


def test_a_dotenv_that_is_no_text_is_told(tmp_path: Path):
    """The same for the secrets' file, whose values are not shown."""
    (tmp_path / ".env").write_bytes(b"A=b\nKEY=\xff" + SECRET.encode())
    with pytest.raises(ConfigError) as found:
        loaded(tmp_path, GOOD)
    assert str(found.value) == f"{tmp_path / '.env'}:2: is not UTF-8 text (save it as UTF-8)"


def test_a_missing_file_has_a_remedy(tmp_path: Path):
    """Whoever has none is told how to make one; a folder is not taken for one."""
    with pytest.raises(ConfigError, match=r"there is no such file \(make one with `distributor init`"):
        load(tmp_path / "distributor.toml", {})
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(tmp_path, {})


def test_a_list_of_topics_is_a_table_too(tmp_path: Path):
    """Topics that stand for nothing but themselves can be listed."""
    text = GOOD + 'topics = ["sea", "Arts & Culture"]'
    assert loaded(tmp_path, text).newsletters["morning"].topics == {
        "sea": ("sea",),
        "Arts & Culture": ("Arts & Culture",),
    }


@pytest.mark.parametrize(("value", "seconds"), [("1800", 1800), ('"PT30M"', 1800), ('"00:30:00"', 1800)])
def test_a_gap_is_written_as_one_likes(tmp_path: Path, value: str, seconds: int):
    """Seconds, or a duration as ISO 8601 or a clock has it."""
    config = loaded(tmp_path, GOOD + CHANNEL + f"min_gap = {value}")
    assert config.channels["toots"].min_gap == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("text", "name", "address"),
    [
        ("news@example.org", "", "news@example.org"),
        ("The Daily <news@example.org>", "The Daily", "news@example.org"),
        ('"News, and more" <news@example.org>', "News, and more", "news@example.org"),
        ("News: today, at 9 (CET) <news@example.org>", "News: today, at 9 (CET)", "news@example.org"),
        ("日本新聞 🌊 <news@bücher.example>", "日本新聞 🌊", "news@xn--bcher-kva.example"),
        ("<news@example.org>", "", "news@example.org"),
    ],
)
def test_a_sender_is_a_name_and_an_address(text: str, name: str, address: str):
    """Names need no quoting, and domains become what mail servers ask the DNS for."""
    assert mailbox(text) == (name, address)


def test_every_variable_of_the_environment_is_in_the_example():
    """What the program reads from the environment, .env.example explains; and nothing that it does not."""
    read: set[str] = set()
    for source in [*(ROOT / "distributor").rglob("*.py"), *(ROOT / "subscribers").rglob("*.py")]:
        text = source.read_text(encoding="utf-8")
        read |= set(
            re.findall(
                r"""(?:known|environ|getenv|environment)(?:\.get)?[\[(]["']([A-Z_]+)["'](?!\] =)""", text
            )
        )
        read |= set(re.findall(r"""envvar=["']([A-Z_]+)["']""", text))
    explained = re.findall(
        r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(encoding="utf-8"), re.MULTILINE
    )
    of_the_system = {"WINDIR", "XDG_DATA_DIRS", "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"}
    assert sorted(read - of_the_system) == sorted(explained)


keys = st.sampled_from(["site", "content", "web", "newsletters", "morning", "path", "from", "a b", "", "é"])
values = st.recursive(
    st.none().map(lambda _: "''")
    | st.integers().map(str)
    | st.sampled_from(['"${A}"', '"x"', "1979-05-27", "nan"]),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda found: "[" + ", ".join(found) + "]")
        | st.dictionaries(keys, inner, max_size=3).map(
            lambda found: "{" + ", ".join(f'"{key}" = {value}' for key, value in found.items()) + "}"
        )
    ),
    max_leaves=6,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(tables=st.dictionaries(keys, values, max_size=4), more=st.sampled_from(["", GOOD, "\x00", "["]))
def test_any_file_is_a_configuration_or_a_list_of_problems(tmp_path: Path, tables: dict[str, str], more: str):
    """Whatever stands in the file, the answer is one or the other."""
    text = "\n".join(f'"{key}" = {value}' for key, value in tables.items()) + "\n" + more
    try:
        loaded(tmp_path, text, A="1", DATABASE_URL="sqlite:///x.db", DISTRIBUTOR_SECRET=SECRET)
    except ConfigError as error:
        found = error.problems
        last = text.count("\n") + 1
        if not found or any(problem.line and problem.line > last for problem in found):
            pytest.fail(f"problems without sense: {found}")


def test_what_a_vendor_cannot_carry_is_said_aloud(tmp_path: Path):
    """A newsletter through a vendor with unsubscribing of its own is told so; others are told nothing."""
    text = GOOD.replace('providers = ["outbox"]', 'providers = ["sparkpost", "outbox"]')
    config = loaded(tmp_path, text + '[providers.sparkpost]\ntype = "sparkpost"\nkey = "k"\n')
    [note] = notes(config)
    assert note.startswith("newsletters.morning: sparkpost (sparkpost) carries no List-Unsubscribe")
    assert notes(loaded(tmp_path, GOOD)) == []


def test_settings_of_another_type_are_problems(tmp_path: Path):
    """A setting that a type does not know is named with its line, so that nobody relies on it."""
    text = GOOD + '[providers.resend]\ntype = "resend"\nkey = "k"\nhost = "mail.example.org"\n'
    [problem] = problems(tmp_path, text)
    assert (problem.line, problem.reason) == (16, "providers.resend.host: resend has no such setting")
    text = GOOD + '[providers.grid]\ntype = "sendgrid"\nkey = "k"\nregion = "us"\n'
    [problem] = problems(tmp_path, text)
    assert (problem.line, problem.remedy) == (16, 'write "eu", or leave it out')
    [problem] = problems(tmp_path, GOOD + '[providers.x]\ntype = "pigeon"\n')
    assert "'pigeon' is no type of provider; there are: " in problem.reason


def test_a_vendor_needs_its_key(tmp_path: Path):
    """Without the key nothing can be sent, so it is asked for when the file is read."""
    text = GOOD + '[providers.resend]\ntype = "resend"\n'
    [problem] = problems(tmp_path, text)
    assert (problem.line, "resend needs key" in problem.reason) == (13, True)
    assert problem.remedy == 'write key = "${RESEND_KEY}", and RESEND_KEY=… into .env'
    config = loaded(tmp_path, text + 'key = "${RESEND_KEY}"\n', RESEND_KEY="re_123")
    assert config.providers["resend"].key.get_secret_value() == "re_123"
    assert "re_123" not in repr(config)


def test_pictures_inside_mails_need_a_provider_that_takes_them(tmp_path: Path):
    """What the vendor's batch call cannot carry is said before an edition is due."""
    text = GOOD.replace('providers = ["outbox"]', 'providers = ["resend"]\npictures = "inline"')
    [problem] = problems(tmp_path, text + '[providers.resend]\ntype = "resend"\nkey = "k"\n')
    assert (problem.line, problem.remedy) == (12, 'write pictures = "link"')


ACCOUNT = (
    GOOD
    + """
[channels.toots]
network = "{network}"
account = "@news@social.example"
{more}
"""
)


@pytest.mark.parametrize(
    ("network", "more", "told"),
    [
        ("mastodon", "", "an account on mastodon needs key"),
        ("discord", "", "an account on discord needs webhook"),
        (
            "mastodon",
            'key = "k"\nwebhook = "w"',
            "channels.toots.webhook: an account on mastodon has no such",
        ),
        ("x", 'key = "k"\nrefresh_key = "r"', "channels.toots.refresh_key: is of no use without client_id"),
        ("x", 'key = "k"\nkey_secret = "r"\nclient_id = "c"', "is of no use without client_secret"),
    ],
)
def test_an_account_has_what_its_network_wants(tmp_path: Path, network: str, more: str, told: str):
    """What is missing, foreign or half is named with its line and what to do."""
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, ACCOUNT.format(network=network, more=more))
    [problem] = [one for one in caught.value.problems if told in one.reason]
    assert problem.line
    assert problem.remedy


def test_what_an_account_cannot_do_is_noted(tmp_path: Path):
    """A network without edits, and one that fetches pictures from us."""
    found = notes(loaded(tmp_path, ACCOUNT.format(network="instagram", more='key = "k"')))
    assert any("has no edits" in note for note in found)
    assert any("/media/" in note for note in found)


def test_a_missing_time_zone_database_is_said_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Where the system has none and the package that brings it is gone, the configuration says what to do."""
    for name in {"tzdata", *(name for name in sys.modules if name.startswith("tzdata"))}:
        monkeypatch.setitem(sys.modules, name, None)
    zoneinfo.reset_tzpath(to=[])
    ZoneInfo.clear_cache()
    try:
        with pytest.raises(ConfigError) as caught:
            loaded(tmp_path, GOOD)
    finally:
        zoneinfo.reset_tzpath()
        ZoneInfo.clear_cache()
    assert ["pip install tzdata" in problem.reason for problem in caught.value.problems] == [True]
