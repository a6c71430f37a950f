"""The web application under uvicorn, in a process of its own or beside the daemon's other work."""

from __future__ import annotations

import socket
from collections.abc import Callable
from threading import Thread

import uvicorn

from distributor.app import App
from distributor.errors import ConfigError, Problem
from distributor.web.site import site

GRACE = 10  # seconds that requests under way have to end


class Server:
    """One listening socket, opened at once, so that a port that is taken is told before anything begins."""

    def __init__(self, app: App, *, published: Callable[[], None] | None = None) -> None:
        self._socket = listening(app)
        web = app.config.web
        self._server = uvicorn.Server(
            uvicorn.Config(
                site(app, published=published),
                access_log=False,  # addresses of requests hold readers' tokens
                log_config=None,  # it speaks through the same pipe as everything else
                log_level="warning",
                lifespan="on",
                server_header=False,
                proxy_headers=bool(web.proxies),
                forwarded_allow_ips=list(web.proxies) or "",
                timeout_graceful_shutdown=GRACE,
                limit_concurrency=2000,
                h11_max_incomplete_event_size=32_768,
            )
        )
        self._thread: Thread | None = None

    @property
    def address(self) -> str:
        """Where it listens, port 0 having become a real one."""
        host, port = self._socket.getsockname()[:2]
        return f"{host}:{port}"

    def serve(self) -> None:
        """Answer until SIGTERM or SIGINT; for the main thread."""
        self._server.run(sockets=[self._socket])

    def start(self) -> None:
        """Answer from a thread until `stop`."""
        self._thread = Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, name="web")
        self._thread.start()

    def stop(self) -> None:
        """Take no more requests, and wait for those under way."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join()
        self._socket.close()


def listening(app: App) -> socket.socket:
    """The socket that `[web] listen` names.

    Raises:
        ConfigError: it is taken, or no such address is this machine's.
    """
    listen = app.config.web.listen or "127.0.0.1:8080"
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((host, int(port)))
        opened.listen(1024)
    except OSError as error:
        opened.close()
        reason = f"web.listen: {listen} cannot be listened at: {error.strerror}"
        remedy = "another process has it, or no network of this machine does; write another into [web] listen"
        raise ConfigError([Problem(path=str(app.config.path), reason=reason, remedy=remedy)]) from None
    opened.setblocking(False)
    return opened
