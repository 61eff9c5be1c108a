"""/docs: the API explained on one page, rendered here from the OpenAPI document. No script, no foreign host.

Law: everything on the page is computed (routes, parameters, schemas from OpenAPI; tiers from the table of
entitlements; problems from the error tree), so it cannot say what the service does not do.
"""

import base64
import hashlib
from collections.abc import Iterator
from html import escape
from http import HTTPStatus
from typing import Any

from litestar import MediaType, Request, Response, get

from cloudapi.errors import ApiError
from cloudapi.problems import FRAMEWORK_CODES
from cloudapi.tiers import ENTITLEMENTS

STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:1rem;color:#1b1f24;background:#fff}
code,pre{font:14px/1.4 ui-monospace,monospace;background:#f3f4f6;border-radius:4px;padding:.1em .3em}
h2{border-top:1px solid #d0d7de;padding-top:1rem}table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #d0d7de;vertical-align:top}
.scroll{overflow-x:auto}nav a{margin-right:1rem}
@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}code,pre{background:#161b22}
th,td,h2{border-color:#30363d}a{color:#58a6ff}}
"""
STYLE_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; style-src 'sha256-{STYLE_DIGEST}'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
NAVIGATION = (
    '<nav><a href="#routes">Routes</a><a href="#tiers">Tiers</a><a href="#problems">Problems</a>'
    '<a href="#schemas">Schemas</a><a href="/openapi.json">openapi.json</a></nav>'
)


@get("/docs", include_in_schema=False, opt={"public": True}, sync_to_thread=False)
def documentation(request: Request[Any, Any, Any]) -> Response[str]:
    """The API on one page."""
    page = render_page(request.app.openapi_schema.to_schema())
    return Response(page, media_type=MediaType.HTML, headers={"content-security-policy": POLICY})


def render_page(document: dict[str, Any]) -> str:
    """OpenAPI document to HTML."""
    info = document["info"]
    operations = [
        (path, method, operation)
        for path, item in sorted(document["paths"].items())
        for method, operation in item.items()
        if isinstance(operation, dict)
    ]
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<title>{escape(info['title'])}</title><style>{STYLE}</style></head><body>",
        f"<h1>{escape(info['title'])} <small>{escape(info['version'])}</small></h1>",
        f"<p>{escape(info['description'])}</p>",
        NAVIGATION,
        '<h2 id="routes">Routes</h2>',
        *(_render_operation(*operation) for operation in operations),
        _render_tiers(),
        _render_problems(),
        '<h2 id="schemas">Schemas</h2>',
        *(_render_schema(name, schema) for name, schema in sorted(document["components"]["schemas"].items())),
        "</body></html>",
    ]
    return "".join(parts)


def _render_operation(path: str, method: str, operation: dict[str, Any]) -> str:
    rows = [
        f"<tr><td><code>{escape(p['name'])}</code></td><td>{p['in']}{', required' if p.get('required') else ''}</td>"
        f"<td>{_type_of(p.get('schema', {}))}</td><td>{escape(p.get('description') or '')}</td></tr>"
        for p in operation.get("parameters") or []
    ]
    table = _table(("parameter", "where", "type", ""), rows) if rows else ""
    answer = operation["responses"].get("200", {}).get("content", {})
    returns = "".join(f"<p>Answer: {_type_of(content.get('schema', {}))}</p>" for content in answer.values())
    about = escape(operation.get("description") or operation.get("summary") or "")
    return f"<h3><code>{method.upper()} {escape(path)}</code></h3><p>{about}</p>{table}{returns}"


def _render_tiers() -> str:
    rows = [
        f"<tr><td>{tier}</td><td>{', '.join(e.series_intervals)}</td><td>{e.price_delay_s} s</td>"
        f"<td>{'all' if e.insights_per_day is None else f'top {e.insights_per_day} of the day'}</td>"
        f"<td>{'yes' if e.predictions else 'no'}</td><td>{'yes' if e.arbitrage else 'no'}</td>"
        f"<td>{'yes' if e.signals else 'no'}</td>"
        f"<td>{e.requests_per_minute}</td></tr>"
        for tier, e in ENTITLEMENTS.items()
    ]
    heads = (
        "tier", "series intervals", "price delay", "insights", "predictions", "arbitrage", "signals",
        "requests per minute",
    )  # fmt: skip
    return f'<h2 id="tiers">Tiers</h2>{_table(heads, rows)}'


def _render_problems() -> str:
    told = {kind.code: (kind.status, kind.__doc__ or "") for kind in _kinds(ApiError)}
    for status, code in FRAMEWORK_CODES.items():
        told.setdefault(code, (status, f"{HTTPStatus(status).phrase}."))
    rows = [
        f'<tr id="problem-{code}"><td><code>{code}</code></td><td>{status}</td><td>{escape(meaning)}</td></tr>'
        for code, (status, meaning) in sorted(told.items(), key=lambda item: item[1][0])
    ]
    return f'<h2 id="problems">Problems</h2>{_table(("code", "status", "meaning"), rows)}'


def _kinds(kind: type[ApiError]) -> Iterator[type[ApiError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _kinds(each)


def _render_schema(name: str, schema: dict[str, Any]) -> str:
    required = set(schema.get("required") or [])
    rows = [
        f"<tr><td><code>{escape(field)}</code>{'' if field in required else ' (optional)'}</td>"
        f"<td>{_type_of(kind)}</td></tr>"
        for field, kind in (schema.get("properties") or {}).items()
    ]
    values = f"<p>One of: <code>{escape(', '.join(map(str, schema['enum'])))}</code></p>" if schema.get("enum") else ""
    body = _table(("field", "type"), rows) if rows else values
    return f'<h3 id="schema-{escape(name)}">{escape(name)}</h3><p>{escape(schema.get("description") or "")}</p>{body}'


def _table(heads: tuple[str, ...], rows: list[str]) -> str:
    head = "".join(f"<th>{head}</th>" for head in heads)
    return f'<div class="scroll"><table><tr>{head}</tr>{"".join(rows)}</table></div>'


def _type_of(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = escape(schema["$ref"].rsplit("/", 1)[-1])
        return f'<a href="#schema-{name}">{name}</a>'
    for several in ("oneOf", "anyOf", "allOf"):
        if several in schema:
            return " or ".join(_type_of(choice) for choice in schema[several])
    if schema.get("type") == "array":
        return f"list of {_type_of(schema.get('items') or {})}"
    kind = schema.get("type", "any")
    text = " or ".join(kind) if isinstance(kind, list) else str(kind)
    return escape(f"{text} ({schema['format']})" if schema.get("format") else text)
