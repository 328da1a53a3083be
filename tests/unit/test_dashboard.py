"""The dashboard for Grafana: each query can be read by Prometheus and asks for what ``/metrics`` has."""

import json
import subprocess
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import yaml

from promql import mistakes

FILE = Path(__file__).parents[2] / "deploy" / "grafana" / "qibai-dashboard.json"
DASHBOARD: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]


def queries() -> Iterator[tuple[str, str]]:
    """Each panel's title and one of its queries."""
    for panel in PANELS:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


def test_prometheus_can_read_every_query(tmp_path: Path) -> None:
    """What Grafana puts in for its variables is put in here."""
    rules = [
        {"record": f"panel:query:{index}", "expr": query.replace("$__rate_interval", "5m")}
        for index, (_, query) in enumerate(queries())
    ]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}), "utf-8")
    ran = subprocess.run(["promtool", "check", "rules", file], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"{len(rules)} rules found" in ran.stdout


def test_every_query_asks_for_what_is_there() -> None:
    assert not [f"{title}: {mistake}" for title, query in queries() for mistake in mistakes(query)]


def test_every_query_is_of_the_chosen_nodes_and_the_chosen_prometheus() -> None:
    for title, query in queries():
        assert 'instance=~"$node"' in query, title
    for panel in PANELS:
        sources = [target["datasource"]["uid"] for target in panel.get("targets", ())]
        assert set(sources) <= {"${datasource}"}, panel["title"]
    assert [one["name"] for one in DASHBOARD["templating"]["list"]] == ["datasource", "node"]


def test_what_a_supplier_looks_for_first_is_on_it() -> None:
    asked = " ".join(query for _, query in queries())
    for metric in (
        *("calls_running", "calls_ended_total", "calls_refused_total", "call_post_dial_delay_seconds_bucket"),
        *("call_setup_seconds_bucket", "call_duration_seconds_bucket", "peer_up", "media_sessions"),
        *("binds_total", "pool_numbers", "pool_alert", "messages_ended_total", "link_up"),
        *("spool_backlog_bytes", "recorder_up", "gateway_up", "backup_last_timestamp_seconds"),
    ):
        assert f"qibai_{metric}{{" in asked, metric


def test_panels_have_titles_and_units_and_do_not_overlap() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    for panel in PANELS:
        assert " · " in panel["title"], "a title is in English and in Chinese"
        assert panel["type"] == "row" or panel["fieldConfig"]["defaults"]["unit"]

    def covered(panel: dict[str, Any]) -> set[tuple[int, int]]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        return {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}

    for one, other in combinations(PANELS, 2):
        assert not covered(one) & covered(other), f"{one['title']} lies on {other['title']}"
