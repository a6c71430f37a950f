from __future__ import annotations

import json
import signal
import sys
import textwrap
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest

from distributor.errors import Refused, TryLater
from distributor.model import Batch, DeliveryState, Picture, Post
from distributor.providers.social.outbox import Outbox, safe_name
from tests.providers.networks import Notebook

PICTURE = Picture(
    hash="ab" * 32, media_type="image/png", width=4, height=4, size=3, alt="Two gulls on a bollard, 港"
)
POST = Post(
    network="mastodon",
    text="The tide is out – 干潮 🌊",
    pictures=(PICTURE,),
    payload={"status": "The tide is out – 干潮 🌊", "media_ids": [{"$picture": PICTURE.hash}]},
)
BATCH = Batch(
    campaign=7,
    number=1,
    rendition=POST.hash,
    recipients=(0,),
    state=DeliveryState.SENDING,
    attempt=1,
    provider="outbox",
    key="toots-7-1",
    due_at=datetime(2026, 11, 20, tzinfo=UTC),
)


def media(picture: Picture) -> bytes:
    return b"png"


def below(path: Path) -> dict[str, bytes]:
    return {str(f.relative_to(path)): f.read_bytes() for f in sorted(path.rglob("*")) if f.is_file()}


@pytest.mark.anyio
async def test_a_post_becomes_a_folder(tmp_path: Path) -> None:
    """Text, payload, pictures under readable names and their alternative texts, ready to look at."""
    receipt = await Outbox(tmp_path, channel="toots").send(BATCH, POST, media=media, memory=Notebook())
    files = below(tmp_path)
    name = "1-two-gulls-on-a-bollard-港.png"
    folder = "toots/toots-7-1"
    assert sorted(files) == sorted(f"{folder}/{f}" for f in ("alt.txt", "post.json", "post.txt", name))
    assert files[f"{folder}/post.txt"].decode() == POST.text + "\n"
    assert json.loads(files[f"{folder}/post.json"]) == POST.payload
    assert files[f"{folder}/alt.txt"].decode() == f"{name}\n{PICTURE.alt}\n\n"
    assert files[f"{folder}/{name}"] == b"png"
    assert receipt.id == "outbox:toots/toots-7-1"
    assert receipt.url == (tmp_path / folder).as_uri()


@pytest.mark.anyio
async def test_a_picture_may_be_a_file(tmp_path: Path) -> None:
    """The media folder's file serves as well as bytes."""
    source = tmp_path / "picture"
    source.write_bytes(b"from a file")
    await Outbox(tmp_path / "out", channel="toots").send(
        BATCH, POST, media=lambda picture: source, memory=Notebook()
    )
    assert b"from a file" in below(tmp_path / "out").values()


@pytest.mark.anyio
async def test_repeating_is_harmless(tmp_path: Path) -> None:
    """The same post under the same key changes no byte and has the same receipt."""
    outbox = Outbox(tmp_path, channel="toots")
    first = await outbox.send(BATCH, POST, media=media, memory=Notebook())
    before = below(tmp_path)
    again = await Outbox(tmp_path, channel="toots").send(
        replace(BATCH, attempt=2), POST, media=media, memory=Notebook()
    )
    assert again == first
    assert below(tmp_path) == before


@pytest.mark.anyio
async def test_another_post_under_a_used_key_is_refused(tmp_path: Path) -> None:
    """What lies there was posted: it is never overwritten."""
    outbox = Outbox(tmp_path, channel="toots")
    await outbox.send(BATCH, POST, media=media, memory=Notebook())
    before = below(tmp_path)
    with pytest.raises(Refused, match="another post"):
        await outbox.send(BATCH, replace(POST, text="The tide is in"), media=media, memory=Notebook())
    assert below(tmp_path) == before


@pytest.mark.anyio
async def test_a_leftover_of_a_killed_process_is_ignored(tmp_path: Path) -> None:
    """A process killed while it writes leaves an unfinished folder; the post is placed whole all the same."""
    with anyio.fail_after(60):
        killed = await anyio.run_process([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    leftovers = list((tmp_path / "toots").iterdir())
    assert [folder.name.startswith(".") for folder in leftovers] == [True]
    assert list(leftovers[0].iterdir()), "it was killed in the middle of writing"
    await Outbox(tmp_path, channel="toots").send(BATCH, POST, media=media, memory=Notebook())
    shown = [folder.name for folder in (tmp_path / "toots").iterdir() if not folder.name.startswith(".")]
    assert shown == ["toots-7-1"]
    assert sorted(f.name for f in (tmp_path / "toots" / "toots-7-1").iterdir())[1:] == [
        "alt.txt",
        "post.json",
        "post.txt",
    ]


KILLED = textwrap.dedent(
    """
    import os, signal, sys
    from pathlib import Path
    import anyio
    from tests.providers.networks import Notebook
    from tests.providers.test_social_outbox import BATCH, POST, media
    from distributor.providers.social.outbox import Outbox

    def die_after_first_file(event, arguments):
        if event == "open" and str(arguments[0]).endswith("alt.txt"):
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(die_after_first_file)
    send = Outbox(Path(sys.argv[1]), channel="toots").send
    anyio.run(lambda: send(BATCH, POST, media=media, memory=Notebook()))
    """
)


@pytest.mark.anyio
async def test_a_folder_that_cannot_be_written_means_later(tmp_path: Path) -> None:
    """A disk that refuses leaves nothing behind, and the post is tried again."""
    (tmp_path / "toots").write_text("a file where the folder should be")
    with pytest.raises(TryLater, match="toots"):
        await Outbox(tmp_path, channel="toots").send(BATCH, POST, media=media, memory=Notebook())
    assert list(below(tmp_path)) == ["toots"]


@pytest.mark.anyio
async def test_a_picture_that_cannot_be_read_means_later(tmp_path: Path) -> None:
    """Without its picture a post is not placed."""
    with pytest.raises(TryLater):
        await Outbox(tmp_path, channel="toots").send(
            BATCH, POST, media=lambda picture: tmp_path / "gone", memory=Notebook()
        )
    assert below(tmp_path) == {}


@pytest.mark.parametrize(
    "key",
    [
        "",
        ".",
        "..",
        "../../etc/passwd",
        "a/b",
        "C:\\x",
        "con",
        "NUL.txt",
        "x" * 5000,
        "港",
        "a\nb",
        "A",
        " ",
        "\ud800",
        "-",
    ],
)
def test_a_key_is_always_a_name(key: str) -> None:
    """No key leaves its folder, is hidden, too long, or means a device somewhere."""
    name = safe_name(key)
    assert name not in ("", ".", "..")
    assert len(name.encode()) <= 100
    assert not set(name) & set('/\\:*?"<>|\n ')
    assert not name.startswith((".", "-"))
    assert name != key


def test_two_keys_never_share_a_name() -> None:
    """Keys that look alike once they are safe stay apart, also where capitals do not count."""
    keys = ["toots/1", "toots-1", "Toots-1", "toots 1", "toots-1.", "con", "con-"]
    assert len({safe_name(key).casefold() for key in keys}) == len(keys)


@pytest.mark.parametrize("key", ["toots-7-1", "post.12_3"])
def test_a_plain_key_names_its_folder(key: str) -> None:
    """The ordinary key can be found by name."""
    assert safe_name(key) == key
