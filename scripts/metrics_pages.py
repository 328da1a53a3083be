#!/usr/bin/env python3
"""Writes the tables of docs/metrics.md and docs/zh-CN/metrics.md from the code and from the alert rules.

With --check: fails if the pages do not have what it would write.
"""

import re
import sys
import textwrap
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from qibai.api.metrics.catalogue import CATALOGUE
from qibai.api.metrics.spec import MetricSpec

ROOT = Path(__file__).parent.parent
CHINESE = tomllib.loads((ROOT / "scripts" / "metrics_chinese.toml").read_text("utf-8"))
PAGES = {"en": ROOT / "docs" / "metrics.md", "zh": ROOT / "docs" / "zh-CN" / "metrics.md"}
RULES = yaml.safe_load((ROOT / "deploy" / "prometheus" / "qibai-rules.yml").read_text("utf-8"))
_LABEL: Final = re.compile(r"{{ \$labels\.(\w+) }}")
Words = Mapping[str, str]
WORDS: Mapping[str, Words] = {
    "en": {
        "head": "| metric | type | nodes | meaning |",
        "own": "own",
        "same": "same",
        "alarms": "| alarm | severity | what is the matter | what to do |",
        "suffix": "",
    },
    "zh": {
        "head": "| 指标 | 类型 | 节点 | 含义 |",
        "own": "各自",
        "same": "相同",
        "alarms": "| 告警 | 级别 | 情况 | 处理办法 |",
        "suffix": "_zh",
    },
}


def metrics(language: str) -> str:
    """A heading and a table for each area."""
    words = WORDS[language]
    sections = []
    for area, specs in CATALOGUE.items():
        title = area if language == "en" else CHINESE["areas"][area]
        rows = [_metric(spec, language, words) for spec in specs]
        sections.append("\n".join([f"### {title}", "", words["head"], "|---|---|---|---|", *rows]))
    return "\n\n".join(sections)


def _metric(spec: MetricSpec, language: str, words: Words) -> str:
    labels = f"{{{', '.join(spec.labels)}}}" if spec.labels else ""
    meaning = spec.says.removesuffix(".") if language == "en" else CHINESE["metrics"][spec.sample]
    nodes = words["same" if spec.shared else "own"]
    return f"| `{spec.sample}{labels}` | {spec.kind} | {nodes} | {meaning} |"


def alarms(language: str) -> str:
    """A table of what fires and what to do then, and below it each condition."""
    words = WORDS[language]
    rules = [rule for group in RULES["groups"] for rule in group["rules"]]
    rows = [_alarm(rule, words["suffix"]) for rule in rules]
    table = "\n".join([words["alarms"], "|---|---|---|---|", *rows])
    conditions = "\n".join(f"{_condition(rule)}\n" for rule in rules)
    return f"{table}\n\n```\n{conditions.rstrip()}\n```"


def _alarm(rule: dict[str, Any], suffix: str) -> str:
    texts = (rule["annotations"][name + suffix] for name in ("summary", "description"))
    said = (_LABEL.sub(r"*\1*", text) for text in texts)
    return f"| `{rule['alert']}` | {rule['labels']['severity']} | {' | '.join(said)} |"


def _condition(rule: dict[str, Any]) -> str:
    lasting = f" for {rule['for']}" if "for" in rule else ""
    return f"{rule['alert']}{lasting}:\n{textwrap.indent(rule['expr'], '  ')}"


def filled(page: str, language: str) -> str:
    """The page with its tables as they have to be."""
    parts: dict[str, Any] = {"alarms": alarms, "metrics": metrics}
    for name, write in parts.items():
        between = rf"(<!-- {name}: made by scripts/metrics_pages.py -->\n).*?(<!-- end of {name} -->)"
        table = write(language)
        page, count = re.subn(
            between, lambda found, table=table: f"{found[1]}\n{table}\n\n{found[2]}", page, flags=re.DOTALL
        )
        if count != 1:
            sys.exit(f"the page in {language} has {count} places for {name}, not one")
    return page


def main() -> int:
    for language, path in PAGES.items():
        page = path.read_text("utf-8")
        wanted = filled(page, language)
        if sys.argv[1:] != ["--check"]:
            path.write_text(wanted, "utf-8")
        elif page != wanted:
            print(f"{path.relative_to(ROOT)} is not current: run `make metrics-pages`", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
