# SPDX-License-Identifier: Apache-2.0
"""Where Runflow is, and who is asking: what is refused, and what never shows."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import pytest

from airflow_provider_runflow.client.account import Account
from airflow_provider_runflow.exceptions import ConfigurationError
from tests.unit.client.fakes import KEY


class TestBaseUrl:
    def test_the_default_is_the_real_service(self) -> None:
        assert Account(api_key=KEY).base_url == "https://api.runflow.io"

    @pytest.mark.parametrize(
        ("given", "kept"),
        [
            ("https://api.runflow.io/", "https://api.runflow.io"),
            ("https://api.runflow.io/v1", "https://api.runflow.io"),
            ("https://api.runflow.io/v1/", "https://api.runflow.io"),
            ("https://API.Runflow.IO", "https://api.runflow.io"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("https://gateway.example/runflow/", "https://gateway.example/runflow"),
            ("https://gateway.example/runflow/v1", "https://gateway.example/runflow"),
        ],
    )
    def test_two_spellings_of_one_address_are_one_account(self, given: str, kept: str) -> None:
        assert Account(given, KEY).base_url == kept

    @pytest.mark.parametrize(
        "wrong",
        [
            "",
            "api.runflow.io",
            "ftp://api.runflow.io",
            "https://",
            "https:///v1",
            "https://:8080",
            "https://api.runflow.io:port",
            "https://api.runflow.io:99999",
            "https://[::1",
            "https://api.runflow.io?x=1",
            "https://api.runflow.io#top",
            "https://api runflow.io",
            "https://api..runflow.io",
            f"https://{'a' * 64}.io",
            "https://ünflow.io",
        ],
    )
    def test_anything_but_a_base_url_is_refused(self, wrong: str) -> None:
        with pytest.raises(ConfigurationError, match=r"host must be a base URL such as https://api\.runflow\.io"):
            Account(wrong, KEY)

    def test_credentials_in_the_address_are_refused_and_not_repeated(self) -> None:
        with pytest.raises(ConfigurationError) as caught:
            Account("https://user:hunter2@api.runflow.io?token=hunter3", KEY)
        assert "hunter" not in str(caught.value)
        assert "'api.runflow.io'" in str(caught.value)


class TestApiKey:
    def test_blanks_around_a_pasted_key_are_not_part_of_it(self) -> None:
        assert Account(api_key=f" {KEY}\n").api_key == KEY

    @pytest.mark.parametrize("missing", ["", "   ", "\n"])
    def test_without_a_key_the_message_says_where_to_put_one(self, missing: str) -> None:
        with pytest.raises(ConfigurationError, match=r"has no API key\. Put it into the connection's password field"):
            Account(api_key=missing)

    @pytest.mark.parametrize("wrong", [f"{KEY} {KEY}", f"{KEY}\x00", f"{KEY}\nX-Evil: 1", f"{KEY}é"])
    def test_a_key_that_no_header_can_carry_is_refused_and_not_repeated(self, wrong: str) -> None:
        with pytest.raises(ConfigurationError, match="contains characters that no key has") as caught:
            Account(api_key=wrong)
        assert KEY not in str(caught.value)

    @pytest.mark.parametrize("prefix", ["rf_live_", "rf_svc_", "rfk_", "rf_", ""])
    def test_no_prefix_is_insisted_on_since_the_sources_disagree(self, prefix: str) -> None:
        assert Account(api_key=f"{prefix}abc123").api_key == f"{prefix}abc123"


class TestOrganisation:
    def test_blanks_around_it_are_dropped_and_nothing_means_the_keys_own(self) -> None:
        assert Account(api_key=KEY, organization_id=" org-1 ").organization_id == "org-1"
        assert Account(api_key=KEY, organization_id="  ").organization_id is None

    @pytest.mark.parametrize("wrong", ["org\n1", "orgä", "org\x7f"])
    def test_one_that_no_header_can_carry_is_refused_before_any_request(self, wrong: str) -> None:
        with pytest.raises(ConfigurationError, match=r"organization_id=.* contains characters that no header takes"):
            Account(api_key=KEY, organization_id=wrong)


class TestRequestTimeout:
    @pytest.mark.parametrize("wrong", [0, -1, float("nan"), float("inf"), 1e12])
    def test_one_that_no_socket_takes_is_refused(self, wrong: float) -> None:
        with pytest.raises(ConfigurationError, match=r"request_timeout=.*must be more than 0 and at most 3600 seconds"):
            Account(api_key=KEY, request_timeout=wrong)

    @pytest.mark.parametrize("seconds", [0.5, 30, 3600])
    def test_a_usable_one_is_kept(self, seconds: float) -> None:
        assert Account(api_key=KEY, request_timeout=seconds).request_timeout == seconds


class TestIdentity:
    def test_it_tells_organisations_and_hosts_apart_but_not_keys(self) -> None:
        account = Account("https://api.runflow.io", KEY)
        assert account.identity == "https://api.runflow.io#"
        assert replace(account, organization_id="org-1").identity == "https://api.runflow.io#org-1"
        assert replace(account, api_key="rf_rotated").identity == account.identity

    def test_ways_into_the_api_differ_by_host_organisation_and_key_and_not_by_name(self) -> None:
        account = Account("https://api.runflow.io", KEY, name="Connection 'a'")
        others = [
            replace(account, base_url="https://eu.runflow.io"),
            replace(account, organization_id="org-1"),
            replace(account, api_key="rf_rotated"),
        ]
        assert len({each.access for each in (account, *others)}) == 4
        assert replace(account, name="Connection 'b'").access == account.access
        assert KEY not in account.access

    def test_plain_http_is_acceptable_for_downloads_only_if_the_connection_uses_it(self) -> None:
        assert Account("http://127.0.0.1:8080", KEY).allows_http
        assert not Account("https://api.runflow.io", KEY).allows_http


class TestTheKeyStaysHere:
    def test_neither_repr_nor_str_shows_it(self) -> None:
        account = Account(api_key=KEY, organization_id="org-1")
        assert KEY not in f"{account!r} {account!s} {account.identity}"

    def test_an_account_cannot_be_pickled_so_the_key_reaches_no_other_process_that_way(self) -> None:
        with pytest.raises(TypeError, match="holds an API key, so it cannot be pickled") as caught:
            pickle.dumps(Account(api_key=KEY))
        assert KEY not in str(caught.value)

    def test_it_can_still_be_copied_within_the_process(self) -> None:
        account = Account(api_key=KEY)
        assert copy.deepcopy(account) == account
        assert replace(account, request_timeout=1).api_key == KEY
