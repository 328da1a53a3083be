"""Whether a text of metrics keeps to Prometheus' conventions, and to Qibai's own."""

import re
import subprocess

from prometheus_client.parser import text_string_to_metric_families

_UNITS = re.compile(r"_(ms|s|hours?|days?|kb|mb)(_|$)")  # what promtool does not know of


def check(text: str) -> dict[str, str]:
    """Each metric's type by its name, counters with ``_total``; fails on what breaks the conventions."""
    # Of others' metrics, such as python_info, promtool would complain as well.
    own = "".join(line for line in text.splitlines(keepends=True) if re.match(r"(# \w+ )?qibai_", line))
    lint = subprocess.run(
        ["promtool", "check", "metrics"], input=own, capture_output=True, text=True, check=False
    )
    assert lint.returncode == 0, lint.stdout + lint.stderr
    found: dict[str, str] = {}
    for family in text_string_to_metric_families(text):
        name = family.name
        assert name not in found, f"{name} comes twice"
        if not name.startswith("qibai_"):
            continue
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name), name
        assert not _UNITS.search(name), f"{name} has no base unit"
        says = family.documentation
        assert re.fullmatch(r"[A-Z0-9][^\n]*\.", says), f"{name}: {says!r} is no sentence"
        assert len(says.split()) >= 4, f"{name}: {says!r} says little"
        assert not re.match(r"[a-z_]+ of the \w+\.", says), f"{name}: {says!r} begins with a key"
        names = {sample.name for sample in family.samples}
        if family.type == "counter":
            assert names <= {f"{name}_total"}, names
            found[f"{name}_total"] = "counter"
        else:
            found[name] = family.type
        if family.type == "histogram":
            assert name.endswith("_seconds")
        for sample in family.samples:
            assert not set(sample.labels) & {"id", "number", "call", "caller", "binding"} or "paper" in name
    return found
