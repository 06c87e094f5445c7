"""The reference of REST to read in a browser: plain HTML from the table of operations, without a script."""

from collections.abc import Sequence
from html import escape
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serve.rest.openapi import operations_by_tag, refusals_of
from serve.rest.operations import Operation, allowed
from serve.version import VERSION

PATH = "/docs/api"
STYLE_PATH = "/docs/api.css"
HEADERS = {
    "cache-control": "no-cache",
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
}
STYLE = """
:root { color-scheme: light dark; --line: #8886; --quiet: #666; --mark: #0a7d4f; }
@media (prefers-color-scheme: dark) { :root { --quiet: #aaa; --mark: #4cd49a; } }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1.5rem; max-width: 62rem; }
nav ul { columns: 16rem; padding-left: 1.2rem; }
h2 { border-bottom: 1px solid var(--line); margin-top: 3rem; }
details { border: 1px solid var(--line); border-radius: .5rem; margin: .5rem 0; padding: .5rem .8rem; }
summary { cursor: pointer; overflow-wrap: anywhere; }
summary code { font-weight: 600; }
.method { color: var(--mark); display: inline-block; min-width: 4.5em; }
.quiet { color: var(--quiet); }
table { border-collapse: collapse; width: 100%; }
th, td { border-top: 1px solid var(--line); padding: .3rem .6rem .3rem 0; text-align: left;
  vertical-align: top; }
"""


def routes(operations: Sequence[Operation[Any, Any]]) -> list[Route]:
    """The page and its style. Both are the same for everybody and need no token."""
    body = page(operations)

    async def reference(_: Request) -> Response:
        return Response(body, media_type="text/html; charset=utf-8", headers=HEADERS)

    async def style(_: Request) -> Response:
        return Response(STYLE, media_type="text/css; charset=utf-8", headers={"cache-control": "no-cache"})

    return [Route(PATH, reference, methods=["GET"]), Route(STYLE_PATH, style, methods=["GET"])]


def page(operations: Sequence[Operation[Any, Any]]) -> str:
    grouped = operations_by_tag(operations)
    contents = "".join(f'<li><a href="#{_anchor(tag)}">{escape(tag)}</a></li>' for tag in grouped)
    chapters = "".join(
        f'<section id="{_anchor(tag)}"><h2>{escape(tag)}</h2>{"".join(map(_shown, group))}</section>'
        for tag, group in grouped.items()
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>Segue: REST reference</title><link rel="stylesheet" href="{STYLE_PATH}"></head><body>'
        f"<header><h1>Segue: REST reference</h1><p>Version {escape(VERSION)}. The same as "
        '<a href="/v1/openapi.json">OpenAPI</a>. A request carries <code>Authorization: Bearer …</code>.</p>'
        f'</header><nav aria-label="Chapters"><ul>{contents}</ul></nav><main>{chapters}</main></body></html>'
    )


def _shown(each: Operation[Any, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(parameter.name)}</code></td>"
        f"<td>{'path' if parameter.in_path else 'query'}{', needed' if parameter.required else ''}</td>"
        f"<td>{escape(allowed(parameter.schema))}{_default(parameter.schema)}</td>"
        f"<td>{escape(str(parameter.schema.get('description', '')))}</td></tr>"
        for parameter in each.parameters
    )
    parameters = (
        f"<table><thead><tr><th>Parameter</th><th>Where</th><th>Allowed</th><th></th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
        if rows
        else ""
    )
    scopes = " or ".join(f"<code>{escape(scope)}</code>" for scope in each.scopes)
    answers = ", ".join(
        f"{status} {f'<code>{escape(_name(kind))}</code>' if kind is not None else 'without a body'}"
        for status, kind in each.answers.items()
    )
    refusals = "; ".join(
        f"{status} {', '.join(code.value for code in codes)}" for status, codes in refusals_of(each).items()
    )
    lines = [
        f"<p>{escape(each.description)}</p>" if each.description else "",
        f"<p>Scope: {scopes}</p>" if scopes else "",
        parameters,
        f"<p>Body: <code>{escape(each.body.__name__)}</code></p>" if each.body is not None else "",
        f"<p>Answers: {answers}{', 304' if each.cached else ''}</p>" if answers else "",
        f'<p class="quiet">Refusals: {escape(refusals)}</p>',
    ]
    return (
        f'<details id="{each.operation_id}"><summary><code><span class="method">{each.method}</span> '
        f"{escape(each.path)}</code> {escape(each.summary)}</summary>{''.join(lines)}</details>"
    )


def _default(schema: dict[str, Any]) -> str:
    default = schema.get("default")
    return "" if default is None else f"; {escape(str(default))} when left out"


def _name(kind: Any) -> str:
    return str(getattr(kind, "__name__", kind)) if not hasattr(kind, "__args__") else str(kind).split(".")[-1]


def _anchor(tag: str) -> str:
    return tag.lower().replace(" ", "-")
