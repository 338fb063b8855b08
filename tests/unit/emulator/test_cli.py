# SPDX-License-Identifier: Apache-2.0
"""The console script, as far as it goes without a socket. `tests/integration/emulator` starts it for real."""

from __future__ import annotations

import json
import re
import sys

import pytest

from airflow_provider_runflow.emulator import Emulator, EmulatorConfig, cli


def refusal(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """What the script says when it does not start."""
    with pytest.raises(SystemExit) as stopped:
        cli.main(argv)
    assert stopped.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("missing", ["PIL", "uvicorn"])
def test_without_the_extra_it_says_in_one_line_what_to_install(
    missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    assert cli.main([]) == 2
    told = capsys.readouterr()
    assert told.err == "runflow-emulator needs: pip install 'airflow-provider-runflow[emulator]'\n"
    assert told.out == ""


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        (["--time-scale", "0"], "time_scale must be above 0"),
        (["--balance", "much"], "balance: 'much' does not fit"),
        (["--fault", "{"], "--fault is not JSON"),
        (["--fault", "[]"], "--fault is not a JSON object"),
        (["--fault", '{"effect": "explode"}'], "effect must be one of"),
        (["--cancelled-spelling", "cancled"], "invalid choice"),
    ],
)
def test_a_wrong_option_is_refused_with_its_reason(
    argv: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert complaint in refusal(capsys, *argv)


def connection_in(greeting: str) -> dict[str, str]:
    """The connection in the line to copy, read as a shell and Airflow would."""
    found = re.search(r"^export AIRFLOW_CONN_RUNFLOW_DEFAULT='(.*)'$", greeting, re.MULTILINE)
    assert found is not None
    value: dict[str, str] = json.loads(found.group(1))
    return value


def test_the_greeting_has_the_connection_to_copy_the_prices_and_the_ledger() -> None:
    greeting = cli._greeting(Emulator(), "http://127.0.0.1:8600")
    assert connection_in(greeting) == {
        "conn_type": "runflow",
        "host": "http://127.0.0.1:8600",
        "password": "rf_live_emulator",
    }
    assert "http://127.0.0.1:8600/_emulator/ledger" in greeting
    assert "openai/gpt-image-2: low $0.009, medium $0.034, high $0.133 an image" in greeting
    assert "openai/gpt-image-1.5: low $0.009-0.013, medium $0.034-0.051, high $0.133-0.200 an image" in greeting
    assert "black-forest-labs/flux-1-1-pro: $0.04 an image" in greeting
    assert "Runs take 2-60 s by model and quality." in greeting


def test_the_line_to_copy_carries_a_key_that_is_accepted() -> None:
    emulator = Emulator(EmulatorConfig(api_keys=("rf_live_mine", "rf_live_other")))
    assert connection_in(cli._greeting(emulator, "http://127.0.0.1:1"))["password"] == "rf_live_mine"


def test_the_line_to_copy_is_a_connection_to_airflow() -> None:
    models = pytest.importorskip("airflow.sdk.definitions.connection")
    greeting = cli._greeting(Emulator(), "http://127.0.0.1:8600")
    connection = models.Connection.from_json(json.dumps(connection_in(greeting)), conn_id="runflow_default")
    assert (connection.conn_type, connection.host) == ("runflow", "http://127.0.0.1:8600")
    assert connection.password == "rf_live_emulator"


def test_every_option_reaches_its_switch() -> None:
    options = cli._parser().parse_args(
        ["--time-scale", "50", "--seed", "7", "--max-images", "10", "--cancelled-spelling", "cancelled",
         "--rate-limit-headers", "--balance", "2.50", "--api-key", "rf_a", "rf_b", "--url-ttl", "90"]
    )  # fmt: skip
    assert cli._config(options) == EmulatorConfig().changed(
        {
            "time_scale": 50,
            "seed": 7,
            "max_images": 10,
            "cancelled_spelling": "cancelled",
            "rate_limit_headers": True,
            "balance": "2.50",
            "api_keys": ["rf_a", "rf_b"],
            "url_ttl": 90,
        }
    )
