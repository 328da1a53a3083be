"""The OpenAPI document: paths from Litestar's handlers, schemas from the types, and what both leave out."""

from typing import Any, Final

import msgspec
from litestar import Litestar

from qibai.api.auth import ALGORITHMS
from qibai.api.problems import STATUS, Problem
from qibai.api.rates import HEADERS

_REF: Final = "#/components/schemas/{name}"
_PROBLEM: Final = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
#: Where an example of the fields alone would not be accepted.
_EXAMPLES: Final = {
    "BindRequest": {
        "mode": "AXYB",
        "a": "+8613800138000",
        "b": "+8613900139000",
        "order_id": "order-1",
        "ttl": 3600,
    }
}
_NAMING: Final = ("/v1/admin/", "/v1/trace", "/v1/messages")  #: where bodies name things
_DESCRIPTIONS: Final = {
    400: "The request does not have the documented shape.",
    401: "No valid key or signature.",
    403: "The key may not do this.",
    404: "No such thing, or not this tenant's.",
    405: "Not this method.",
    408: "The complete request did not arrive in time.",
    409: "Not in the present state.",
    413: "The body is too large.",
    415: "The body is not JSON in UTF-8.",
    422: "The request breaks a rule; `code` says which.",
    429: "This key asks too often (`code` says what): try again after `Retry-After` seconds.",
    431: "The headers are too large.",
    500: "Something failed on our side.",
    503: "Overloaded, or a part does not answer: try again after `Retry-After` seconds.",
}
_SECURITY: Final = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "`Authorization: Bearer qb_<id>_<secret>`, over HTTPS or from the same machine.",
    },
    "signature": {
        "type": "apiKey",
        "in": "header",
        "name": "Qibai-Signature",
        "description": (
            "Hex HMAC-SHA256 (or HMAC-SM3, with `Qibai-Algorithm: hmac-sm3`) under the key's secret over\n"
            "`METHOD\\npath?query\\nhex SHA-256 of the body\\ntime\\nnonce`, with the headers `Qibai-Key` "
            "(the key's id), `Qibai-Time` (Unix seconds, at most five minutes off) and `Qibai-Nonce` "
            "(8 to 64 of `A-Za-z0-9_-.`, never used before). Bodies of more than 64 KiB need "
            "`Content-Digest` (RFC 9530) as well."
        ),
    },
}
_SIGNING: Final = {
    "Qibai-Key": ("The id of the key that signs.", {"type": "string", "pattern": "^[a-z0-9]{1,32}$"}),
    "Qibai-Time": ("When it was signed, Unix seconds.", {"type": "string", "pattern": "^[0-9]{1,12}$"}),
    "Qibai-Nonce": (
        "A text that this key has not used before.",
        {"type": "string", "pattern": r"^[A-Za-z0-9_\-.]{8,64}$"},
    ),
    "Qibai-Signature": ("The signature, in hex.", {"type": "string", "pattern": "^[0-9a-fA-F]{64}$"}),
    "Qibai-Algorithm": ("How it was signed.", {"$ref": _REF.format(name="SigningAlgorithm")}),
    "Content-Digest": (
        "`sha-256=:…:`, the body's SHA-256 in base64 (RFC 9530).",
        {"type": "string", "pattern": "^sha-256=:[A-Za-z0-9+/]{43}=:$"},
    ),
}


def document(app: Litestar) -> dict[str, Any]:
    """The whole document, as JSON takes it."""
    doc: dict[str, Any] = app.openapi_schema.to_schema()
    models: set[type] = {Problem}
    bodies: dict[str, type] = {}
    for route in app.routes:
        for handler in getattr(route, "route_handlers", ()):
            if not handler.resolve_include_in_schema():
                continue
            body = handler.opt.get("body")
            if body is not None:
                bodies[str(handler.operation_id)] = body
                models.add(body)
            answer = handler.parsed_fn_signature.return_type
            models.add(answer.inner_types[0].annotation if answer.inner_types else answer.annotation)
    _, schemas = msgspec.json.schema_components(sorted(models, key=lambda m: m.__name__), ref_template=_REF)
    of_parameters = doc.setdefault("components", {}).get("schemas", {})
    doc["components"]["schemas"] = _without_defaults_of_null(schemas)
    for name, example in _EXAMPLES.items():
        schemas[name]["examples"] = [example]
    schemas["SigningAlgorithm"] = {"title": "SigningAlgorithm", "type": "string", "enum": [*ALGORITHMS]}
    codes = sorted(code for code, status in STATUS.items() if status != 500)
    schemas["Problem"]["properties"]["code"]["enum"] = [*codes, "error"]
    doc["components"]["securitySchemes"] = _SECURITY
    doc["components"]["parameters"] = {
        name: {"name": name, "in": "header", "required": False, "description": text, "schema": schema}
        for name, (text, schema) in _SIGNING.items()
    }
    doc["components"]["headers"] = {
        name: {"description": f"{text} Only where there is a limit.", "schema": {"type": "integer"}}
        for name, text in HEADERS.items()
    }
    doc["security"] = [{"bearer": []}, {"signature": []}]
    for path, item in doc["paths"].items():
        for operation in item.values():
            _complete(operation, path, bodies.get(operation["operationId"]))
            for parameter in operation["parameters"]:
                name = parameter.get("schema", {}).get("$ref", "").removeprefix(_REF.format(name=""))
                if name and name not in schemas:
                    schemas[name] = of_parameters[name]
    return doc


def _complete(operation: dict[str, Any], path: str, body: type | None) -> None:
    if body is not None:
        schema = {"$ref": _REF.format(name=body.__name__)}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    for parameter in operation.get("parameters", ()):
        parameter.pop("deprecated", None)
        parameter.pop("allowEmptyValue", None)
        parameter.pop("allowReserved", None)
        schema = parameter["schema"]
        if not parameter.get("required"):  # absent, never null
            options = [s for s in schema.get("oneOf", ()) if s != {"type": "null"}]
            if len(options) == 1:
                rest = {key: value for key, value in schema.items() if key != "oneOf"}
                parameter["schema"] = {**options[0], **rest}
    operation.pop("deprecated", None)
    responses = operation["responses"]
    responses.pop("400", None)
    for response in responses.values():
        response["description"] = "Done."
        if operation["operationId"] == "bind":
            response["headers"] = {
                "Location": {"description": "The binding's address.", "schema": {"type": "string"}},
                "Idempotent-Replayed": {
                    "description": "`true` when an earlier request had made the binding.",
                    "schema": {"type": "string"},
                },
            }
    for status in sorted(set(STATUS.values()) - {405}):
        if status == 404 and "{" not in path and not path.startswith(_NAMING):
            continue
        responses[str(status)] = {"description": _DESCRIPTIONS[status], "content": _PROBLEM}
    for refused in ("429", "503"):
        responses[refused]["headers"] = {"Retry-After": {"schema": {"type": "integer"}}}
    for answered, response in responses.items():
        if answered < "300" or answered == "429":
            limits = {name: {"$ref": f"#/components/headers/{name}"} for name in HEADERS}
            response["headers"] = response.get("headers", {}) | limits
    names = [name for name in _SIGNING if body is not None or name != "Content-Digest"]
    signing = [{"$ref": f"#/components/parameters/{name}"} for name in names]
    operation["parameters"] = [*operation.get("parameters", ()), *signing]


def _without_defaults_of_null(schemas: dict[str, Any]) -> dict[str, Any]:
    """``default: null`` says nothing and confuses generators."""
    for schema in schemas.values():
        for field in schema.get("properties", {}).values():
            if field.get("default", 0) is None:
                del field["default"]
    return schemas
