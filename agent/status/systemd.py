"""Speaks to the service manager; silent where there is none."""

import sdnotify


class ServiceManager:
    """systemd's notification socket, as named by NOTIFY_SOCKET."""

    def __init__(self) -> None:
        self._notifier = sdnotify.SystemdNotifier()

    def tell(self, *states: str) -> None:
        """Send state lines such as READY=1 in one datagram; never raises: a lost notice must not stop the work."""
        # sdnotify 0.3.2 encodes as Latin-1 and drops a message that does not fit, but systemd reads UTF-8: hand over
        # the UTF-8 bytes as the characters Latin-1 turns back into them.
        self._notifier.notify("\n".join(states).encode().decode("latin-1"))
