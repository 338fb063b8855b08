# SPDX-License-Identifier: Apache-2.0
"""The demo's decisions: what costs money, what is kept, what is reported."""

from __future__ import annotations

import hashlib
import io
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from scripts.consent import Refused
from scripts.contact_sheet import write_contact_sheet
from scripts.demo import Choices, confirm_cost, output_folder, put_aside, run_demo
from scripts.demo_report import Picture, TaskResult, in_words, money, progress_label
from scripts.leak_check import find_leaks
from scripts.stack import own_environment

KEY = "rf_live_secret"
NOW = datetime(2026, 3, 2, 6, 0)


def png(width: int, height: int) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(buffer, "PNG")
    return buffer.getvalue()


def landed(folder: Path, content: bytes, **changes: Any) -> Picture:
    path = folder / "s3" / "brand-assets" / "heroes" / "hero 1.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    facts = {
        "width": 8,
        "height": 6,
        "content_type": "image/png",
        "size_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        **changes,
    }
    sidecar = {"prompt": "a <b>sign</b> that says 'hi & bye'", "alt_text": None, "runflow_run_id": "run-1"}
    return Picture("heroes/hero 1.png", path, facts, Decimal("0.009000"), sidecar)


def made(picture: Picture) -> TaskResult:
    return TaskResult("weekly_hero_image", "hero", "hero", "success", 1, (picture,))


BLOCKED = TaskResult(
    "product_variants", "variant", "variant knife_de-DE", "failed", 1, (), "CONTENT_POLICY_VIOLATION: <no>"
)


class TestMoney:
    def test_a_key_in_the_environment_alone_never_makes_a_live_demo(self) -> None:
        choices = Choices.read({"RUNFLOW_API_KEY": KEY, "ONCE": "1"})
        assert not choices.live
        assert choices.idle_key
        assert choices.live_key is None

    def test_live_without_a_key_is_refused_before_anything_starts(self) -> None:
        with pytest.raises(Refused, match="LIVE=1 needs RUNFLOW_API_KEY"):
            Choices.read({"LIVE": "1"})

    def test_live_with_a_key_shows_the_key_to_nobody(self) -> None:
        choices = Choices.read({"LIVE": "1", "RUNFLOW_API_KEY": KEY})
        assert choices.live
        assert KEY not in repr(choices)

    @pytest.fixture(autouse=True)
    def _no_terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO())

    def test_live_names_the_cost_and_without_a_terminal_wants_yes(self, capsys: pytest.CaptureFixture[str]) -> None:
        choices = Choices.read({"LIVE": "1", "RUNFLOW_API_KEY": KEY})
        with pytest.raises(Refused, match="YES=1"):
            confirm_cost(choices)
        said = capsys.readouterr().out
        assert "9 x $0.009 = $0.081" in said
        assert KEY not in said

    def test_live_with_yes_goes_on(self) -> None:
        confirm_cost(Choices.read({"LIVE": "1", "RUNFLOW_API_KEY": KEY, "YES": "1"}))

    def test_a_refused_live_demo_leaves_nothing_behind(self, tmp_path: Path) -> None:
        with pytest.raises(Refused):
            run_demo(Choices.read({"LIVE": "1", "RUNFLOW_API_KEY": KEY}), tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_what_is_started_gets_no_key_and_no_foreign_settings(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RUNFLOW_API_KEY", KEY)
        monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
        monkeypatch.setenv("AWS_PROFILE", "production")
        env = own_environment(AIRFLOW_HOME="/here")
        assert KEY not in env.values()
        assert [name for name in env if name.startswith(("AIRFLOW", "AWS_", "RUNFLOW"))] == [
            "AWS_EC2_METADATA_DISABLED",
            "AIRFLOW_HOME",
        ]

    @pytest.mark.parametrize(
        ("amount", "text"),
        [("0.009000", "$0.009"), ("0.1", "$0.10"), ("0.072", "$0.072"), ("12", "$12.00"), ("0", "$0.00")],
    )
    def test_money_has_the_places_that_it_needs(self, amount: str, text: str) -> None:
        assert money(Decimal(amount)) == text


class TestEarlierPictures:
    def test_they_are_put_aside_and_not_deleted(self, tmp_path: Path) -> None:
        (tmp_path / "s3" / "brand-assets").mkdir(parents=True)
        (tmp_path / "s3" / "brand-assets" / "hero.png").write_bytes(b"first")
        (tmp_path / "index.html").write_text("sheet")
        aside = put_aside(tmp_path)
        assert aside is not None
        assert (aside / "s3" / "brand-assets" / "hero.png").read_bytes() == b"first"
        assert (aside / "index.html").read_text() == "sheet"
        assert put_aside(tmp_path) is None

    def test_what_a_person_put_there_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("mine")
        assert put_aside(tmp_path) is None
        assert (tmp_path / "notes.txt").exists()

    def test_a_second_demo_does_not_disturb_the_first(self, tmp_path: Path) -> None:
        with output_folder(tmp_path), pytest.raises(Refused, match="Another demo"), output_folder(tmp_path):
            pass


class TestVerdictOnAPicture:
    def test_a_file_that_is_what_the_task_said_has_no_problem(self, tmp_path: Path) -> None:
        assert landed(tmp_path, png(8, 6)).problems == []

    @pytest.mark.parametrize(
        ("changes", "problem"),
        [
            ({"sha256": "0" * 64}, "sha256 is"),
            ({"width": 9}, "pixels is (8, 6), not (9, 6)"),
            ({"size_bytes": 1}, "bytes is"),
            ({"content_type": "image/webp"}, "not image/webp"),
        ],
    )
    def test_a_difference_is_named(self, tmp_path: Path, changes: dict[str, Any], problem: str) -> None:
        assert any(problem in found for found in landed(tmp_path, png(8, 6), **changes).problems)

    def test_a_missing_file_is_a_problem_and_not_a_crash(self, tmp_path: Path) -> None:
        picture = landed(tmp_path, png(8, 6))
        picture.path.unlink()
        assert picture.problems == ["heroes/hero 1.png: No such file or directory"]


class TestReport:
    def test_it_says_what_was_made_and_why_the_rest_was_not(self, tmp_path: Path) -> None:
        text = "\n".join(in_words([made(landed(tmp_path, png(8, 6))), BLOCKED]))
        assert "Made: 1 pictures" in text
        assert "8 x 6" in text
        assert "$0.009" in text
        assert "variant knife_de-DE: failed after 1 try\n      CONTENT_POLICY_VIOLATION" in text

    def test_only_moderation_counts_as_blocked(self) -> None:
        assert BLOCKED.blocked
        assert not TaskResult("d", "t", "t", "failed", 3, (), "503 from the server").blocked

    def test_the_contact_sheet_escapes_and_links_relatively(self, tmp_path: Path) -> None:
        page = tmp_path / "index.html"
        write_contact_sheet(page, [made(landed(tmp_path, png(8, 6))), BLOCKED], note="Play money.", now=NOW)
        html = page.read_text()
        assert 'src="s3/brand-assets/heroes/hero%201.png"' in html
        assert 'alt="Generated picture: a &lt;b&gt;sign&lt;/b&gt; that says &#x27;hi &amp; bye&#x27;"' in html
        assert "<b>sign" not in html
        assert "variant knife_de-DE: blocked by content moderation" in html
        assert str(tmp_path) not in html
        assert "http" not in html

    def test_a_demo_that_made_nothing_still_has_a_page(self, tmp_path: Path) -> None:
        page = tmp_path / "index.html"
        write_contact_sheet(page, [BLOCKED], note="", now=NOW)
        assert "0 of 1 picture by" in page.read_text()

    def test_it_counts_what_was_wanted_too(self, tmp_path: Path) -> None:
        page = tmp_path / "index.html"
        write_contact_sheet(page, [made(landed(tmp_path, png(8, 6))), BLOCKED], note="", now=NOW)
        assert "<h1>1 of 2 pictures by" in page.read_text()
        write_contact_sheet(page, [made(landed(tmp_path, png(8, 6)))], note="", now=NOW)
        assert "<h1>1 picture by" in page.read_text()

    @pytest.mark.parametrize(
        ("index", "named", "shown"),
        [(-1, None, "hero"), (0, None, "hero 0"), (0, "0", "hero 0"), (0, "kettle_en-GB", "hero 0 (kettle_en-GB)")],
    )
    def test_a_line_of_progress_begins_alike_before_and_after_the_item_has_its_name(
        self, index: int, named: str | None, shown: str
    ) -> None:
        assert progress_label({"task_id": "hero", "map_index": index, "rendered_map_index": named}) == shown


class TestLeakCheck:
    def test_it_finds_a_secret_in_a_log_and_in_a_database_and_never_repeats_it(self, tmp_path: Path) -> None:
        (tmp_path / "logs").mkdir()
        (tmp_path / "logs" / "task.log").write_text(f"Bearer {KEY}")
        (tmp_path / "airflow.db").write_bytes(b"\x00\xff" + KEY.encode())
        leaks = find_leaks([tmp_path], {"the API key": KEY})
        assert len(leaks) == 2
        assert KEY not in " ".join(leaks)

    def test_an_unset_secret_is_not_everywhere(self, tmp_path: Path) -> None:
        (tmp_path / "task.log").write_text("nothing")
        assert find_leaks([tmp_path], {"the API key": ""}) == []
