# SPDX-License-Identifier: Apache-2.0
"""What a connection says, read on a worker and in the triggerer, from every form that Airflow offers."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk import BaseOperator, Connection

from airflow_provider_runflow.exceptions import ConfigurationError
from airflow_provider_runflow.hooks.settings import Settings, read_connection
from tests.harness import Airflow, in_dag
from tests.unit.client.fakes import texts_of
from tests.unit.hooks.connections import KEY, READERS, VARIABLE, as_json

Read = Callable[..., Settings]
pytestmark = pytest.mark.parametrize("read", READERS, ids=["sync", "async"])


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Writes the default connection into the environment."""
    return lambda value: monkeypatch.setenv(VARIABLE, value)


class TestForms:
    def test_a_key_alone_is_enough(self, read: Read, connection: Callable[[str], None]) -> None:
        connection(as_json())
        settings = read()
        assert settings.account.base_url == "https://api.runflow.io"
        assert settings.account.api_key == KEY
        assert settings.account.organization_id is None
        assert settings.account.request_timeout == 30
        assert (settings.run_url_template, settings.max_quality, settings.callback_secret) == (None, None, None)

    def test_json_style_with_every_field(self, read: Read, connection: Callable[[str], None]) -> None:
        extra = {
            "organization_id": "org-1",
            "request_timeout": 12.5,
            "run_url_template": "https://app.runflow.io/runs/{run_id}",
            "max_quality": "low",
            "callback_secret": "whsec_1",
        }
        connection(as_json(host="https://eu.api.runflow.io", extra=extra))
        settings = read()
        assert settings.account.base_url == "https://eu.api.runflow.io"
        assert (settings.account.organization_id, settings.account.request_timeout) == ("org-1", 12.5)
        assert settings.run_url_template == "https://app.runflow.io/runs/{run_id}"
        assert (settings.max_quality, settings.callback_secret) == ("low", "whsec_1")

    @pytest.mark.parametrize(
        "extra", ['{"organization_id": "org-1"}', {"organization_id": "org-1"}], ids=["text", "object"]
    )
    def test_the_extra_may_be_text_or_object(self, read: Read, connection: Callable[[str], None], extra: Any) -> None:
        connection(as_json(extra=extra))
        assert read().account.organization_id == "org-1"

    @pytest.mark.parametrize(
        ("uri", "base_url"),
        [
            (f"runflow://:{KEY}@", "https://api.runflow.io"),
            (f"runflow://:{KEY}@/", "https://api.runflow.io"),
            (f"runflow://:{KEY}@eu.api.runflow.io", "https://eu.api.runflow.io"),
            (f"runflow://:{KEY}@eu.api.runflow.io:8443", "https://eu.api.runflow.io:8443"),
            (f"runflow://:{KEY}@127.0.0.1:8080/http", "http://127.0.0.1:8080"),
            (f"runflow://:{KEY}@https%3A%2F%2Feu.api.runflow.io", "https://eu.api.runflow.io"),
            (f"runflow://:{KEY}@http%3A%2F%2F127.0.0.1%3A8080", "http://127.0.0.1:8080"),
            (f"runflow://:{KEY}@http%3A%2F%2F127.0.0.1:8080", "http://127.0.0.1:8080"),
            (f"runflow://http://:{KEY}@127.0.0.1:8080", "http://127.0.0.1:8080"),
            (f"runflow://https://:{KEY}@eu.api.runflow.io", "https://eu.api.runflow.io"),
        ],
    )
    def test_uri_style(self, read: Read, connection: Callable[[str], None], uri: str, base_url: str) -> None:
        connection(uri)
        account = read().account
        assert (account.base_url, account.api_key) == (base_url, KEY)

    def test_uri_style_with_extras(self, read: Read, connection: Callable[[str], None]) -> None:
        connection(f"runflow://:{KEY}@/?organization_id=org-1&request_timeout=5&max_quality=medium")
        settings = read()
        assert (settings.account.organization_id, settings.account.request_timeout) == ("org-1", 5)
        assert settings.max_quality == "medium"

    @pytest.mark.parametrize(
        "fields",
        [
            {"host": "http://127.0.0.1:8080"},
            {"host": "http://127.0.0.1", "port": 8080},
            {"host": "https://api.runflow.io", "extra": '{"organization_id": "org-1"}'},
            {"host": "https://api.runflow.io", "extra": '{"request_timeout": 5, "max_quality": "low"}'},
        ],
        ids=str,
    )
    def test_what_airflow_exports_as_uri_reads_the_same(
        self, read: Read, connection: Callable[[str], None], fields: dict[str, Any]
    ) -> None:
        exported = Connection(conn_id="runflow_default", conn_type="runflow", password=KEY, **fields)
        connection(as_json(**fields))
        as_written = read()
        connection(exported.get_uri())
        assert read() == as_written

    @pytest.mark.parametrize(
        ("fields", "base_url"),
        [
            ({"host": "api.runflow.io"}, "https://api.runflow.io"),
            ({"host": " api.runflow.io "}, "https://api.runflow.io"),
            ({"host": "api.runflow.io", "port": 8443}, "https://api.runflow.io:8443"),
            ({"host": "api.runflow.io:8443"}, "https://api.runflow.io:8443"),
            ({"host": "api.runflow.io/v1"}, "https://api.runflow.io"),
            ({"host": "127.0.0.1", "schema": "http", "port": 8080}, "http://127.0.0.1:8080"),
            ({"host": "127.0.0.1", "schema": "public", "port": 8080}, "https://127.0.0.1:8080"),
            ({"host": "http://127.0.0.1", "port": 8080}, "http://127.0.0.1:8080"),
            ({"host": "http://127.0.0.1/", "port": 8080}, "http://127.0.0.1:8080"),
            ({"host": "http://127.0.0.1:9090", "port": 8080}, "http://127.0.0.1:9090"),
            ({"host": "http://[::1]", "port": 8080}, "http://[::1]:8080"),
            ({"host": "https://gateway.test/runflow", "port": 8443}, "https://gateway.test:8443/runflow"),
            ({"host": "", "port": 8080}, "https://api.runflow.io"),
        ],
        ids=str,
    )
    def test_the_host_may_or_may_not_have_scheme_and_port(
        self, read: Read, connection: Callable[[str], None], fields: dict[str, Any], base_url: str
    ) -> None:
        connection(as_json(**fields))
        assert read().account.base_url == base_url

    def test_a_generic_connection_will_do(self, read: Read, connection: Callable[[str], None]) -> None:
        connection(as_json(conn_type="generic"))
        assert read().account.api_key == KEY

    @pytest.mark.parametrize("nothing", [{}, {"organization_id": "", "max_quality": None, "request_timeout": ""}])
    def test_form_fields_that_were_left_empty_are_not_set(
        self, read: Read, connection: Callable[[str], None], nothing: dict[str, Any]
    ) -> None:
        connection(as_json(extra=nothing))
        settings = read()
        assert (settings.account.organization_id, settings.max_quality) == (None, None)
        assert settings.account.request_timeout == 30


class TestWrongConnections:
    @pytest.mark.parametrize(
        ("value", "message"),
        [
            (
                as_json(conn_type="http"),
                "Connection 'runflow_default' is of type 'http'; it must be of type 'runflow'.",
            ),
            (as_json(password=None), "Connection 'runflow_default': The Runflow connection has no API key."),
            (as_json(password=" "), "Connection 'runflow_default': The Runflow connection has no API key."),
            (as_json(password=f"{KEY} x"), "Connection 'runflow_default': The Runflow connection's API key contains"),
            (as_json(host="ftp://api.runflow.io"), "Connection 'runflow_default': The Runflow connection's host must"),
            (
                as_json(host="https://api..runflow.io"),
                "Connection 'runflow_default': The Runflow connection's host must",
            ),
            (as_json(host="api.runflow.io:port"), "Connection 'runflow_default': The Runflow connection's host must"),
            (
                as_json(host="https://[::1", port=8080),
                "Connection 'runflow_default': The Runflow connection's host must",
            ),
            (
                as_json(extra={"request_timeout": "soon"}),
                "Connection 'runflow_default': request_timeout='soon' must be",
            ),
            (as_json(extra={"request_timeout": [5]}), "Connection 'runflow_default': request_timeout=[5] must be"),
            (
                as_json(extra={"request_timeout": -1}),
                "Connection 'runflow_default': request_timeout=-1.0: must be more",
            ),
            (as_json(extra={"request_timeout": "inf"}), "Connection 'runflow_default': request_timeout=inf: must be"),
            (
                as_json(extra={"organization_id": "org\n1"}),
                "Connection 'runflow_default': The Runflow connection's org",
            ),
            (
                as_json(extra={"run_url_template": "https://app.runflow.io/runs"}),
                "Connection 'runflow_default': run_url_template='https://app.runflow.io/runs' must be an http(s) "
                "address with {run_id}.",
            ),
            (
                as_json(extra={"run_url_template": "javascript:alert('{run_id}')"}),
                "Connection 'runflow_default': run_url_template=\"javascript:alert('{run_id}')\" must be an http(s)",
            ),
        ],
    )
    def test_the_message_names_the_connection_and_the_field_and_never_the_key(
        self, read: Read, connection: Callable[[str], None], value: str, message: str
    ) -> None:
        connection(value)
        with pytest.raises(ConfigurationError) as caught:
            read()
        assert str(caught.value).startswith(message)
        assert KEY not in texts_of(caught.value)

    @pytest.mark.parametrize("extra", ["{broken", "organization_id=org-1", "[1]", "[]", "null", "5"])
    def test_an_extra_that_is_no_object_is_refused_as_organisation_and_guard_would_silently_be_gone(
        self, read: Read, connection: Callable[[str], None], extra: str
    ) -> None:
        connection(as_json(extra=extra))
        with pytest.raises(ConfigurationError, match="Connection 'runflow_default'"):  # Airflow 3.1 stumbles first
            read()
        conn = Connection(conn_id="mine", conn_type="runflow", password=KEY, extra=extra)
        with pytest.raises(ConfigurationError, match=r"^Connection 'mine': its extra must be a JSON object\.$"):
            read_connection(conn, conn.extra_dejson)

    def test_one_that_does_not_exist_is_named_with_what_to_do(self, read: Read) -> None:
        with pytest.raises(ConfigurationError) as caught:
            read("runflow_staging")
        assert str(caught.value).startswith("Connection 'runflow_staging' cannot be read (")
        assert str(caught.value).endswith(
            "). Create one of type 'runflow' with the API key as its password, or set AIRFLOW_CONN_RUNFLOW_STAGING."
        )

    def test_inside_a_task_the_message_has_airflows_own_word_for_it(self, read: Read, airflow: Airflow) -> None:
        def act() -> None:
            with pytest.raises(ConfigurationError, match="isn't defined"):
                read("runflow_staging")

        assert in_a_task(airflow, act) == "success"

    @pytest.mark.parametrize(
        "value",
        [
            f'{{"conn_type": "runflow", "password": "{KEY}"',
            f'{{"conn_type": "runflow", "password": "{KEY}", "prot": 80}}',
            f'{{"conn_type": "runflow", "password": "{KEY}", "port": "http"}}',
            f"runflow://api.runflow.io:{KEY}",
            f"runflow://:{KEY}@https://api.runflow.io://x",
            f"runflow://:{KEY}@[::1",
            KEY,
            "",
        ],
        ids=["cut", "typo", "port", "key as port", "three schemes", "bad host", "key alone", "empty"],
    )
    def test_one_that_airflow_cannot_parse_is_a_configuration_error_without_the_key(
        self, read: Read, connection: Callable[[str], None], value: str
    ) -> None:
        connection(value)
        with pytest.raises(ConfigurationError, match="Connection 'runflow_default'") as caught:
            read()
        assert KEY not in texts_of(caught.value)


class TestSecrets:
    def test_settings_show_neither_key_nor_callback_secret(self, read: Read, connection: Callable[[str], None]) -> None:
        connection(as_json(extra={"callback_secret": "whsec_hidden", "organization_id": "org-1"}))
        settings = read()
        shown = f"{settings!r} {settings!s}"
        assert "org-1" in shown
        assert KEY not in shown
        assert "whsec_hidden" not in shown

    def test_settings_cannot_be_pickled(self, read: Read, connection: Callable[[str], None]) -> None:
        connection(as_json(extra={"callback_secret": "whsec_hidden"}))
        with pytest.raises(TypeError, match="holds an API key, so it cannot be pickled"):
            pickle.dumps(read())


def test_any_object_with_a_connections_fields_is_read(read: Read) -> None:
    conn = Connection(conn_id="mine", conn_type="runflow", password=KEY)
    assert read_connection(conn, {}).account.api_key == KEY


def test_a_connection_of_the_metadata_database_reaches_a_worker_through_its_supervisor(
    read: Read, airflow: Airflow
) -> None:
    airflow.connections["from_the_database"] = {"conn_type": "runflow", "password": KEY, "host": "eu.api.runflow.io"}
    seen: list[Settings] = []
    assert in_a_task(airflow, lambda: seen.append(read("from_the_database"))) == "success"
    assert seen[0].account.base_url == "https://eu.api.runflow.io"


def test_an_older_common_compat_that_cannot_await_the_extra_is_enough(
    read: Read, connection: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    # pyproject.toml allows common-compat 1.9; without this, every deferred task would fail there.
    monkeypatch.delattr("airflow.providers.common.compat.connection.get_async_extra_dejson", raising=False)
    connection(as_json(extra={"organization_id": "org-1"}))
    assert read().account.organization_id == "org-1"


class Acting(BaseOperator):
    """A task that does what a test says."""

    def __init__(self, *, act: Callable[[], None], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.act = act

    def execute(self, context: Any) -> None:
        self.act()


def in_a_task(airflow: Airflow, act: Callable[[], None]) -> str:
    """Where there is a supervisor to ask. Gives the task's state."""
    with in_dag():
        task = Acting(task_id="act", act=act)
    return airflow.run(task).state
