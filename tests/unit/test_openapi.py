"""The OpenAPI document as generators of clients read it."""

from litestar import Litestar

from qibai.api.app import _OPENAPI, _ROUTES
from qibai.api.openapi import document
from qibai.api.problems import STATUS


def test_schemas_problems_and_headers_are_there_for_generators() -> None:
    doc = document(Litestar(_ROUTES, openapi_config=_OPENAPI))
    names = list(doc["components"]["schemas"])
    assert len({name.lower() for name in names}) == len(names)
    assert all(name.isalnum() for name in names)  # a name that two types had would be written with its module
    assert all(schema.get("title", name) == name for name, schema in doc["components"]["schemas"].items())
    codes = set(doc["components"]["schemas"]["Problem"]["properties"]["code"]["enum"])
    assert codes == {code for code, status in STATUS.items() if status != 500} | {"error"}
    for item in doc["paths"].values():
        for operation in item.values():
            refs = {one.get("$ref", "").rpartition("/")[2] for one in operation["parameters"]}
            assert {"Qibai-Key", "Qibai-Time", "Qibai-Nonce", "Qibai-Signature", "Qibai-Algorithm"} <= refs
            assert "RateLimit-Limit" in operation["responses"]["429"]["headers"]
