"""A whole edition over real sockets, to a server that knows the keys of calls and loses some answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any

from tests.workspace import Clock, opened, subscribe, workspace, write_article

RESEND = """
[providers.resend]
type = "resend"
key = "re_123"
base_url = "{base_url}"
"""


class Vendor(ThreadingHTTPServer):
    """Accepts batches as Resend does, once a key; hangs up on the first calls without a word."""

    def __init__(self, *, losing: int) -> None:
        super().__init__(("127.0.0.1", 0), _Call)
        self.lock = Lock()
        self.losing = losing  # answers that are lost after the mails were accepted
        self.calls = 0
        self.accepted: dict[str, list[dict[str, Any]]] = {}  # key -> mails

    @property
    def addresses(self) -> list[str]:
        return [mail["to"][0] for mails in self.accepted.values() for mail in mails]


class _Call(BaseHTTPRequestHandler):
    server: Vendor

    def do_POST(self) -> None:
        mails = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.calls += 1
            accepted = self.server.accepted.setdefault(self.headers["Idempotency-Key"], mails)
            if self.server.calls <= self.server.losing:
                self.close_connection = True
                return
        answer = json.dumps({"data": [{"id": f"id-{mail['to'][0]}"} for mail in accepted]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *told: object) -> None:
        """Say nothing."""


@contextmanager
def vendor(*, losing: int = 0) -> Iterator[Vendor]:
    with Vendor(losing=losing) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def test_a_lost_answer_makes_no_second_mail(tmp_path: Path):
    """When the vendor accepted and nobody heard it, the same call again settles it."""
    clock = Clock()
    readers = [f"reader{n}@example.org" for n in range(250)]
    with vendor(losing=2) as server:
        path = workspace(tmp_path, config=RESEND.format(base_url=f"http://127.0.0.1:{server.server_port}"))
        path.write_text(path.read_text().replace('["outbox"]', '["resend"]\npictures = "link"'))
        with opened(path, clock) as app:
            app.scan()
            subscribe(app, *readers)
            write_article(tmp_path, "news", published_at=clock())
            clock.go_on(hours=1)
            first = app.run_once().delivered
            assert (first.accepted + first.unclear, server.calls) == (250, 3)
            assert first.unclear > 0
            clock.go_on(hours=1)
            app.run_once()
            [campaign] = app.campaigns()
            assert (app.balance(campaign.id).accepted, campaign.state) == (250, "done")
            [reason] = app.explain("news", readers[7])
            assert f"id-{readers[7]}" in reason.details[0]
        assert server.calls == 5
        assert sorted(server.addresses) == sorted(readers)
