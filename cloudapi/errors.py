"""Every error of the service, one tree.

    CloudError                   str(e) = what happened, to what, what to do; exit_code for the command line
      ConfigError                exit 78; lists every fault at once
      AlreadyRunning             exit 75; another process owns the data directory
      DatabaseAway               exit 69; a command could not reach the database
      StorageMismatch            exit 78; prices are stored otherwise than the configuration says
      ApiError                   an answer to a caller: status, code (stable, part of the problem's type), detail
        Invalid                  422; errors[] with JSON pointers
        BadCursor                400
        Unauthenticated          401
        NotEnoughCredits         402; the account's credits do not cover it
        Forbidden                403; the tier does not include it, and which one does
        NotAllowed               403; the key lacks the scope, or another site's page asks
        NotFound                 404; the same for unknown and foreign
        TooLarge                 413
        RateLimited              429; retry_after_s
        QuotaSpent               429; the month's requests are used up
        Conflict                 409; the same request is under way, or the limit of objects is reached
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


class StorageMismatch(CloudError):
    """The database stores prices otherwise than it was asked to."""

    exit_code = 78


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


class NotEnoughCredits(ApiError):
    """The account's credits do not cover what was asked for."""

    status = 402
    code = "credits"
    title = "Not enough credits"


class Forbidden(ApiError):
    """The caller's tier does not include this."""

    status = 403
    code = "tier"
    title = "Not part of this tier"


class NotAllowed(ApiError):
    """The tier would do, but not this key, or not from this page."""

    status = 403
    code = "not-allowed"
    title = "Not allowed with this"


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


class QuotaSpent(RateLimited):
    """The requests of this month are used up."""

    code = "quota"
    title = "The month's requests are used up"


class Conflict(ApiError):
    """The state of things does not allow it: the same request is under way, or there are as many as may be."""

    status = 409
    code = "conflict"
    title = "Not possible as things stand"


class Unavailable(ApiError):
    """Something this answer needs is away."""

    status = 503
    code = "unavailable"
    title = "Not available just now"
