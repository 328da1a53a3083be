"""The documentation page: the OpenAPI document as plain HTML, without scripts or files from elsewhere."""

from collections import defaultdict
from typing import Any, Final

import jinja2

from qibai.api.problems import STATUS
from qibai.core.errors import QibaiError

_METHODS: Final = ("get", "post", "put", "patch", "delete")


def page(doc: dict[str, Any]) -> str:
    """The page for the OpenAPI document."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("qibai.api"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["kind"] = kind
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for path, item in doc["paths"].items():
        for method in _METHODS:
            if method in item:
                operation = item[method]
                groups[operation["tags"][0]].append({"method": method.upper(), "path": path, **operation})
    return environment.get_template("docs.html.j2").render(
        doc=doc, groups=groups, schemas=doc["components"]["schemas"], codes=_codes()
    )


def kind(schema: dict[str, Any]) -> str:
    """A schema in a few words; a name in it is a schema of the page."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    options = schema.get("anyOf") or schema.get("oneOf")
    if options:
        return " or ".join(kind(option) for option in options)
    if "enum" in schema:
        return " | ".join(str(value) for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {kind(schema.get('items', {}))}"
    name = schema.get("format") or schema.get("type") or "any"
    return str(name)


def _codes() -> list[tuple[str, int, str]]:
    """Every stable code, its status and its sentence."""
    sentences: dict[str, str] = {}
    waiting: list[type[QibaiError]] = [QibaiError]
    while waiting:
        error = waiting.pop()
        sentences.setdefault(error.code, (error.__doc__ or "").strip())
        waiting += error.__subclasses__()
    return [
        (code, status, sentences[code])
        for code, status in sorted(STATUS.items(), key=lambda item: (item[1], item[0]))
        if status != 500 and code in sentences
    ]
