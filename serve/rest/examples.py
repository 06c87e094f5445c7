"""An example of any value that the document describes, made from its own schema, so that it is always of it.

A schema's own example comes first; then what a name usually holds, where that is allowed; then the least that
the schema allows.
"""

from collections.abc import Mapping
from typing import Any

from kernel.ids import catalogue_id

REF = "#/components/schemas/"
_TRACK = catalogue_id("track", "studies-1")
_BASE = "http://127.0.0.1:8000"
_USUAL: Mapping[str, Any] = {
    "access_token": "eyJhbGciOiJFZERTQSJ9.e30.c2lnbmF0dXJl",
    "added_at": "2026-11-21T18:04:05Z",
    "album_type": "album",
    "client_id": "my-client",
    "country": "NL",
    "currently_playing_type": "track",
    "device_code": "GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eS",
    "display_name": "Ada",
    "duration_ms": 215_000,
    "expires_in": 3_600,
    "granted_at_ms": 1_795_852_394_710,
    "height": 640,
    "href": f"{_BASE}/v1/tracks/{_TRACK}",
    "id": _TRACK,
    "interval": 5,
    "isrc": "NLA502600001",
    "label": "Segue",
    "language": "en",
    "limit": 20,
    "media_type": "audio",
    "message": "seek rejected: nothing plays",
    "name": "Étude",
    "played_at": "2026-11-21T18:04:05Z",
    "position_ms": 25_000,
    "product": "premium",
    "progress_ms": 25_000,
    "publisher": "Ada",
    "reason": "market",
    "release_date": "2026-11-21",
    "release_date_precision": "day",
    "repeat_state": "off",
    "resume_position_ms": 25_000,
    "scope": "user-read-playback-state",
    "spotify": f"{_BASE}/#/track/{_TRACK}",
    "ticket": "eyJhbGciOiJFZERTQSJ9.e30.dGlja2V0",
    "timestamp": 1_795_852_394_710,
    "token_type": "Bearer",
    "total": 1,
    "type": "track",
    "uri": f"spotify:track:{_TRACK}",
    "url": f"{_BASE}/art/640",
    "user_code": "BDWP-HQPK",
    "volume_percent": 50,
    "width": 640,
}
_KINDS: Mapping[str, tuple[type, ...]] = {"string": (str,), "integer": (int,), "number": (int, float)}


def example_of(schema: Mapping[str, Any], components: Mapping[str, Any], *, name: str = "") -> Any:
    """A value that `schema` allows. `name`: of the field or parameter that holds it."""
    if "$ref" in schema:
        return example_of(components[schema["$ref"].removeprefix(REF)], components, name=name)
    if examples := schema.get("examples"):
        return examples[0]
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        kept = [each for each in schema["anyOf"] if each.get("type") != "null"]
        return example_of(kept[0], components, name=name) if kept else None
    kind = schema.get("type")
    usual = _USUAL.get(name)
    if usual is not None and type(usual) in _KINDS.get(str(kind), ()):
        return usual
    match kind:
        case "object" if "properties" in schema:
            return {
                field: example_of(each, components, name=field)
                for field, each in schema["properties"].items()
            }
        case "object":
            return {}
        case "array" if "prefixItems" in schema:
            return [example_of(each, components, name=name) for each in schema["prefixItems"]]
        case "array":
            return [example_of(schema["items"], components, name=name)] if "items" in schema else []
        case "boolean":
            return True
        case "integer" | "number":
            return schema.get("minimum", 0)
        case "string":
            return "a" * schema.get("minLength", 0) or "…"
        case _:
            return None
