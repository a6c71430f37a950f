"""Whatever happens to site, readers and process: nobody gets an article twice, nobody misses one."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from PIL import Image

from distributor.app import App
from distributor.config import load
from distributor.errors import AccountTrouble, Refused, SomeRefused, TryLater, Unclear, WrongState
from distributor.model import Answer, Batch, Email
from distributor.store import accounts
from tests.far_end import Recorder, through
from tests.workspace import Clock, leave, subscribe, workspace, write_article

TOPICS = ("harbour", "sport")
CADENCES = ("instant", "daily", "weekly", "monthly")
NEWSLETTER = 'topics = ["harbour", "sport"]\n'


class Killed(BaseException):
    """The process ends here."""


@dataclass
class Written:
    """An article as the test knows it."""

    key: str  # the address under which it was first public
    name: str  # of its file now
    topic: str
    tick: int  # when it was written: only readers who were there before must have it
    is_public: bool = True


@dataclass
class Reader:
    """A reader as the test knows them."""

    address: str
    topics: str
    tick: int
    has_left: bool = False


class Moody(Recorder):
    """Answers its next calls as *said*, and knows its keys for ever; "lost" is accepted without an answer."""

    def __init__(self, path: Path, said: list[str], *, recipients_per_call: int) -> None:
        super().__init__(
            path, recipients_per_call=recipients_per_call, repeatable=True, answer=self.in_its_mood
        )
        self.said = said
        self.mood = ""

    async def send(self, *args: Any, **named: Any) -> Answer:
        self.mood = self.said.pop(0) if self.said else ""
        is_lost = self.mood == "lost"
        answer = await super().send(*args, **named)
        if is_lost:
            raise Unclear("no answer")
        return answer

    def in_its_mood(self, batch: Batch, emails: Sequence[Email]) -> Answer:
        if self.mood in ANSWERS:
            raise ANSWERS[self.mood]
        if self.mood == "spoilt" and len(emails) > 1:
            raise SomeRefused("one of them is no address")
        if self.mood == "some":
            return Answer(later={emails[0].recipient: "throttled"})
        return Answer(receipt=batch.key)


MOODS = ("", "refused", "later", "unclear", "lost", "down", "spoilt", "some")
ANSWERS = {
    "down": AccountTrouble("401"),
    "refused": Refused("full"),
    "later": TryLater("busy", after=60),
    "unclear": Unclear("timeout"),
}


class Histories(RuleBasedStateMachine):
    """A site, an audience and a clock; every rule is something that happens in real life."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="histories-"))
        self.config = workspace(self.folder, newsletter=NEWSLETTER)
        (self.folder / "static").mkdir()
        Image.new("RGB", (8, 8)).save(self.folder / "static/x.png")
        self.clock = Clock()
        self.said: list[str] = []
        self.articles: list[Written] = []
        self.readers: list[Reader] = []
        self.tick = 0
        write_article(self.folder, "known", published_at=self.clock())
        self.app = self.start()
        self.app.scan()
        for number, cadence in enumerate(CADENCES):
            self.join(cadence, TOPICS[number % 2] if number < 2 else "")

    def start(self) -> App:
        app = App(load(self.config, {}), clock=self.clock, sleep=self.clock.sleep)
        app.open()
        self.recorder = Moody(self.folder / "taken.log", self.said, recipients_per_call=2)
        other = Moody(self.folder / "taken.log", self.said, recipients_per_call=1)
        through(app, self.recorder, then=other)
        return app

    # --- what editors do ---

    @rule(topic=st.sampled_from(TOPICS), hours=st.integers(0, 40), breaking=st.booleans())
    def publish(self, topic: str, hours: int, breaking: bool) -> None:
        self.tick += 1
        name = f"news-{len(self.articles)}"
        key = f"https://news.example/{name}/"
        self.articles.append(Written(key=key, name=name, topic=topic, tick=self.tick))
        published_at = self.clock() + timedelta(hours=hours)
        self.write(self.articles[-1], published_at=published_at, distributor={"breaking": breaking})

    def write(self, article: Written, **front_matter: Any) -> None:
        defaults: dict[str, Any] = {
            "title": article.key,
            "published_at": self.clock(),
            "enclosure": "/x.png",
            "tags": [article.topic],
        }
        write_article(self.folder, article.name, **(defaults | front_matter))

    def one(self, data: st.DataObject, *, is_public: bool = True) -> Written | None:
        found = [article for article in self.articles if article.is_public is is_public]
        return data.draw(st.sampled_from(found)) if found else None

    @rule(data=st.data(), text=st.sampled_from(["mended", "longer", "shorter"]))
    def edit(self, data: st.DataObject, text: str) -> None:
        if article := self.one(data):
            path = self.folder / f"content/{article.name}.md"
            path.write_text(path.read_text() + f"\n{text}\n")

    @rule(data=st.data(), with_alias=st.booleans())
    def rename(self, data: st.DataObject, with_alias: bool) -> None:
        if article := self.one(data):
            self.app.scan()
            was_public = article.key in {found.key for found in self.app.articles()[0] if found.sequence}
            before = self.folder / f"content/{article.name}.md"
            text = before.read_text()
            if with_alias:
                text = text.replace("+++\n", f'+++\naliases = ["/{article.name}/"]\n', 1)
            before.unlink()
            article.name = f"{article.name}x"
            if not was_public:  # what nobody saw under its old name is known by the new one
                article.key = f"https://news.example/{article.name}/"
            (self.folder / f"content/{article.name}.md").write_text(_with_one_alias(text))
            self.app.scan()

    @rule(data=st.data(), by_deleting=st.booleans())
    def withdraw(self, data: st.DataObject, by_deleting: bool) -> None:
        if article := self.one(data):
            self.app.scan()
            article.is_public = False
            path = self.folder / f"content/{article.name}.md"
            (self.folder / f"{article.name}.kept").write_text(path.read_text())
            if by_deleting:
                path.unlink()
            else:
                path.write_text(path.read_text().replace("+++\n", "+++\ndraft = true\n", 1))
            self.app.scan()

    @rule(data=st.data())
    def bring_back(self, data: st.DataObject) -> None:
        if article := self.one(data, is_public=False):
            article.is_public = True
            path = self.folder / f"content/{article.name}.md"
            path.write_text((self.folder / f"{article.name}.kept").read_text() + "\nback\n")

    # --- what readers do ---

    @rule(cadence=st.sampled_from(CADENCES), topic=st.sampled_from(["", *TOPICS]))
    def join(self, cadence: str, topic: str) -> None:
        if len(self.readers) < 9:
            self.tick += 1
            address = f"reader{len(self.readers)}@example.org"
            self.readers.append(Reader(address=address, topics=topic, tick=self.tick))
            subscribe(self.app, address, cadence=cadence, topics=topic)

    @rule(data=st.data(), cadence=st.sampled_from(CADENCES))
    def change_cadence(self, data: st.DataObject, cadence: str) -> None:
        reader = data.draw(st.sampled_from(self.readers))
        if not reader.has_left:
            subscribe(self.app, reader.address, cadence=cadence, topics=reader.topics)

    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        reader = data.draw(st.sampled_from(self.readers))
        reader.has_left = True
        leave(self.app, reader.address)

    # --- what the publisher does ---

    @rule(days=st.integers(1, 9))
    def live(self, days: int) -> None:
        for _ in range(days):
            self.next_morning()
            self.app.run_once()

    @rule(days=st.integers(2, 40))
    def be_down(self, days: int) -> None:
        self.clock.go_on(days=days)
        self.app.run_once()

    @rule()
    def cancel(self) -> None:
        self.next_morning()
        self.app.scan()
        for campaign in self.app.plan():
            if campaign.state == "scheduled":
                self.app.cancel(campaign.id, reason="a mistake")

    @rule(said=st.lists(st.sampled_from(MOODS), max_size=8))
    def have_trouble(self, said: list[str]) -> None:
        """The provider answers the next calls so; "lost" is accepted, and the answer never comes."""
        self.said[:] = said

    @rule(data=st.data(), how=st.sampled_from(["pause", "resume", "cancel", "retry"]))
    def lay_hands_on(self, data: st.DataObject, how: str) -> None:
        found = [campaign.id for campaign in self.app.campaigns(limit=6)]
        if not found:
            return
        campaign = data.draw(st.sampled_from(found))
        hands: dict[str, Callable[[int], object]] = {
            "pause": self.app.pause,
            "resume": self.app.resume,
            "cancel": lambda id_: self.app.cancel(id_, reason="a mistake"),
            "retry": self.app.retry,
        }
        with suppress(WrongState):  # what cannot be done now is refused
            hands[how](campaign)

    @rule()
    def run_another_machine(self) -> None:
        """A second daemon on the same ledger plans and delivers between two steps of the first."""
        self.next_morning()
        other = self.start()
        self.app.scan()
        other.run_once()
        self.app.plan()
        self.app.deliver()
        other.close()

    @rule()
    def send_by_hand(self) -> None:
        self.clock.go_on(minutes=1)
        self.app.scan()
        self.app.make(self.app.order("morning"))
        self.app.deliver()

    @rule(data=st.data())
    def send_one(self, data: st.DataObject) -> None:
        listed, _ = self.app.articles(new=False)
        keys = [a.key for a in listed if a.state == "public" and a.sequence and a.key.startswith(NEWS)]
        if keys:
            self.app.make(self.app.order("morning", [data.draw(st.sampled_from(sorted(keys)))]))
            self.app.deliver()

    @rule(data=st.data())
    def send_to_one_reader(self, data: st.DataObject) -> None:
        reader = data.draw(st.sampled_from(self.readers))
        self.clock.go_on(minutes=1)
        self.app.scan()
        self.app.make(self.app.order("morning", to=reader.address))
        self.app.deliver()

    # --- what machines do ---

    @rule(commit=st.integers(1, 14), side=st.sampled_from(["before", "after"]))
    def crash(self, commit: int, side: str) -> None:
        dialect = self.app.database.engine.dialect
        whole = dialect.do_commit
        setattr(dialect, "do_commit", _killing(whole, commit, side))  # noqa: B010 (the driver's)
        self.next_morning()
        with suppress(Killed, BaseExceptionGroup):
            self.app.run_once()
        self.app.close()
        self.app = self.start()

    def next_morning(self) -> None:
        self.clock.time = (self.clock() + timedelta(days=1)).replace(hour=7, minute=30)

    # --- what must hold ---

    def got(self) -> Counter[tuple[str, str]]:
        """(address, article) -> how many mails of different deliveries have it."""
        found = {
            (address, told, key) for key, address, articles in self.recorder.taken() for told in articles
        }
        return Counter((address, told) for address, told, _ in found)

    @invariant()
    @precondition(lambda self: hasattr(self, "app"))
    def nobody_gets_an_article_twice(self) -> None:
        assert [pair for pair, count in self.got().items() if count > 1] == []

    @invariant()
    @precondition(lambda self: hasattr(self, "app"))
    def accounts_add_up(self) -> None:
        with self.app.database.read() as db:
            for campaign in self.app.campaigns(limit=3):
                assert accounts.balance(db, campaign.id).gap == 0

    def teardown(self) -> None:
        if not hasattr(self, "app"):
            return
        try:
            self.said.clear()
            for _ in range(5):  # every cadence comes by, and every lease has ended
                for campaign in self.app.campaigns(limit=1000):
                    for mended in (self.app.resume, self.app.retry):
                        with suppress(WrongState):
                            mended(campaign.id)
                self.clock.go_on(days=9)
                self.app.run_once()
            self.nobody_gets_an_article_twice()
            self.nobody_misses_one()
        finally:
            self.app.close()
            shutil.rmtree(self.folder)

    def nobody_misses_one(self) -> None:
        got = self.got()
        missed = [
            (reader.address, article.key)
            for reader in self.readers
            for article in self.articles
            if not reader.has_left
            and article.is_public
            and article.tick > reader.tick
            and reader.topics in ("", article.topic)
            and not got[reader.address, article.key]
        ]
        assert missed == []
        assert not any(told == "https://news.example/known/" for _, told in got)


NEWS = "https://news.example/news-"


def _with_one_alias(text: str) -> str:
    """Front matter in which each rename has added its alias, as one list."""
    lines = text.split("\n")
    aliases = [line.partition("[")[2].rstrip("]") for line in lines if line.startswith("aliases")]
    rest = [line for line in lines if not line.startswith("aliases")]
    return "\n".join([rest[0], f"aliases = [{', '.join(aliases)}]", *rest[1:]] if aliases else rest)


def _killing(commit: Callable[[Any], None], kill_at: int, side: str) -> Callable[[Any], None]:
    """A commit that is the process's last one, before or after it took place; so are all that follow."""
    count = Counter[str]()

    def counted(connection: Any) -> None:
        count["commits"] += 1
        if count["commits"] > kill_at or (count["commits"] == kill_at and side == "before"):
            raise Killed
        commit(connection)
        if count["commits"] == kill_at:
            raise Killed

    return counted


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=int(os.environ.get("HISTORIES", "12")),
    stateful_step_count=25,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
