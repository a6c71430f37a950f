"""The folder in place of a provider: whole files, the same for every repetition, or a later try."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from pathlib import Path

import anyio
import pytest

from distributor.config import Provider
from distributor.errors import TryLater
from distributor.model import Answer, Batch, DeliveryState, Digest, Email, Picture
from distributor.providers.email.mime import Sender
from distributor.providers.email.outbox import Outbox

SENDER = Sender(
    from_="Tide Tables <tides@news.example>", reply_to=None, list_name="Tide Tables", list_label="Gezeiten 潮"
)
DIGEST = Digest(
    subject="High water at noon",
    preheader="",
    html="<p>Hello @@name@@</p>" + "<p>High water at noon.</p>" * 500,
    text="Hello @@name@@, high water at noon.\n@@unsubscribe_url@@\n",
)
BATCH = Batch(
    campaign=7,
    number=1,
    rendition=DIGEST.hash,
    recipients=(41, 42),
    state=DeliveryState.SENDING,
    attempt=1,
    provider="outbox",
    key="7-1",
    due_at=datetime(2026, 6, 1, 7, tzinfo=UTC),
)


def email(number: int) -> Email:
    return Email(
        key=f"7-{number}-ab12",
        recipient=number,
        address=f"r{number}@example.org",
        name=f"Reader {number}",
        slots={"name": f"Reader {number}", "unsubscribe_url": f"https://mail.news.example/u/{number}"},
    )


EMAILS = [email(41), email(42)]


def media(picture: Picture) -> bytes:
    raise FileNotFoundError(2, "No such file or directory", f"media/{picture.name}")


def send(path: Path, *, digest: Digest = DIGEST, batch: Batch = BATCH) -> Answer:
    async def call() -> Answer:
        return await Outbox(Provider(type="outbox", path=path)).send(
            batch, digest, EMAILS, sender=SENDER, media=media
        )

    return anyio.run(call)


def below(path: Path) -> dict[str, bytes]:
    return {str(f.relative_to(path)): f.read_bytes() for f in sorted(path.rglob("*")) if f.is_file()}


def test_every_reader_has_a_file(tmp_path: Path):
    """One message each, in the folder of its campaign, named by its key; the receipt says where."""
    answer = send(tmp_path)
    files = below(tmp_path)
    assert list(files) == ["Gezeiten 潮/00007/7-41-ab12.eml", "Gezeiten 潮/00007/7-42-ab12.eml"]
    assert answer == Answer(receipt=str(tmp_path / "Gezeiten 潮/00007"))
    for number, data in zip((41, 42), files.values(), strict=True):
        message = message_from_bytes(data, policy=policy.default)
        assert message["To"] == f"Reader {number} <r{number}@example.org>"
        assert message["Date"].datetime == BATCH.due_at


def test_repeating_a_call_changes_nothing(tmp_path: Path):
    """A call repeated after a crash, by another attempt, leaves the same files with the same bytes."""
    first = send(tmp_path)
    before = below(tmp_path)
    assert send(tmp_path, batch=replace(BATCH, attempt=3, lease_owner="another")) == first
    assert below(tmp_path) == before


def test_what_cannot_be_written_is_tried_later(tmp_path: Path):
    """A file where a folder should be, and a picture that is gone, say so and ask for a minute."""
    (tmp_path / "blocked").write_text("")
    with pytest.raises(TryLater, match=r"the outbox cannot be written: .*Not a directory") as found:
        send(tmp_path / "blocked")
    assert found.value.after == 60
    picture = Picture(hash="ab" * 32, media_type="image/png", width=1, height=1, size=1)
    with pytest.raises(TryLater, match="media/abab"):
        send(tmp_path, digest=replace(DIGEST, pictures=(picture,)))
    assert not list(tmp_path.rglob("*.eml"))


FULL_DISK = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
from pathlib import Path
from tests.providers.test_email_outbox import send
send(Path(sys.argv[1]))
"""


def test_a_full_disk_leaves_no_halves(tmp_path: Path):
    """Where a file cannot be finished nothing of it stays, and a later call completes the batch."""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    ended = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert "TryLater: the outbox cannot be written: [Errno 27] File too large" in ended.stderr
    assert below(tmp_path) == {}
    send(tmp_path)
    assert len(below(tmp_path)) == 2
