"""The alert rules for Prometheus, tried with ``promtool``: each fires when it should, none in good days."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from promql import mistakes
from qibai.core.losses import CALL_LOSSES, LOSSES

FILE = Path(__file__).parents[2] / "deploy" / "prometheus" / "qibai-rules.yml"
RULES: dict[str, dict[str, Any]] = {
    rule["alert"]: rule
    for group in yaml.safe_load(FILE.read_text("utf-8"))["groups"]
    for rule in group["rules"]
}
INSTANCE = {"instance": "10.0.0.11:7000"}
NODE = INSTANCE | {"job": "qibai"}
MINUTES = 60


def series(name: str, values: str, **labels: str) -> dict[str, str]:
    """``values``: the first, and what each minute adds, as in ``0+5``."""
    inside = ",".join(f'{key}="{value}"' for key, value in (NODE | labels).items())
    return {"series": f"{name}{{{inside}}}", "values": f"{values}x{MINUTES}"}


def ended(outcome: str, values: str) -> dict[str, str]:
    return series("qibai_calls_ended_total", values, peer="west", outcome=outcome, reason="busy")


def delays(name: str, values: dict[str, str], **labels: str) -> list[dict[str, str]]:
    return [series(f"{name}_bucket", counts, le=bound, **labels) for bound, counts in values.items()]


POOL = {"platform": "p", "tenant": "acme", "province": "all", "alert": "low"}
PAPER = {"kind": "approval", "platform": "p", "number": "A-1"}
LINK = {"link": "mobile", "protocol": "smpp"}
#: For each alert: series that make it fire, and the labels by which it names the place.
FIRING: dict[str, tuple[list[dict[str, str]], dict[str, str]]] = {
    "QibaiApiDown": ([series("up", "0")], NODE),
    "QibaiVoiceDown": ([series("qibai_voice_up", "0")], NODE),
    "QibaiMediaDown": ([series("qibai_media_up", "0")], NODE),
    "QibaiRecorderDown": ([series("qibai_recorder_up", "0")], NODE),
    "QibaiGatewayDown": (
        [series("qibai_gateway_up", "0"), series("qibai_gateway_last_report_timestamp_seconds", "5")],
        NODE,
    ),
    "QibaiPartRestarts": ([series("qibai_recorder_start_timestamp_seconds", "0+240")], NODE),
    "QibaiDatabaseAway": ([series("qibai_recorder_store_up", "0")], NODE),
    "QibaiSpoolGrows": ([series("qibai_spool_backlog_bytes", "60000000+1")], NODE),
    "QibaiApiErrors": (
        [
            series("qibai_api_requests_total", "0+10", status="503"),
            series("qibai_api_requests_total", "0+90", status="200"),
        ],
        INSTANCE,
    ),
    "QibaiApiSlow": (
        delays(
            "qibai_api_request_duration_seconds",
            {"1.0": "0+90", "2.0": "0+100", "+Inf": "0+100"},
            route="/v1/codes",
        ),
        INSTANCE,
    ),
    "QibaiPeerDown": ([series("qibai_peer_up", "0", peer="west")], NODE | {"peer": "west"}),
    "QibaiNoPeerUp": ([series("qibai_peer_up", "0", peer=peer) for peer in ("east", "west")], INSTANCE),
    "QibaiPeerFailsCalls": ([ended("failed", "0+3"), ended("answered", "0+7")], {"peer": "west"}),
    "QibaiFewCallsAnswered": ([ended("unanswered", "0+8"), ended("answered", "0+2")], {"peer": "west"}),
    "QibaiPostDialDelayHigh": (
        [
            *delays("qibai_call_post_dial_delay_seconds", {"8.0": "0+8", "11.0": "0+10", "+Inf": "0+10"}),
            series("qibai_call_post_dial_delay_seconds_count", "0+10"),
        ],
        {},
    ),
    "QibaiPlatformFailsCalls": (
        [series("qibai_calls_refused_total", "0+1", peer="east", rule="store_unavailable")],
        {"rule": "store_unavailable"},
    ),
    "QibaiCallsWithoutMedia": (
        [series("qibai_calls_ended_by_platform_total", "0+2", reason="media_timeout")],
        INSTANCE,
    ),
    "QibaiStrangersCall": (
        [series("qibai_calls_refused_total", "0+20", peer="strangers", rule="source_unknown")],
        INSTANCE,
    ),
    "QibaiLinkDown": ([series("qibai_link_up", "0", **LINK)], NODE | LINK),
    "QibaiMessagesWait": ([series("qibai_gateway_messages_queued", "6000+1")], NODE),
    "QibaiMessagesFail": (
        [
            series("qibai_messages_ended_total", "0+3", state="unknown"),
            series("qibai_messages_ended_total", "0+7", state="delivered"),
        ],
        {},
    ),
    "QibaiPoolLow": ([series("qibai_pool_alert", "1", **POOL)], POOL),
    "QibaiBindsWithoutNumber": (
        [series("qibai_binds_total", "0+1", result="pool_exhausted")],
        {"result": "pool_exhausted"},
    ),
    # The clock of a test begins in 1970.
    "QibaiPaperEnds": ([series("qibai_paper_end_timestamp_seconds", "864000", **PAPER)], PAPER),
    "QibaiBackupOld": ([series("qibai_backup_last_timestamp_seconds", "-100000")], NODE),
    "QibaiCallRecordsLost": (
        [series("qibai_call_events_lost_total", "0+1")],
        NODE | {"loss": "call_events_lost"},
    ),
    "QibaiMessagesLost": ([series("qibai_parts_missing_total", "0+1")], NODE | {"loss": "parts_missing"}),
    "QibaiAuditSinkDown": ([series("qibai_audit_sink_up", "0", sink="http")], NODE | {"sink": "http"}),
}
#: A platform on a good day, with the failures that every day has.
GOOD_DAY = [
    series("up", "1"),
    *(series(f"qibai_{part}_up", "1") for part in ("voice", "media", "recorder")),
    series("qibai_gateway_up", "0"),  # this node has no gateway
    series("qibai_recorder_start_timestamp_seconds", "0"),
    series("qibai_recorder_store_up", "1"),
    series("qibai_spool_backlog_bytes", "20000"),
    series("qibai_api_requests_total", "0+1", status="503"),
    series("qibai_api_requests_total", "0+99", status="200"),
    *delays("qibai_api_request_duration_seconds", {"1.0": "0+99", "+Inf": "0+100"}, route="/v1/codes"),
    series("qibai_peer_up", "1", peer="west"),
    ended("failed", "0+1"),
    ended("unanswered", "0+5"),
    ended("answered", "0+6"),
    *delays("qibai_call_post_dial_delay_seconds", {"4.0": "0+90", "8.0": "0+98", "+Inf": "0+100"}),
    series("qibai_call_post_dial_delay_seconds_count", "0+100"),
    series("qibai_calls_refused_total", "0+50", peer="east", rule="not_a_party"),
    series("qibai_calls_refused_total", "0+1", peer="strangers", rule="source_unknown"),
    series("qibai_calls_ended_by_platform_total", "0+1", reason="media_timeout"),
    series("qibai_link_up", "1", **LINK),
    series("qibai_gateway_messages_queued", "100"),
    series("qibai_messages_ended_total", "0+1", state="unknown"),
    series("qibai_messages_ended_total", "0+9", state="delivered"),
    series("qibai_pool_alert", "0", **POOL),
    series("qibai_binds_total", "0+100", result="bound"),
    series("qibai_paper_end_timestamp_seconds", "8640000", **PAPER),
    series("qibai_call_events_lost_total", "3"),  # long ago
    series("qibai_parts_missing_total", "3"),
    series("qibai_backup_last_timestamp_seconds", "-80000"),
    series("qibai_audit_sink_up", "1", sink="http"),
]


def promtool(tmp_path: Path, tests: list[dict[str, Any]]) -> None:
    """Fail with promtool's words unless all ``tests`` pass."""
    file = tmp_path / "tests.yml"
    file.write_text(
        yaml.safe_dump({"rule_files": [str(FILE)], "evaluation_interval": "1m", "tests": tests}), "utf-8"
    )
    ran = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def expectation(alert: str, *labels: dict[str, str]) -> dict[str, Any]:
    """That ``alert`` fires with these labels after forty minutes, or not at all."""

    def said(text: str, values: dict[str, str]) -> str:
        return re.sub(r"{{ \$labels\.(\w+) }}", lambda found: values[found[1]], text)

    rule = RULES[alert]
    return {
        "eval_time": "40m",
        "alertname": alert,
        "exp_alerts": [
            {
                "exp_labels": values | rule["labels"],
                "exp_annotations": {name: said(text, values) for name, text in rule["annotations"].items()},
            }
            for values in labels
        ],
    }


def test_every_rule_is_tried() -> None:
    assert set(FIRING) == set(RULES)


@pytest.mark.parametrize("alert", RULES)
def test_an_alert_fires(tmp_path: Path, alert: str) -> None:
    given, labels = FIRING[alert]
    test = {"interval": "1m", "input_series": given, "alert_rule_test": [expectation(alert, labels)]}
    promtool(tmp_path, [test])


def test_nothing_fires_on_a_good_day(tmp_path: Path) -> None:
    quiet = [expectation(alert) for alert in RULES]
    promtool(tmp_path, [{"interval": "1m", "input_series": GOOD_DAY, "alert_rule_test": quiet}])


@pytest.mark.parametrize("alert", RULES)
def test_a_rule_asks_for_what_is_there(alert: str) -> None:
    assert not list(mistakes(RULES[alert]["expr"]))


@pytest.mark.parametrize("alert", RULES)
def test_a_rule_says_in_both_languages_what_is_the_matter_and_what_to_do(alert: str) -> None:
    rule = RULES[alert]
    assert rule["labels"]["severity"] in ("critical", "warning")
    said = rule["annotations"]
    assert set(said) == {"summary", "description", "summary_zh", "description_zh"}
    for english in ("summary", "description"):
        code = r"`[^`]+`|{{[^}]+}}"
        assert sorted(re.findall(code, said[english])) == sorted(re.findall(code, said[f"{english}_zh"]))
        assert re.search("[\u4e00-\u9fff]", said[f"{english}_zh"])


def test_prometheus_reads_what_the_page_says_to_configure(tmp_path: Path) -> None:
    page = (FILE.parents[2] / "docs" / "metrics.md").read_text("utf-8")
    blocks = [block for block in re.findall(r"```\n(.*?)```", page, re.DOTALL) if ":\n  - " in block]
    config = tmp_path / "prometheus.yml"
    config.write_text("".join(blocks).replace("/etc/prometheus/qibai-rules.yml", str(FILE)), "utf-8")
    ran = subprocess.run(["promtool", "check", "config", config], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"{len(RULES)} rules found" in ran.stdout


def test_every_query_on_the_page_asks_for_what_is_there() -> None:
    page = (FILE.parents[2] / "docs" / "metrics.md").read_text("utf-8")
    queries = [block for block in re.findall(r"```\n(.*?)```", page, re.DOTALL) if "qibai_" in block]
    assert len(queries) > 3
    assert not [mistake for query in queries for mistake in mistakes(query)]


def test_every_loss_that_matters_has_an_alert() -> None:
    asked = "".join(RULES[alert]["expr"] for alert in ("QibaiCallRecordsLost", "QibaiMessagesLost"))
    losses = {name for name, loss in (LOSSES | CALL_LOSSES).items() if not loss.mild and not loss.usual}
    assert {f"qibai_{name}_total" for name in losses} == set(re.findall(r"qibai_\w+_total", asked))
