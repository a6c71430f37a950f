"""Whether the program is ready: the truth, with reasons."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from sqlalchemy import text

from distributor.readiness import DUTIES, unready
from distributor.store import tallies
from tests.web.reports import endpoint
from tests.workspace import Clock, opened, workspace


def test_a_process_that_looks_and_delivers_is_ready_as_long_as_it_does(tmp_path: Path, database_url: str):
    """Before the first look it is not, and neither when the last lies far back; a long look has its time."""
    clock = Clock()
    with opened(workspace(tmp_path, database=database_url), clock) as app:
        assert unready(app, DUTIES) == [
            "never yet: the site was looked at",
            "never yet: a worker was seen",
        ]
        assert unready(app) == []
        app.look()
        app.deliver()
        assert unready(app, DUTIES) == []
        clock.go_on(minutes=7)
        app.look()
        assert unready(app, DUTIES) == ["not for 7 minutes: a worker was seen"]


def test_another_version_of_the_database_is_not_ready(tmp_path: Path, database_url: str):
    """Between an upgrade of the tables and that of the program nothing is promised."""
    with opened(workspace(tmp_path, database=database_url), Clock()) as app:
        with app.database.write() as db:
            db.execute(text("UPDATE alembic_version SET version_num = '0001'"))
        [reason] = unready(app)
        assert reason.startswith("the database is at version 0001, and this program wants ")


def test_a_web_process_says_that_it_is_ready_and_why_not(tmp_path: Path, database_url: str):
    """It answers for itself: that nobody looks at the site keeps no reader from leaving."""
    with endpoint(tmp_path, Clock(), database_url) as (app, client):
        assert client.get("/readyz").text == "ready\n"
        with app.database.write() as db:
            db.execute(text("DROP TABLE alembic_version"))
        answer = client.get("/readyz")
        assert (answer.status_code, client.get("/healthz").text) == (503, "alive\n")
        assert answer.text.startswith("not ready\n- the database is at version none")


def test_a_database_that_is_away_is_told_without_its_name(tmp_path: Path):
    """Anybody may read the answer."""
    with opened(workspace(tmp_path), Clock()) as app:
        app.database.close()
        for file in (tmp_path / "var").glob("distributor.db*"):
            file.unlink()
        (tmp_path / "var/distributor.db").write_text("no database")
        assert unready(app) == ["the database does not answer"]


def test_a_look_that_takes_long_is_waited_for(tmp_path: Path):
    """A site of a hundred thousand pages is no fault: three times its last look is granted besides."""
    clock = Clock()
    with opened(workspace(tmp_path), clock) as app:
        with app.database.write() as db:
            tallies.beat(db, "look", now=clock(), seconds=timedelta(minutes=3).total_seconds())
        clock.go_on(minutes=13)
        assert unready(app, ["look"]) == []
        clock.go_on(minutes=2)
        assert unready(app, ["look"]) == ["not for 15 minutes: the site was looked at"]
