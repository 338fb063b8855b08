# SPDX-License-Identifier: Apache-2.0
"""`make live`: whose key, whose money, who was asked."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from scripts import live
from scripts.consent import Refused, ask, is_on
from scripts.live import Choices, confirm_cost, main

KEY = "rf_live_never_show_this_key"


class Terminal(io.StringIO):
    """A person at a terminal who types one line."""

    def isatty(self) -> bool:
        return True


class TestTheKey:
    def test_without_one_nothing_is_sent(self) -> None:
        with pytest.raises(Refused, match=r"make live needs RUNFLOW_API_KEY in the environment. Nothing was sent."):
            Choices.take({"RUNFLOW_API_KEY": "  "})

    def test_it_is_taken_out_of_the_environment_and_shown_to_nobody(self) -> None:
        env = {"RUNFLOW_API_KEY": KEY, "YES": "1"}
        choices = Choices.take(env)
        assert env == {"YES": "1"}
        assert (choices.key, choices.yes, choices.base_url) == (KEY, True, "https://api.runflow.io")
        assert KEY not in repr(choices)

    def test_a_key_in_the_environment_alone_never_makes_the_tests_live(self, request: pytest.FixtureRequest) -> None:
        from tests.contract.target import LIVE

        assert LIVE not in request.config.stash
        assert "RUNFLOW_API_KEY" not in os.environ


class TestTheMoney:
    CHOICES = Choices(KEY, "https://api.runflow.test", yes=False)

    def test_the_most_that_it_may_cost_is_named_before_anything_is_sent(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO())
        with pytest.raises(Refused, match="YES=1"):
            confirm_cost(self.CHOICES)
        said = capsys.readouterr().out
        assert "https://api.runflow.test" in said
        assert "at most 4 pictures at low quality x $0.009 = $0.036" in said
        assert KEY not in said

    @pytest.mark.parametrize(("typed", "goes_on"), [("y\n", True), ("yes\n", True), ("\n", False), ("n\n", False)])
    def test_only_a_yes_goes_on(self, monkeypatch: pytest.MonkeyPatch, typed: str, goes_on: bool) -> None:
        monkeypatch.setattr("sys.stdin", Terminal(typed))
        if goes_on:
            ask(yes=False)
        else:
            with pytest.raises(Refused, match="Nothing was started"):
                ask(yes=False)

    def test_yes_1_answers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO())
        ask(yes=is_on("1"))

    @pytest.mark.parametrize("env", [{}, {"RUNFLOW_API_KEY": KEY}])
    def test_a_refusal_is_one_line_and_exit_code_1(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], env: dict[str, str]
    ) -> None:
        def never(choices: Choices, answers: Path | None) -> int:
            raise AssertionError("something was started")

        for name, value in env.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("sys.stdin", io.StringIO())
        monkeypatch.setattr("sys.argv", ["live"])
        monkeypatch.setattr(live, "run", never)
        assert main() == 1
        told = capsys.readouterr()
        assert told.err.startswith("live: ")
        assert KEY not in told.out + told.err
