"""The web application under uvicorn, in a thread beside the daemon's other work."""

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
        self._app = app
        self._published = published
        self._socket = listening(app)
        self._answering: _Answering | None = None

    @property
    def address(self) -> str:
        """Where it listens, port 0 having become a real one."""
        host, port = self._socket.getsockname()[:2]
        return f"{host}:{port}"

    @property
    def is_alive(self) -> bool:
        return self._answering is not None and self._answering.is_alive()

    def start(self) -> None:
        """Answer from a thread until `stop`."""
        self._answering = self._begun(self._app)

    def change(self, app: App) -> None:
        """Answer as another configuration wants; requests that are under way end as they began."""
        before, self._answering = self._answering, self._begun(app)
        self._app = app
        if before is not None:
            before.end()

    def stop(self) -> None:
        """Take no more requests."""
        if self._answering is not None:
            self._answering.end()

    def join(self, seconds: float) -> bool:
        """Wait for the requests under way; False when they take longer."""
        if self._answering is not None:
            self._answering.join(seconds)
        self._socket.close()
        return not self.is_alive

    def _begun(self, app: App) -> _Answering:
        # A copy of the socket: uvicorn closes what it was given, and the next one goes on with it.
        answering = _Answering(app, self._socket.dup(), self._published)
        answering.start()
        return answering


class _Answering(Thread):
    """One application on the socket."""

    def __init__(self, app: App, own: socket.socket, published: Callable[[], None] | None) -> None:
        super().__init__(name="web", daemon=True)
        self._own = own
        self._server = uvicorn.Server(_settings(app, published))

    def run(self) -> None:
        with self._own:  # told to end before it began, uvicorn closes nothing
            self._server.run(sockets=[self._own])

    def end(self) -> None:
        self._server.should_exit = True


def _settings(app: App, published: Callable[[], None] | None) -> uvicorn.Config:
    proxies = app.config.web.proxies
    return uvicorn.Config(
        site(app, published=published),
        access_log=False,  # addresses of requests hold readers' tokens
        log_config=None,  # it speaks through the same pipe as everything else
        log_level="warning",
        lifespan="on",
        server_header=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=list(proxies) or "",
        timeout_graceful_shutdown=GRACE,
        limit_concurrency=2000,
        h11_max_incomplete_event_size=32_768,
    )


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
