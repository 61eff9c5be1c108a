"""Every error of the service, one tree.

    CloudError                   str(e) = what happened, to what, what to do; exit_code for the command line
      ConfigError                exit 78; lists every fault at once
      AlreadyRunning             exit 75; another process owns the data directory
      DatabaseAway               exit 69; a command could not reach the database
      ApiError                   an answer to a caller: status, code (stable, part of the problem's type), detail
        Invalid                  422; errors[] with JSON pointers
        BadCursor                400
        Unauthenticated          401
        Forbidden                403; the tier does not include it, and which one does
        NotFound                 404; the same for unknown and foreign
        TooLarge                 413
        RateLimited              429; retry_after_s
        Unavailable              503; retry_after_s

Every ApiError becomes application/problem+json in `problems.py`, as does anything the framework raises.
"""

from typing import ClassVar


class CloudError(Exception):
    """Base of all errors of the service."""

    exit_code = 70


class ConfigError(CloudError):
    """The configuration cannot be used; `faults` has one sentence each."""

    exit_code = 78

    def __init__(self, faults: list[str]) -> None:
        super().__init__("configuration: " + "; ".join(faults))
        self.faults = faults


class AlreadyRunning(CloudError):
    """Another process owns the data directory."""

    exit_code = 75


class DatabaseAway(CloudError):
    """A command could not reach the database."""

    exit_code = 69


class ApiError(CloudError):
    """An answer to a caller that is not the one hoped for."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"

    def __init__(
        self, detail: str, *, errors: list[dict[str, str]] | None = None, retry_after_s: int | None = None
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors
        self.retry_after_s = retry_after_s


class Invalid(ApiError):
    """The request is understood and asks for something impossible."""

    status = 422
    code = "invalid"
    title = "The request is not valid"


class BadCursor(ApiError):
    """A cursor of ours that does not belong to this list."""

    status = 400
    code = "bad-cursor"
    title = "The cursor cannot be used here"


class Unauthenticated(ApiError):
    """No key, or one that opens nothing."""

    status = 401
    code = "unauthenticated"
    title = "An API key is needed"


class Forbidden(ApiError):
    """The caller's tier does not include this."""

    status = 403
    code = "tier"
    title = "Not part of this tier"


class NotFound(ApiError):
    """There is no such object for this caller."""

    status = 404
    code = "not-found"
    title = "Not found"


class TooLarge(ApiError):
    """The body is larger than any request of ours needs."""

    status = 413
    code = "too-large"
    title = "The request is too large"


class RateLimited(ApiError):
    """Too many requests in the window."""

    status = 429
    code = "rate-limited"
    title = "Too many requests"


class Unavailable(ApiError):
    """Something this answer needs is away."""

    status = 503
    code = "unavailable"
    title = "Not available just now"
