"""What the collector takes and answers, as OpenAPI 3.1: served at /openapi.json.

The bodies are described as loosely as they are read: a message that breaks its contract is taken and ends in
quarantine, because an SDK drops what is refused.
"""

from collections.abc import Iterable
from typing import Any, Final

OPENAPI_PATH: Final = "/openapi.json"
ANSWERS: Final = {
    200: "Everything in the request is on the disk; send it no more.",
    400: "The body is not of the form that this route takes. What came of it is kept; send it no more.",
    401: "No write key of this collector, or no signature of a destination that reports here.",
    408: "The body took too long; send it again.",
    413: "Too many bytes or messages; send fewer at once.",
    429: "More events a second than this write key may; send it again after Retry-After seconds.",
    503: "It cannot be written now; send it again after Retry-After seconds.",
}
_OBJECT: Final[dict[str, Any]] = {"type": "object"}
_TEXT: Final[dict[str, Any]] = {"type": "string"}
_MESSAGE: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        **dict.fromkeys(("type", "event", "messageId", "userId", "anonymousId", "timestamp"), _TEXT),
        **dict.fromkeys(("properties", "traits", "context"), _OBJECT),
    },
}
_POSTHOG: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        **dict.fromkeys(("event", "uuid", "distinct_id", "timestamp"), _TEXT),
        "properties": _OBJECT,
    },
}
_EVENT: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["event_name"],
    "properties": {
        **dict.fromkeys(("event_name", "event_id", "occurred_at", "user_id", "anonymous_id"), _TEXT),
        "properties": _OBJECT,
    },
}


def _list_of(name: str, item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": [name], "properties": {name: {"type": "array", "items": item}}}


# Name of a route to the form of its body; every other one takes a single message of an SDK.
_BODIES: Final[dict[str, dict[str, Any]]] = {
    "segment_batch": _list_of("batch", _MESSAGE),
    "posthog": _list_of("batch", _POSTHOG),
    "snowplow": _list_of("data", _OBJECT),
    "events": {"anyOf": [_EVENT, _list_of("events", _EVENT)]},
}
_ANSWER: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["success"],
    "properties": {"success": {"type": "boolean"}, "message": _TEXT},
}


def openapi(readers: Iterable[tuple[str, Iterable[str]]]) -> dict[str, Any]:
    """The document, for the routes that take messages, each by its name and paths, and for the others."""
    paths: dict[str, Any] = {
        path: {"post": _taking(f"{name} {number}", _BODIES.get(name, _MESSAGE))}
        for name, given in readers
        for number, path in enumerate(given, 1)
    }
    paths["/v1/webhooks/{destination}"] = {
        "post": {**_taking("webhook", _OBJECT), "parameters": [_in_path("destination")], "security": []}
    }
    paths["/v1/projects/{write_key}/settings"] = {
        "get": {
            **_asking("browser settings", (200, 401, 503), _OBJECT),
            "parameters": [_in_path("write_key")],
        }
    }
    paths["/livez"] = {"get": _asking("alive", (200,))}
    paths["/readyz"] = {"get": _asking("ready", (200, 503))}
    paths["/metrics"] = {
        "get": {
            "operationId": "metrics",
            "security": [],
            "responses": {
                "200": {"description": "Prometheus.", "content": {"text/plain": {"schema": _TEXT}}}
            },
        }
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Collector of events", "version": "1"},
        "paths": paths,
        "components": {
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic", "description": "The write key as the user."},
                "header": {"type": "apiKey", "in": "header", "name": "X-Write-Key"},
            }
        },
        "security": [{"basic": []}, {"header": []}],
    }


def _taking(name: str, body: dict[str, Any]) -> dict[str, Any]:
    return {
        "operationId": name,
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": _answers(ANSWERS, _ANSWER),
    }


def _asking(name: str, statuses: Iterable[int], body: dict[str, Any] = _ANSWER) -> dict[str, Any]:
    return {"operationId": name, "security": [], "responses": _answers(statuses, body)}


def _answers(statuses: Iterable[int], body: dict[str, Any]) -> dict[str, Any]:
    return {
        str(status): {
            "description": ANSWERS[status],
            "content": {"application/json": {"schema": body if status == 200 else _ANSWER}},
            **({"headers": {"Retry-After": {"schema": {"type": "integer"}}}} if status in (429, 503) else {}),
        }
        for status in statuses
    }


def _in_path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
