"""Forms of the pages: what was filled in, read into the API's own requests, and each fault beside its field.

Law: a form is checked by the type its route takes, so a page refuses what the API refuses and nothing else. What was
typed comes back with its faults, secrets never do. Each form carries a number made when it was shown: sent twice, it
does its work once. Where a form came from is looked at by the middleware (auth.py), before anything here runs.
"""

import re
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from litestar import Response
from litestar.response import Redirect

from cloudapi.errors import ApiError, Invalid
from cloudapi.services import AnyRequest
from cloudapi.web.links import with_query

T = TypeVar("T", bound=msgspec.Struct)

ONCE = "once"  # the field with the form's number
LONGEST = 2001  # signs kept of a field: one more than any may have, so that what is too long is refused and not cut
SECRETS = frozenset({"password", "old_password", "new_password", "key", "address"})
NO_STORE = {"cache-control": "no-store"}

# What msgspec says of a value, as somebody at a form would say it.
_WORDS = (
    (re.compile(r"missing required field|`str` of length >= 1\b"), "is needed"),
    (re.compile(r"`array` of length >= 1\b"), "choose one at least"),
    (re.compile(r"of length >= (\d+)"), "at least {} signs, please"),
    (re.compile(r"of length <= (\d+)"), "at most {} signs, please"),
    (re.compile(r"`(?:int|float)` >= (\S+)"), "must be {} or more"),
    (re.compile(r"`(?:int|float)` <= (\S+)"), "must be {} or less"),
    (re.compile(r"Invalid enum value"), "choose one of the list"),
    (re.compile(r"Expected `datetime|RFC3339"), "is no moment"),
    (re.compile(r"Expected `(?:int|float)"), "is no number"),
)


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """One form of a page as it came, or as it is shown first."""

    name: str = ""
    given: dict[str, list[str]] = {}
    faults: dict[str, str] = {}  # by field
    fault: str | None = None  # of the whole
    status: int = 200
    headers: dict[str, str] = {}

    def value(self, field: str, default: object = "") -> str:
        """What stands in a field: what was typed, or what it begins with."""
        if field in SECRETS:
            return ""
        typed = self.given.get(field)
        return typed[0] if typed else "" if default is None else str(default)

    def has(self, field: str, value: str, default: Sequence[str] = ()) -> bool:
        """Whether a choice is taken."""
        return value in (self.given.get(field, []) if self.given else default)


BLANK = Form()


def form_number() -> str:
    """A number for a form that is about to be shown."""
    return secrets.token_urlsafe(18)


async def read_form(request: AnyRequest) -> dict[str, list[str]]:
    """What was filled in, by field."""
    form = await request.form()
    return {name: [str(one)[:LONGEST] for one in form.getall(name)] for name in form}


def number_of(given: Mapping[str, list[str]]) -> str:
    """The form's number; one of its own where a program left it out."""
    return ((given.get(ONCE) or [""])[0])[:200] or form_number()


def read(kind: type[T], given: Mapping[str, list[str]], *, lists: frozenset[str] = frozenset()) -> T:
    """The request a form makes. Raises: Invalid with a pointer for each fault; an empty field is one left out.

    Args:
        lists: fields that may have several values.
    """
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        typed = [one for one in given.get(field.name, []) if one.strip()]
        if field.name in lists:
            values[field.name] = typed
        elif field.type is bool:
            values[field.name] = bool(typed)
        elif typed:
            values[field.name] = typed[0] if field.name in SECRETS else typed[0].strip()
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as exc:
        where, said = _in_words(str(exc))
        raise Invalid("This cannot be used.", errors=[{"pointer": f"/body/{where}", "detail": said}]) from exc


def refused(name: str, given: dict[str, list[str]], exc: ApiError) -> Form:
    """The form again, with what was wrong where it was wrong."""
    faults = dict[str, str]()
    for error in exc.errors or ():
        field = error["pointer"].rpartition("/")[2]
        faults[field] = "; ".join(filter(None, (faults.get(field), error["detail"])))
    kept = {field: typed for field, typed in given.items() if field not in SECRETS and field != ONCE}
    headers = {} if exc.retry_after_s is None else {"retry-after": str(exc.retry_after_s)}
    return Form(name=name, given=kept, faults=faults, fault=exc.detail, status=exc.status, headers=headers)


async def submit(
    request: AnyRequest,
    name: str,
    work: Callable[[dict[str, list[str]]], Awaitable[Response[Any]]],
    again: Callable[[Form], Awaitable[Response[Any]]],
) -> Response[Any]:
    """Do what a form asks, or show it again with its faults.

    Args:
        name: of the form, where a page has several.
        work: given the fields, does it and says where to go on.
        again: the page, with this form on it.
    """
    given = await read_form(request)
    try:
        return await work(given)
    except ApiError as exc:
        return await again(refused(name, given, exc))


def done(path: str, said: str) -> Response[Any]:
    """Back to the page, which says what was done; opened again it does nothing again."""
    return Redirect(with_query(path, said=said), status_code=303, headers=NO_STORE)


def _in_words(told: str) -> tuple[str, str]:
    """Field and fault of a sentence of msgspec's."""
    missing = re.search(r"required field `(\w+)`", told)
    at = re.search(r"`\$\.(\w+)", told)
    where = missing[1] if missing else at[1] if at else ""
    for pattern, words in _WORDS:
        if found := pattern.search(told):
            return where, words.format(*found.groups())
    return where, "cannot be used"
