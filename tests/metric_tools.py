"""What ``promtool check metrics`` looks for, on a text of metrics."""

import re

from prometheus_client.parser import text_string_to_metric_families

_RESERVED = ("_total", "_count", "_sum", "_bucket", "_info")
_UNITS = re.compile(r"_(ms|s|milli\w+|micro\w+|minutes?|hours?|days?|kb|mb|kilobytes|megabytes)(_|$)")
_TYPES = re.compile(r"_(counter|gauge|histogram|summary)(_|$)")


def check(text: str) -> dict[str, str]:
    """Each metric's type by its name, counters with ``_total``; fails on what breaks the conventions."""
    found: dict[str, str] = {}
    for family in text_string_to_metric_families(text):
        name = family.name
        assert name not in found, f"{name} comes twice"
        if not name.startswith("qibai_"):
            continue
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name), name
        assert not _UNITS.search(name) and not _TYPES.search(name), f"{name} has no base unit, or a type"
        says = family.documentation
        assert re.fullmatch(r"[A-Z0-9][^\n]*\.", says), f"{name}: {says!r} is no sentence"
        assert len(says.split()) >= 4, f"{name}: {says!r} says little"
        assert not re.match(r"[a-z_]+ of the \w+\.", says), f"{name}: {says!r} begins with a key"
        names = {sample.name for sample in family.samples}
        if family.type == "counter":
            assert names <= {f"{name}_total"}, names
            found[f"{name}_total"] = "counter"
        else:
            assert not name.endswith(_RESERVED), f"{name} is a {family.type}"
            found[name] = family.type
        if family.type == "histogram":
            assert name.endswith("_seconds")
        for sample in family.samples:
            assert not set(sample.labels) & {"id", "number", "call", "caller", "binding"} or "paper" in name
    return found
