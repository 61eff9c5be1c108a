"""How sending can fail, for both transports.

TransportError
  SinkUnavailable    the cloud cannot be reached or asks to wait: same batch again, later
  SinkHeld           credentials, rights or versions do not fit: a person must act, collecting goes on
  BatchRefused       this batch or answer cannot be taken, or not be read any more: it is set aside, the others pass
"""


class TransportError(Exception):
    """Base; str(e) = operation + object + cause. `advice` says what a person can do."""

    def __init__(self, message: str, *, advice: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.advice = advice
        self.retry_after_s = retry_after_s  # what the server asked for, or what its trouble usually takes


class SinkUnavailable(TransportError):
    """Network, server restarting, deadline passed."""


class SinkHeld(TransportError):
    """Waiting for a person."""


class BatchRefused(TransportError):
    """Set aside, never dropped."""
