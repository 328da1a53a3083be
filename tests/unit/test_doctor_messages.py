"""What the doctor says of the links for text messages, by what the gateway wrote."""

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from qibai.cli.doctor.messages import check_messages
from qibai.config import Config, MessageLink, MessagingConfig, StoreConfig
from qibai.messaging import stats


@pytest.mark.parametrize("verify", [True, False])
def test_a_gateway_that_need_not_prove_itself_is_pointed_out(tmp_path: Path, verify: bool) -> None:
    link = MessageLink(name="ismg", protocol="cmpp", host="192.0.2.1", account="901234", verify=verify)
    config = Config(
        home=tmp_path,
        messaging=MessagingConfig(links=[link]),
        store=StoreConfig(dsn="host=127.0.0.1 port=9 dbname=none"),
    )
    counts = dict.fromkeys(
        (
            *("accepted", "attempts", "retries", "in_doubt", "reports", "reports_given_up", "accepting"),
            *("queued", "held", "parts_waiting", "unstored", "journal_bytes", "journal_damaged"),
        ),
        0,
    )
    config.run_dir.mkdir(parents=True)
    stats.write(
        config.run_dir,
        stats.Stats(
            at=time.time(),
            started_at=datetime.now(UTC),
            store_up=True,
            refused={},
            ended={},
            links=[],
            **counts,
        ),
    )
    found = {one.name: one for one in check_messages(config)}
    assert found["gateway"].state == "ok"
    assert ("link ismg" in found) is not verify
    if not verify:
        assert found["link ismg"].state == "warn" and "verify = false" in found["link ismg"].says
