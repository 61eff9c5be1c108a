"""Speaks to the service manager; silent where there is none."""

import os

import sdnotify


class ServiceManager:
    """systemd's notification socket, as named by NOTIFY_SOCKET."""

    def __init__(self) -> None:
        # Asked here: sdnotify 0.3.2 leaves a socket open behind it where the name is missing.
        self._notifier = sdnotify.SystemdNotifier() if os.environ.get("NOTIFY_SOCKET") else None

    def tell(self, *states: str) -> None:
        """Send state lines such as READY=1 in one datagram; never raises: a lost notice must not stop the work."""
        if self._notifier is not None:
            # It also encodes as Latin-1 and drops what does not fit, but systemd reads UTF-8: hand over the UTF-8
            # bytes as the characters Latin-1 turns back into them.
            self._notifier.notify("\n".join(states).encode().decode("latin-1"))

    def close(self) -> None:
        """Let go of the socket; nothing is told afterwards."""
        if self._notifier is not None and self._notifier.socket is not None:
            self._notifier.socket.close()
