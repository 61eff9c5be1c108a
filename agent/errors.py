"""Every error of the edge, one tree.

    OddsdError                     str(e) = operation + object + cause
      ConfigError                  exit 78; lists every fault at once
      VenueError
        VenueUnavailable *         network, 5xx, HTML where JSON belongs
        VenueRateLimited *         429
        VenueRejected              any other 4xx: our request is wrong
          VenueNotFound            404: the venue does not know what was asked for
        VenueDataError             a payload that cannot be read; names the path and an excerpt
      AnalysisError
        LlmUnavailable *           network, 5xx, 429, 498
        LlmReplyInvalid            cut, not JSON, outside the schema or outside the request
        LlmRefused                 key, model or request refused for good
        BudgetExhausted            the day's cap is reached
          CallsExhausted           one model's calls of the day are used up; another may have some left
      StoreError
        StoreBusy *                another process holds the file
        StoreFull                  no space left
        DeviceFailed               the disk could not read or write; nothing is written after it
        SchemaMismatch             a newer or foreign file; exit 78
          StoreBroken              the file is damaged; the house moves it aside and begins anew
      JobError
        UnknownJob                 no job has this name; exit 64
        UnknownRun                 no run, or more than one, has this id; exit 64
        NoDeadLetter               nothing dead is meant by these words; exit 64
        NotShared                  this machine shares no work with others; exit 69
        UnitDead                   a unit of work failed for good
      ControlError
        NotRunning                 nobody listens on the control socket; exit 3
        ControlForbidden           this user may not use it; exit 77
        ControlTimeout *           no answer in time; exit 69
        ControlRefused             the daemon could not do it; exit 69
        SnapshotUnreadable         the last report is not for us, or not whole; exit 4
      UnknownBatch                 no batch holds this number; exit 64
      CloudAway *                  the cloud could not be asked; exit 69
      AlertFailed *                the operator could not be told
      MetricsUnavailable           the port of /metrics cannot be had
      UnknownPrediction            no prediction or experiment is meant; exit 64
      UnknownMarket                no market, or more than one, is meant; exit 64
      AlreadyRunning               another daemon owns the data directory; exit 75
      ReloadRefused                the configuration read again is not taken; the running one stays

`*` = retryable. Foreign exceptions are mapped once, in the client that met them. Sending has a tree of its own,
`sync/errors.py`, which never leaves the sender.
"""


class OddsdError(Exception):
    """Base. `retryable` says whether the same call may succeed later; `advice` says what a person can do."""

    retryable = False
    exit_code = 70

    def __init__(self, message: str, *, retry_after_s: float | None = None, advice: str | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.advice = advice


class ConfigError(OddsdError):
    """The configuration cannot be used; `faults` has one sentence each."""

    exit_code = 78

    def __init__(self, faults: list[str]) -> None:
        super().__init__("configuration: " + "; ".join(faults))
        self.faults = faults


class VenueError(OddsdError):
    """Reading an exchange failed."""


class VenueUnavailable(VenueError):
    """The venue did not answer as an API: network, 5xx, HTML."""

    retryable = True


class VenueRateLimited(VenueError):
    """The venue asked us to slow down."""

    retryable = True


class VenueRejected(VenueError):
    """The venue refuses the request as it stands."""


class VenueNotFound(VenueRejected):
    """The venue does not know what was asked for: an id, or a whole route."""


class VenueDataError(VenueError):
    """A payload that cannot be read as what the venue promises."""


class AnalysisError(OddsdError):
    """A model call failed."""


class LlmUnavailable(AnalysisError):
    """The model service is away or asks to wait."""

    retryable = True


class LlmReplyInvalid(AnalysisError):
    """The reply is not the answer that was asked for."""


class LlmRefused(AnalysisError):
    """The service refuses key, model or request for good."""


class BudgetExhausted(AnalysisError):
    """The call could pass the cap, so it was not made."""


class CallsExhausted(BudgetExhausted):
    """This model's calls of the day are used up; another model may have some left."""


class StoreError(OddsdError):
    """The local database failed."""

    exit_code = 74


class StoreBusy(StoreError):
    """Another process holds the file."""

    retryable = True


class StoreFull(StoreError):
    """No space left for the local database."""


class DeviceFailed(StoreError):
    """The device could not read, write or sync: what it was given may be gone."""


class SchemaMismatch(StoreError):
    """The file is newer than this program, or not ours."""

    exit_code = 78


class StoreBroken(SchemaMismatch):
    """The file is damaged, or no database at all."""

    exit_code = 74


class JobError(OddsdError):
    """The engine cannot do what was asked."""


class UnknownJob(JobError):
    """No job has this name."""

    exit_code = 64


class UnknownRun(JobError):
    """No run has this id, or more than one has this end of it."""

    exit_code = 64


class NoDeadLetter(JobError):
    """No dead letter is meant by these words."""

    exit_code = 64


class NotShared(JobError):
    """This machine works alone: there is nothing of another one to take over."""

    exit_code = 69


class UnitDead(JobError):
    """A unit failed for good, now or in an earlier try; the message is its error's."""


class ControlError(OddsdError):
    """Asking the daemon failed."""

    exit_code = 69


class NotRunning(ControlError):
    """Nobody listens on the control socket."""

    exit_code = 3


class ControlForbidden(ControlError):
    """The socket is there, but this user may not use it."""

    exit_code = 77


class ControlTimeout(ControlError):
    """The daemon is there and did not answer in time."""

    retryable = True


class ControlRefused(ControlError):
    """The daemon answered that it could not do it."""


class SnapshotUnreadable(ControlError):
    """The last report is there, but not for us or not whole."""

    exit_code = 4  # status unknown, as LSB has it


class AlreadyRunning(OddsdError):
    """Another daemon owns the data directory."""

    exit_code = 75


class ReloadRefused(OddsdError):
    """The configuration that was read again is not taken; the running one stays."""


class UnknownBatch(OddsdError):
    """No batch of the stream in use holds this number."""

    exit_code = 64


class CloudAway(OddsdError):
    """The cloud could not be asked, or none is configured."""

    retryable = True
    exit_code = 69


class AlertFailed(OddsdError):
    """A message to the operator did not reach every target."""

    retryable = True


class MetricsUnavailable(OddsdError):
    """The port of /metrics cannot be had."""


class UnknownPrediction(OddsdError):
    """No prediction or experiment we hold is meant by these words."""

    exit_code = 64


class UnknownMarket(OddsdError):
    """No market we hold is meant by these words, or more than one."""

    exit_code = 64
