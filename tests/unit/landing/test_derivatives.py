# SPDX-License-Identifier: Apache-2.0
"""Derivatives: what may be declared, and what is made of a master that stays as it is."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from airflow_provider_runflow.exceptions import ConfigurationError, InvalidRequestError
from airflow_provider_runflow.landing.channels import CHANNELS
from airflow_provider_runflow.landing.derivatives import (
    Derivative,
    DerivativeError,
    check_available,
    derivative_name,
    derive_all,
    make_derivative,
    parse_derivatives,
)
from airflow_provider_runflow.landing.images import inspect
from airflow_provider_runflow.landing.names import MAX_SEGMENT_BYTES
from airflow_provider_runflow.landing.sidecar import DIGITAL_SOURCE_TYPE
from tests.unit.landing.masters import FOREIGN, kinds, photo, quarters, save, source_type, with_credentials

KINDS = ["png", "jpeg", "webp"]
BOX = Derivative("box", 300, 250)


class TestDeclaring:
    def test_a_preset_a_preset_with_changes_and_ones_own(self) -> None:
        feed, stories, letter = parse_derivatives(
            [
                "meta_feed",
                {"preset": "stories", "name": "stories_b", "focal_point": [0.5, 0.3], "format": "webp"},
                {"name": "letter", "width": 600, "height": 300, "fit": "pad", "background": "#f4e"},
            ]
        )
        assert (feed.name, feed.width, feed.height, feed.format, feed.max_bytes) == (
            "meta_feed",
            1080,
            1350,
            "jpeg",
            30_000_000,
        )
        assert (stories.name, stories.height, stories.focal_point, stories.format) == (
            "stories_b",
            1920,
            (0.5, 0.3),
            "webp",
        )
        assert (letter.fit, letter.colour, letter.format) == ("pad", (0xFF, 0x44, 0xEE), None)

    def test_nothing_and_what_is_declared_already(self) -> None:
        assert parse_derivatives(None) == parse_derivatives([]) == ()
        assert parse_derivatives([BOX]) == (BOX,)

    @pytest.mark.parametrize(
        ("spec", "message"),
        [
            ("meta_feed", r"derivatives='meta_feed': must be a list, such as \['meta_feed', 'stories'\]"),
            ({"preset": "stories"}, "must be a list"),
            (7, "derivatives=7: must be a list"),
            ([7], r"derivatives\[0\]: 7: must be the name of a preset or a mapping"),
            (
                ["stories", "meta_fed"],
                r"derivatives\[1\]: preset='meta_fed': no such preset; did you mean 'meta_feed'\?",
            ),
            ([{"preset": "zzz"}], r"preset='zzz': no such preset; there are meta_feed, meta_square"),
            ([{"preset": None}], "preset=None: no such preset"),
            (["stories", "stories"], r"derivatives\[1\]: name='stories': is there twice"),
            ([{"name": "a", "width": 1}], "height: required, unless a preset is named"),
            ([{}], "name, width, height: required"),
            ([{"name": "a", "widht": 1}], r"widht: no such field\. Did you mean width\?"),
            ([{"name": "a", "zzz": 1}], r"zzz: no such field\. It takes preset, name, width"),
        ],
    )
    def test_a_list_that_cannot_be_read_says_where(self, spec: Any, message: str) -> None:
        with pytest.raises(InvalidRequestError, match=message):
            parse_derivatives(spec)

    @pytest.mark.parametrize(
        ("field", "value", "message"),
        [
            ("name", "A b", "name='A b': must be 1 to 32 of a-z"),
            ("name", "../x", "must be 1 to 32"),
            ("name", "x" * 33, "must be 1 to 32"),
            ("name", 7, "name=7: must be"),
            ("width", 0, "width=0: must be 1 to 16,383 pixels"),
            ("width", "300", "width='300': must be"),
            ("height", True, "height=True: must be"),
            ("height", 20_000, "height=20000: must be"),
            ("width", 16_383, "pixels"),
            ("fit", "Cover", r"fit='Cover': must be 'cover', 'contain' or 'pad' \(did you mean 'cover'\?\)"),
            ("fit", "fill", "fit='fill': must be"),
            ("format", "jpg", r"format='jpg': must be 'jpeg', 'png' or 'webp' \(did you mean 'jpeg'\?\)"),
            ("format", "gif", "format='gif': must be"),
            ("focal_point", [0.5], "must be two fractions from 0 to 1"),
            ("focal_point", [0.5, 1.5], "must be two fractions"),
            ("focal_point", ["0.5", 0.5], "must be two fractions"),
            ("focal_point", "centre", "must be two fractions"),
            ("focal_point", [float("nan"), 0.5], "must be two fractions"),
            ("max_bytes", 100, "max_bytes=100: must be a whole number of bytes, at least 1,024"),
            ("max_bytes", 150.5, "must be a whole number"),
            ("max_bytes", "150KB", "must be a whole number"),
            ("background", "white", "background='white': must be a colour such as '#ffffff', or 'transparent'"),
            ("background", "#12345", "must be a colour"),
            ("background", None, "must be a colour"),
            ("quantize", 1, "quantize=1: must be true or false"),
        ],
    )
    def test_a_wrong_field_is_named_with_its_value_and_its_rule(self, field: str, value: Any, message: str) -> None:
        entry = {"name": "a", "width": 16_000 if value == 16_383 else 300, "height": 16_000 if value == 16_383 else 250}
        with pytest.raises(InvalidRequestError, match=message):
            parse_derivatives([{**entry, field: value}])

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"fit": "pad", "focal_point": [0, 0]}, "is for fit='cover' only; fit='pad' cuts nothing"),
            ({"format": "jpeg", "background": "transparent"}, "a JPEG cannot be transparent"),
            ({"format": "webp", "quantize": True}, "is for PNG only; format='webp'"),
        ],
    )
    def test_fields_that_do_not_go_together_are_refused(self, fields: dict[str, Any], message: str) -> None:
        with pytest.raises(InvalidRequestError, match=message):
            Derivative("a", 300, 250, **fields)


class TestNames:
    def test_a_name_is_the_masters_and_its_own(self) -> None:
        assert derivative_name("heroes/kettle.png", BOX, "jpg") == "heroes/kettle.png.box.jpg"

    def test_masters_that_differ_have_no_name_in_common(self) -> None:
        masters = ["a.png", "a.webp", "a.png.box.png", "a-box.png", "b/a.png", "x" * 200, "x" * 199 + "y", "é" * 100]
        names = {derivative_name(m, d, "jpg") for m in masters for d in parse_derivatives(["stories", BOX])}
        assert len(names) == 2 * len(masters)
        assert all(len(name.rpartition("/")[2].encode()) <= MAX_SEGMENT_BYTES for name in names)

    @pytest.mark.parametrize(
        ("master", "format"),
        [("jpg", "jpeg"), ("image/jpeg", "jpeg"), ("PNG", "png"), (".webp", "webp"), ("gif", "png")],
    )
    def test_without_a_format_it_has_its_masters(self, master: str, format: str) -> None:
        assert BOX.format_for(master) == format
        assert Derivative("a", 1, 1, format="webp").format_for(master) == "webp"


class TestMaking:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("format", [None, *KINDS])
    def test_it_is_what_is_told_of_it(self, tmp_path: Path, kind: str, format: str | None) -> None:
        master, target = save(tmp_path, quarters(800, 600), kind), tmp_path / "made"
        made = make_derivative(master, Derivative("box", 300, 250, format=format), target)
        facts = inspect(target)
        data = target.read_bytes()
        assert (facts.width, facts.height) == (made.width, made.height) == (300, 250)
        assert facts.content_type == made.content_type == f"image/{format or kind}"
        assert (made.size_bytes, made.sha256) == (len(data), hashlib.sha256(data).hexdigest())
        assert not made.upscaled
        assert source_type(data) == DIGITAL_SOURCE_TYPE

    @pytest.mark.parametrize("kind", KINDS)
    def test_every_preset_is_met_exactly_and_under_its_cap(self, tmp_path: Path, kind: str) -> None:
        master = save(tmp_path, photo(1088, 1360), kind)
        made = list(derive_all(master, master.name, parse_derivatives(list(CHANNELS)), tmp_path))
        assert [derivative.name for derivative, *_ in made] == list(CHANNELS)
        for derivative, _, path, facts in made:
            assert (facts.width, facts.height) == (derivative.width, derivative.height)
            assert facts.size_bytes == path.stat().st_size <= (derivative.max_bytes or 10**9)
            assert facts.upscaled == (derivative.width > 1088 or derivative.height > 1360)
            with Image.open(path) as back:
                back.load()
                assert (back.size, back.format) == ((derivative.width, derivative.height), "JPEG")

    @pytest.mark.parametrize("kind", KINDS)
    def test_the_master_stays_byte_identical_and_its_credentials_do_not_come_along(
        self, tmp_path: Path, kind: str
    ) -> None:
        master = tmp_path / f"master.{kind}"
        given = with_credentials(quarters(800, 600), kind)
        master.write_bytes(given)
        modified = master.stat().st_mtime_ns
        for format in KINDS:
            target = tmp_path / "made"
            make_derivative(master, Derivative("box", 300, 250, format=format), target)
            data = target.read_bytes()
            assert FOREIGN not in data
            assert not kinds(data) & {b"caBX", 0xEB, b"C2PA", b"EXIF", b"eXIf"}
            assert source_type(data) == DIGITAL_SOURCE_TYPE
        assert master.read_bytes() == given
        assert master.stat().st_mtime_ns == modified

    def test_a_second_time_gives_the_same_bytes(self, tmp_path: Path) -> None:
        master = save(tmp_path, photo(400, 400), "png")
        capped = Derivative("box", 300, 250, max_bytes=30_000, format="jpeg")
        one, other = (make_derivative(master, capped, tmp_path / name) for name in ("one", "other"))
        assert one == other
        assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()

    def test_a_master_that_is_too_small_is_scaled_up_and_that_is_told(self, tmp_path: Path) -> None:
        assert make_derivative(save(tmp_path, quarters(150, 125), "png"), BOX, tmp_path / "made").upscaled

    def test_contain_may_be_smaller_and_says_so(self, tmp_path: Path) -> None:
        master = save(tmp_path, quarters(800, 400), "png")
        made = make_derivative(master, Derivative("box", 300, 300, fit="contain"), tmp_path / "made")
        assert (made.width, made.height) == (300, 150)

    def test_pad_is_filled_up_with_the_background(self, tmp_path: Path) -> None:
        master = save(tmp_path, quarters(800, 400), "png")
        make_derivative(master, Derivative("box", 300, 300, fit="pad", background="#010203"), tmp_path / "made")
        with Image.open(tmp_path / "made") as back:
            assert back.getpixel((150, 10)) == (1, 2, 3)
            assert back.getpixel((10, 80)) == (255, 0, 0)

    def test_a_cap_that_cannot_be_met_names_derivative_master_and_bytes_and_leaves_nothing(
        self, tmp_path: Path
    ) -> None:
        master = save(tmp_path, photo(800, 600), "jpeg")
        with pytest.raises(
            DerivativeError, match=r"derivative 'box' of master\.jpeg: is [\d,]+ bytes over its cap of 2,000"
        ):
            make_derivative(master, Derivative("box", 600, 500, max_bytes=2000), tmp_path / "made")
        assert not (tmp_path / "made").exists()

    def test_a_transparent_background_of_a_jpegs_derivative_needs_a_format(self, tmp_path: Path) -> None:
        clear = Derivative("box", 300, 300, fit="pad", background="transparent")
        with pytest.raises(DerivativeError, match="would be a JPEG like its master, which cannot be transparent"):
            make_derivative(save(tmp_path, quarters(80, 40), "jpeg"), clear, tmp_path / "made")
        assert (
            make_derivative(save(tmp_path, quarters(80, 40), "png"), clear, tmp_path / "made").content_type
            == "image/png"
        )

    def test_a_place_that_cannot_be_written_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(DerivativeError, match=r"cannot be written \(No such file or directory\)"):
            make_derivative(save(tmp_path, quarters(80, 40), "png"), BOX, tmp_path / "none" / "made")


class TestAllOfOneMaster:
    def test_they_come_with_names_and_files_of_their_own(self, tmp_path: Path) -> None:
        master = save(tmp_path, quarters(800, 600), "png")
        wanted = parse_derivatives([BOX, {"preset": "iab_320x50", "fit": "pad"}])
        made = list(derive_all(master, "heroes/kettle.png", wanted, tmp_path))
        assert [(name, path.name) for _, name, path, _ in made] == [
            ("heroes/kettle.png.box.png", "box.png"),
            ("heroes/kettle.png.iab_320x50.jpg", "iab_320x50.jpg"),
        ]
        assert [derivative for derivative, *_ in made] == list(wanted)
        one = make_derivative(master, BOX, tmp_path / "alone")
        assert made[0][3] == one

    def test_one_that_cannot_be_made_does_not_stop_the_others(self, tmp_path: Path) -> None:
        master = save(tmp_path, photo(800, 600), "png")
        tight = Derivative("tight", 600, 500, max_bytes=2000, format="jpeg")
        made = derive_all(master, "a.png", [tight, BOX], tmp_path)
        assert next(made)[0] == BOX
        with pytest.raises(
            DerivativeError, match=r"1 of 2 derivatives of a\.png could not be made: tight is [\d,]+ bytes"
        ):
            next(made)

    def test_without_any_the_master_is_not_even_read(self, tmp_path: Path) -> None:
        assert list(derive_all(tmp_path / "none.png", "none.png", (), tmp_path)) == []

    def test_a_master_that_is_broken_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "spooled"
        path.write_bytes(b"<html></html>")
        with pytest.raises(DerivativeError, match=r"derivatives of a\.png: the master is an HTML or XML document"):
            list(derive_all(path, "a.png", [BOX], tmp_path))


class TestWithoutPillow:
    def test_the_pip_line_is_told_before_anything_is_paid(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        check_available()
        monkeypatch.setitem(sys.modules, "PIL", None)
        line = r"erivatives need Pillow: pip install 'airflow-provider-runflow\[derivatives\]'"
        with pytest.raises(ConfigurationError, match=line):
            check_available()
        with pytest.raises(DerivativeError, match=line):
            make_derivative(tmp_path / "any.png", BOX, tmp_path / "made")

    def test_declaring_imports_neither_pillow_nor_airflow_nor_the_models(self) -> None:
        code = (
            "import sys; from airflow_provider_runflow.landing.derivatives import parse_derivatives;"
            "parse_derivatives(['meta_feed']);"
            "print([m for m in ('airflow', 'PIL', 'pydantic', 'httpx', 'boto3') if m in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"
