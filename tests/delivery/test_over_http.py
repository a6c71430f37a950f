"""A whole edition over real sockets, to a vendor that knows the keys of calls and loses some answers."""

from __future__ import annotations

from pathlib import Path

from tests.simulator.control import simulator
from tests.workspace import Clock, opened, subscribe, workspace, write_article

RESEND = """
[providers.resend]
type = "resend"
key = "re_123"
base_url = "{base_url}"
"""


def test_a_lost_answer_makes_no_second_mail(tmp_path: Path):
    """When the vendor accepted and nobody heard it, the same call again settles it."""
    clock = Clock()
    readers = [f"reader{n}@example.org" for n in range(250)]
    with simulator(tmp_path / "accepted.tsv") as vendor:
        vendor.faults([{"effect": "reset_after", "count": 2}])
        path = workspace(tmp_path, config=RESEND.format(base_url=vendor.url("resend")))
        path.write_text(path.read_text().replace('["outbox"]', '["resend"]\npictures = "link"'))
        with opened(path, clock) as app:
            app.scan()
            subscribe(app, *readers)
            write_article(tmp_path, "news", published_at=clock())
            clock.go_on(hours=1)
            first = app.run_once().delivered
            assert first.accepted + first.unclear == 250
            assert first.unclear > 0
            assert vendor.state()["calls"] == {"resend": {"reset_after": 2, "200": 1}}
            clock.go_on(hours=1)
            app.run_once()
            [campaign] = app.campaigns()
            assert (app.balance(campaign.id).accepted, campaign.state) == (250, "done")
            taken = {one.address: one.key for one in vendor.taken()}
            [reason] = app.explain("news", readers[7])
            assert f"re-{taken[readers[7]]}" in reason.details[0]
        assert vendor.state()["calls"] == {"resend": {"reset_after": 2, "200": 3}}
        assert sorted(one.address for one in vendor.taken()) == sorted(readers)
