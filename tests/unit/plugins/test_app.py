# SPDX-License-Identifier: Apache-2.0
"""Who sees what of the light table, and what it serves: real users, a real database, pictures on disk."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from airflow_provider_runflow.pictures import picture_url
from tests.unit.plugins.world import DAG_ID, RUN, SECRET_DAG, World, png, row, sha256

MASTER = png()
PATHS = (
    f"/api/dags/{SECRET_DAG}/pictures?run_id={RUN.replace('+', '%2B')}",
    f"/api/dags/{SECRET_DAG}/sidecars/{sha256(MASTER)}?run_id={RUN.replace('+', '%2B')}&task_id=hero",
    f"/dags/{SECRET_DAG}/pictures/{sha256(MASTER)}?run_id={RUN.replace('+', '%2B')}&task_id=hero",
)


class TestWhoMaySee:
    @pytest.fixture(autouse=True)
    def _a_secret_picture(self, world: World) -> None:
        world.landed(world.stored("secret/a.png", MASTER), dag_id=SECRET_DAG)

    @pytest.mark.parametrize("path", [*PATHS, "/api/latest"])
    def test_without_a_login_nobody_sees_anything(self, world: World, path: str) -> None:
        answer = world.get(path, who="nobody")
        assert answer.status_code == 401
        assert "hero" not in answer.text

    @pytest.mark.parametrize("path", PATHS)
    def test_who_may_not_read_the_dag_sees_neither_names_nor_pixels(self, world: World, path: str) -> None:
        assert world.get(path, who="ada").status_code == 200
        assert world.get(path, who="bob").status_code == 200
        refused = world.get(path, who="eve")
        assert refused.status_code == 403
        assert set(refused.json()) == {"detail"}
        assert "hero" not in refused.text

    def test_the_page_of_all_dags_leaves_out_those_that_a_user_may_not_read(self, world: World) -> None:
        world.landed(world.stored("a.png", png(colour=(1, 2, 3))))
        seen = {who: world.get("/api/latest", who=who).json() for who in ("ada", "bob", "eve")}
        assert {who: answer["dag_ids"] for who, answer in seen.items()} == {
            "ada": [DAG_ID, SECRET_DAG],
            "bob": [DAG_ID, SECRET_DAG],
            "eve": [DAG_ID],
        }
        assert SECRET_DAG not in json.dumps(seen["eve"])
        assert SECRET_DAG not in world.get("/api/latest", who="eve", dag_id=SECRET_DAG).text

    @pytest.mark.parametrize("entity", ["RUN", "TASK_INSTANCE", "XCOM"])
    def test_who_may_not_read_one_of_what_the_page_tells_sees_nothing_of_it(
        self, world: World, entity: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from tests.e2e.light_table import doorkeeper

        monkeypatch.setattr(doorkeeper, "NOT_FOR_BOB", entity)
        for path in PATHS:
            assert world.get(path, who="ada").status_code == 200
            assert world.get(path, who="bob").status_code == 403
        assert world.get("/api/latest", who="bob").json()["dag_ids"] == []

    @pytest.mark.parametrize("index", ["-2", "2147483648", "99999999999999999999", "x"])
    def test_a_map_index_that_no_database_holds_is_refused(self, world: World, index: str) -> None:
        for path in PATHS:
            assert world.get(f"{path}&map_index={index}").status_code == 422

    def test_a_dag_of_the_query_does_not_stand_for_the_one_of_the_path(self, world: World) -> None:
        assert world.get(PATHS[2], who="eve").status_code == 403
        answer = world.get(f"{PATHS[2]}&dag_id={DAG_ID}", who="eve")
        assert answer.status_code == 403

    def test_a_forged_or_foreign_token_is_no_login(self, world: World) -> None:
        client = world.clients["nobody"]
        for token in ("x", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEifQ."):
            headers = {"Authorization": f"Bearer {token}"}
            assert client.get("/api/latest", headers=headers).status_code in (401, 403)

    def test_the_page_itself_holds_no_data(self, world: World) -> None:
        answer = world.get("/pictures", who="nobody")
        assert answer.status_code == 200
        assert "campaign" not in answer.text


class TestWhatIsServed:
    def test_a_picture_that_the_task_landed(self, world: World) -> None:
        world.landed(world.stored("a.png", MASTER))
        answer = world.picture(sha256(MASTER))
        assert (answer.status_code, answer.content) == (200, MASTER)
        assert answer.headers["content-type"] == "image/png"

    def test_an_item_of_a_batch(self, world: World) -> None:
        world.batch("cat", [row("cup", world.stored("cat/cup.png", MASTER))])
        assert world.picture(sha256(MASTER), task_id="catalogue").content == MASTER

    def test_a_derivative_that_is_listed_with_its_master(self, world: World) -> None:
        small = png(100, 100)
        image = {
            **world.stored("a.png", MASTER),
            "derivatives": [{"name": "feed", **world.stored("a-feed.png", small)}],
        }
        world.landed(image)
        assert world.picture(sha256(small)).content == small
        (card,) = world.cards()
        assert [each["name"] for each in card["derivatives"]] == ["feed"]

    def test_no_picture_of_another_task_map_index_or_dag(self, world: World) -> None:
        world.landed(world.stored("a.png", MASTER))
        world.landed(world.stored("b.png", png(colour=(9, 9, 9))), task_id="other")
        world.landed(world.stored("c.png", png(colour=(8, 8, 8))), dag_id=SECRET_DAG)
        assert world.picture(sha256(MASTER), task_id="other").status_code == 404
        assert world.picture(sha256(MASTER), map_index=0).status_code == 404
        assert world.picture(sha256(MASTER), dag_id=SECRET_DAG).status_code == 404

    @pytest.mark.parametrize(
        "digest",
        ["0" * 64, "..", "..%2f..%2fetc%2fpasswd", "file:%2f%2f%2fetc%2fpasswd", "a.png", sha256(MASTER).upper()],
    )
    def test_nothing_that_is_not_the_hash_of_a_landed_picture(self, world: World, digest: str) -> None:
        world.landed(world.stored("a.png", MASTER))
        assert world.picture(digest).status_code == 404

    def test_an_address_in_the_query_changes_nothing(self, world: World) -> None:
        world.landed(world.stored("a.png", MASTER))
        other = world.stored("private.png", png(colour=(7, 7, 7)))
        assert world.picture(sha256(MASTER), uri=other["uri"], name=other["uri"]).content == MASTER

    def test_not_what_took_the_pictures_place(self, world: World) -> None:
        image = world.stored("a.png", MASTER)
        world.landed(image)
        world.stored("a.png", png(colour=(5, 5, 5)))
        assert world.picture(sha256(MASTER)).status_code == 409

    def test_what_is_gone_is_told(self, world: World) -> None:
        world.landed(world.stored("a.png", MASTER))
        (world.bucket / "a.png").unlink()
        answer = world.picture(sha256(MASTER))
        assert answer.status_code == 404
        assert "not there any more" in answer.json()["detail"]

    @pytest.mark.parametrize(
        "raw", [b"<html><script>alert(1)</script></html>", b"<svg xmlns='http://www.w3.org/2000/svg'/>"]
    )
    def test_html_and_svg_that_call_themselves_png_are_refused(self, world: World, raw: bytes) -> None:
        world.landed(world.stored("a.png", raw))
        for size in ("full", "thumbnail"):
            answer = world.picture(sha256(raw), size=size)
            assert answer.status_code == 415
            assert answer.headers["content-type"] == "application/json"

    def test_the_type_is_that_of_the_bytes_not_the_one_that_a_record_says(self, world: World) -> None:
        world.landed({**world.stored("a.png", MASTER), "content_type": "text/html"})
        assert world.picture(sha256(MASTER)).headers["content-type"] == "image/png"


class TestACraftedManifest:
    """Whoever may write to the bucket may not look elsewhere with the connection of the task."""

    def test_a_row_that_names_an_object_outside_of_its_folder_is_not_served(self, world: World) -> None:
        world.batch("cat", [row("x", world.stored("private/x.png", MASTER))])
        assert world.picture(sha256(MASTER), task_id="catalogue").status_code == 404
        (card,) = world.cards()
        assert (card["status"], card["uri"]) == ("not landed", None)

    @pytest.mark.parametrize(
        "climb", ["../private/x.png", "./../private/x.png", "sub/../../private/x.png", "//private/x.png"]
    )
    def test_nor_one_that_climbs_out_of_it(self, world: World, climb: str) -> None:
        image = world.stored("private/x.png", MASTER)
        world.batch("cat", [row("x", {**image, "uri": f"file://{world.bucket}/cat/{climb}"})])
        assert world.picture(sha256(MASTER), task_id="catalogue").status_code == 404

    @pytest.mark.parametrize("place", ["private/cat", "cat-private"])
    def test_nor_one_whose_folder_only_looks_alike(self, world: World, place: str) -> None:
        world.batch("cat", [row("x", world.stored(f"{place}/x.png", MASTER))])
        assert world.picture(sha256(MASTER), task_id="catalogue").status_code == 404

    def test_nor_an_object_whose_hash_it_does_not_know(self, world: World) -> None:
        image = world.stored("cat/x.png", MASTER)
        world.batch("cat", [row("x", {**image, "sha256": "1" * 64})])
        assert world.picture("1" * 64, task_id="catalogue").status_code == 409

    @pytest.mark.parametrize(
        "uri",
        [
            "http://127.0.0.1:1/x.png",
            "https://example.test/x.png",
            "memory://x/y.png",
            "github://org@repo/x.png",
            "s3://conn@bucket/x.png",
            "s3://bucket/x.png?versionId=1",
        ],
    )
    def test_nor_an_address_that_is_no_object_of_a_store(self, world: World, uri: str) -> None:
        world.landed({**world.stored("a.png", MASTER), "uri": uri})
        assert world.picture(sha256(MASTER)).status_code == 422

    def test_a_result_of_a_task_that_is_not_ours_names_nothing(self, world: World) -> None:
        from tests.unit.plugins.world import result

        world.instance("hero", operator="PythonOperator", return_value=result([world.stored("a.png", MASTER)]))
        assert world.picture(sha256(MASTER)).status_code == 404

    def test_a_manifest_that_cannot_be_read_is_told_and_breaks_nothing_else(self, world: World) -> None:
        world.batch("cat", [])
        (world.bucket / "cat" / world.manifest_name()).write_text("<html>\n")
        world.landed(world.stored("a.png", MASTER))
        answer = world.get(f"/api/dags/{DAG_ID}/pictures", run_id=RUN).json()
        assert [card["status"] for card in answer["cards"]] == ["failed", "landed"]
        assert "cannot be read" in answer["troubles"][0]

    def test_the_manifest_of_another_dag_run_or_task_is_not_shown(self, world: World) -> None:
        """Who may write XComs of one DAG names the manifest of another there: by its connection it could be read."""
        world.batch("cat", [row("cup", world.stored("cat/a.png", MASTER))])
        others = f"file://{world.bucket}/cat/{world.manifest_name()}"
        told = {"manifest_uri": others}
        world.instance("other", operator="GptImage2BatchOperator", runflow_batch={"items": 1}, return_value=told)
        # What has been read for its own task, with the very same stamps, is not given to the other one either.
        assert world.picture(sha256(MASTER), task_id="catalogue").status_code == 200
        assert world.picture(sha256(MASTER), task_id="other").status_code == 404
        answer = world.get(f"/api/dags/{DAG_ID}/pictures", run_id=RUN, task_id="other").json()
        assert "cup" not in json.dumps(answer)
        assert "It is not the manifest of this task instance." in answer["troubles"][0]

    @pytest.mark.parametrize(
        "bad",
        [
            {"images": 5},
            {"images": {"0": {}}},
            {"prompt": 5},
            {"labels": 5},
            {"reason": ["x"]},
            {"cost_usd": "sNaN"},
            {"cost_usd": "1e99999999"},
            {"cost_usd": {"a": 1}},
            {"input": [1]},
            {"input": {"quality": {"deep": []}, "image_size": 5}},
        ],
    )
    def test_a_row_of_another_form_takes_no_other_picture_away(self, world: World, bad: dict[str, Any]) -> None:
        world.batch("cat", [{**row("cup"), **bad}])
        world.landed(world.stored("a.png", MASTER))
        for path, params in ((f"/api/dags/{DAG_ID}/pictures", {"run_id": RUN}), ("/api/latest", {})):
            answer = world.get(path, **params)
            assert (answer.status_code, len(answer.text) < 20_000) == (200, True)
            told = answer.json()
            cards = told["cards"] if "cards" in told else told["runs"][0]["cards"]
            assert "landed" in [card["status"] for card in cards]

    def test_nor_does_one_that_nests_without_end(self, world: World) -> None:
        world.batch("cat", [])
        (world.bucket / "cat" / world.manifest_name()).write_text("[" * 100_000 + "\n")
        world.landed(world.stored("a.png", MASTER))
        answer = world.get(f"/api/dags/{DAG_ID}/pictures", run_id=RUN).json()
        assert [card["status"] for card in answer["cards"]] == ["failed", "landed"]

    @pytest.mark.parametrize("text", ["\u2028", "\u0085", "\x0b"])
    def test_a_prompt_with_a_line_break_that_json_does_not_know_is_shown(self, world: World, text: str) -> None:
        world.batch("cat", [])
        told = row("cup", world.stored("cat/a.png", MASTER), prompt=f"a{text}b")
        line = json.dumps(told, ensure_ascii=False)
        (world.bucket / "cat" / world.manifest_name()).write_text(line + "\n")
        (card,) = world.cards()
        assert card["key"] == "cup"

    def test_a_manifest_that_takes_more_memory_than_it_should_is_told(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from airflow_provider_runflow.plugins import landed

        monkeypatch.setattr(landed, "MANIFESTS_BYTES", 100)
        world.batch("cat", [row("cup")])
        answer = world.get(f"/api/dags/{DAG_ID}/pictures", run_id=RUN).json()
        assert "takes more than 32 MiB" in answer["troubles"][0]


class TestXComsOfAnotherForm:
    @pytest.mark.parametrize(
        "xcoms",
        [
            {"runflow_run": {"prompt": 5, "labels": [1], "quality": {"a": []}, "run_id": []}},
            {"runflow_run": {}, "return_value": {"images": [{"index": [], "uri": 5, "derivatives": [{"name": {}}]}]}},
            {"runflow_run": {}, "return_value": {"images": [], "cost_usd": "sNaN"}},
            {"runflow_run": {}, "return_value": {"images": [], "cost_usd": "1e99999999", "duration_ms": "x"}},
            {"runflow_batch": {"items": 10**30, "outcomes": {"x": []}, "waiting": "x"}},
            {"runflow_batch": {"items": int("9" * 4300)}},
            {"runflow_run": {}, "return_value": {"images": [], "cost_usd": "0." + "1" * 100_000}},
            {"runflow_batch": {"items": True, "outcomes": 5}, "return_value": {"manifest_uri": "//[x?y=secret"}},
            {"runflow_end": {"outcome": {}, "reason": 5}},
            {"runflow_end": 5, "runflow_run": "x"},
        ],
    )
    @pytest.mark.parametrize("state", ["running", "success", "failed"])
    def test_they_take_no_other_picture_away(self, world: World, xcoms: dict[str, Any], state: str) -> None:
        world.instance("bad", state, **xcoms)
        world.landed(world.stored("a.png", MASTER))
        for path, params in ((f"/api/dags/{DAG_ID}/pictures", {"run_id": RUN}), ("/api/latest", {})):
            answer = world.get(path, **params)
            assert (answer.status_code, len(answer.text) < 20_000) == (200, True)
            assert sha256(MASTER) in answer.text
            assert "secret" not in answer.text


class TestThePictureOfNow:
    """The address that bodies of approvals hold: by place, so that it shows what has landed by now."""

    def now(
        self, world: World, *, who: str = "ada", dag_id: str = DAG_ID, task_id: str = "hero", **params: object
    ) -> Any:
        return world.get(f"/dags/{dag_id}/picture", who=who, run_id=RUN, task_id=task_id, **params)

    def test_it_is_the_one_at_that_place(self, world: World) -> None:
        other = png(colour=(3, 3, 3))
        world.landed(world.stored("a.png", MASTER), {**world.stored("b.png", other), "index": 1})
        assert self.now(world).content == MASTER
        assert self.now(world, index=1).content == other
        assert self.now(world, index=2).status_code == 404

    def test_of_a_batch_it_is_that_of_the_item(self, world: World) -> None:
        other = png(colour=(3, 3, 3))
        world.batch(
            "cat", [row("cup", world.stored("cat/a.png", MASTER)), row("a/b", world.stored("cat/b.png", other))]
        )
        assert self.now(world, task_id="catalogue", key="a/b").content == other
        assert self.now(world, task_id="catalogue", key="nothing").status_code == 404

    def test_the_helpers_address_leads_to_it(self, world: World) -> None:
        world.landed(world.stored("a.png", MASTER))
        address = picture_url("hero", dag_id=DAG_ID, run_id=RUN).removeprefix("/runflow")
        assert world.get(address).content == MASTER

    def test_a_browser_asks_each_time_whether_it_is_still_the_one(self, world: World) -> None:
        world.landed(world.stored("a.png", MASTER))
        assert self.now(world).headers["cache-control"] == "private, no-cache"

    def test_it_is_for_those_who_may_read_the_dag(self, world: World) -> None:
        world.landed(world.stored("a.png", MASTER), dag_id=SECRET_DAG)
        assert self.now(world, who="bob", dag_id=SECRET_DAG).content == MASTER
        assert self.now(world, who="eve", dag_id=SECRET_DAG).status_code == 403
        assert self.now(world, who="nobody", dag_id=SECRET_DAG).status_code == 401


class TestThumbnails:
    def test_they_are_small_and_made_once(self, world: World) -> None:
        from PIL import Image

        big = png(1600, 1200)
        world.landed(world.stored("a.png", big))
        first = world.picture(sha256(big), size="thumbnail")
        with Image.open(io.BytesIO(first.content)) as small:
            assert small.size == (480, 360)
        assert first.headers["content-type"] == "image/webp"
        (world.bucket / "a.png").unlink()
        assert world.picture(sha256(big), size="thumbnail").content == first.content

    def test_the_browser_keeps_them_and_asks_with_their_tag(self, world: World) -> None:
        world.landed(world.stored("a.png", MASTER))
        first = world.picture(sha256(MASTER), size="thumbnail")
        assert first.headers["cache-control"].startswith("private")
        path = f"/dags/{DAG_ID}/pictures/{sha256(MASTER)}"
        params = {"run_id": RUN, "task_id": "hero", "size": "thumbnail"}
        again = world.clients["ada"].get(path, params=params, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")

    def test_a_tag_opens_nothing_for_who_may_not_see(self, world: World) -> None:
        world.landed(world.stored("a.png", MASTER), dag_id=SECRET_DAG)
        tag = world.picture(sha256(MASTER), dag_id=SECRET_DAG).headers["etag"]
        path = f"/dags/{SECRET_DAG}/pictures/{sha256(MASTER)}"
        params = {"run_id": RUN, "task_id": "hero"}
        for who, status in (("nobody", 401), ("eve", 403)):
            answer = world.clients[who].get(path, params=params, headers={"If-None-Match": tag})
            assert answer.status_code == status

    def test_without_pillow_it_is_the_original(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        from airflow_provider_runflow.plugins import serving

        monkeypatch.setattr(serving, "can_scale", lambda: False)
        world.landed(world.stored("a.png", MASTER))
        assert world.picture(sha256(MASTER), size="thumbnail").content == MASTER

    @pytest.mark.parametrize(
        ("size", "small"), [((2600, 1300), (480, 240)), ((40, 3000), (6, 480)), ((3000, 2), (480, 1))]
    )
    @pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1"])
    def test_every_kind_and_shape_of_picture_has_one(
        self, world: World, mode: str, size: tuple[int, int], small: tuple[int, int]
    ) -> None:
        from PIL import Image

        out = io.BytesIO()
        image = Image.effect_noise(size, 80).convert(mode)
        if "A" in mode:
            image.putalpha(100)
        image.save(out, "PNG")
        raw = out.getvalue() + b" " * 65536
        world.landed(world.stored("a.png", raw))
        with Image.open(io.BytesIO(world.picture(sha256(raw), size="thumbnail").content)) as made:
            assert (made.format, made.size) == ("WEBP", small)
            assert ("A" in made.getbands()) == ("A" in mode)

    def test_one_that_lies_on_its_side_is_turned(self, world: World) -> None:
        from PIL import Image

        out, exif = io.BytesIO(), Image.Exif()
        exif[274] = 6
        Image.effect_noise((2000, 1000), 80).save(out, "JPEG", exif=exif)
        world.landed(world.stored("a.jpg", out.getvalue()))
        with Image.open(io.BytesIO(world.picture(sha256(out.getvalue()), size="thumbnail").content)) as made:
            assert made.size == (240, 480)

    def test_what_pillow_cannot_decode_is_the_original_too(self, world: World) -> None:
        broken = MASTER[: len(MASTER) // 2]
        world.landed(world.stored("a.png", broken))
        assert world.picture(sha256(broken), size="thumbnail").content == broken


class TestHeaders:
    @pytest.mark.parametrize("path", ["/pictures", "/static/main.js", "/api/latest", "/nowhere", PATHS[2]])
    @pytest.mark.parametrize("who", ["ada", "nobody"])
    def test_every_answer_has_them_refusals_too(self, world: World, path: str, who: str) -> None:
        headers = world.get(path, who=who).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'self'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert "Cookie" in headers["vary"]

    def test_an_error_of_our_own_has_them_too(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        from fastapi.testclient import TestClient

        from airflow_provider_runflow.plugins import app as module
        from airflow_provider_runflow.plugins.pictures import LazyApp

        def broken() -> None:
            raise RuntimeError("a mistake")

        monkeypatch.setattr(module, "page", broken)
        monkeypatch.setattr(module.pages, "routes", [])
        module.pages.add_api_route("/pictures", broken)
        answer = TestClient(LazyApp(), raise_server_exceptions=False).get("/pictures")
        assert answer.status_code == 500
        assert "a mistake" not in answer.text
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"

    def test_page_and_scripts_hold_nothing_inline_and_load_nothing_from_elsewhere(self, world: World) -> None:
        page = world.get("/pictures").text
        assert "style=" not in page
        assert "<script>" not in page
        for name in (
            "main.js",
            "sheet.js",
            "card.js",
            "viewer.js",
            "filters.js",
            "api.js",
            "dom.js",
            "theme.js",
            "words.js",
        ):
            text = world.get(f"/static/{name}").text
            assert "innerHTML" not in text
            assert "://" not in text

    def test_a_path_cannot_leave_the_folder_of_scripts(self, world: World) -> None:
        for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static//etc/passwd"):
            assert world.get(path).status_code == 404


class TestTheSidecar:
    def test_it_is_told_without_what_it_should_not_hold(self, world: World) -> None:
        image = world.stored("a.png", MASTER)
        world.landed(image)
        told = {
            "model": "openai/gpt-image-2",
            "input": {"image_urls": ["https://example.test/a.png?X-Amz-Signature=abc"]},
            "image": image,
            "unknown": "x",
        }
        (world.bucket / "a.png.json").write_text(json.dumps(told))
        answer = world.get(f"/api/dags/{DAG_ID}/sidecars/{sha256(MASTER)}", run_id=RUN, task_id="hero")
        shown = answer.json()["sidecar"]
        assert shown == {"model": "openai/gpt-image-2", "input": {"image_urls": ["https://example.test/a.png"]}}

    def test_one_of_another_picture_is_none(self, world: World) -> None:
        world.landed(world.stored("a.png", MASTER))
        (world.bucket / "a.png.json").write_text(json.dumps({"image": {"sha256": "0" * 64}, "prompt": "x"}))
        answer = world.get(f"/api/dags/{DAG_ID}/sidecars/{sha256(MASTER)}", run_id=RUN, task_id="hero")
        assert answer.json() == {"sidecar": None}

    # How deep a JSON may nest is Python's to say: 3.12 parses and writes deeper than 3.11, never these.
    @pytest.mark.parametrize(
        "bad",
        ['{"a":' * 2_000 + "1" + "}" * 2_000, '{"a":' * 100_000 + "1" + "}" * 100_000, "NaN", "Infinity"],
        ids=["2,000 levels", "100,000 levels", "NaN", "Infinity"],
    )
    def test_one_that_nests_without_end_or_is_no_json_is_none(self, world: World, bad: str) -> None:
        image = world.stored("a.png", MASTER)
        world.landed(image)
        (world.bucket / "a.png.json").write_text(f'{{"image": {json.dumps(image)}, "input": {bad}}}')
        answer = world.get(f"/api/dags/{DAG_ID}/sidecars/{sha256(MASTER)}", run_id=RUN, task_id="hero")
        assert (answer.status_code, answer.json()) == (200, {"sidecar": None})


class TestAskingAgain:
    def test_an_unchanged_answer_is_a_304(self, world: World) -> None:
        world.landed(world.stored("a.png", MASTER))
        path, params = f"/api/dags/{DAG_ID}/pictures", {"run_id": RUN}
        first = world.clients["ada"].get(path, params=params)
        again = world.clients["ada"].get(path, params=params, headers={"If-None-Match": first.headers["etag"]})
        assert again.status_code == 304

    def test_thousands_come_in_pages(self, world: World) -> None:
        world.batch("cat", [row(f"k{n}", outcome="failed") for n in range(2500)])
        path = f"/api/dags/{DAG_ID}/pictures"
        pages, offset = [], 0
        while offset is not None:
            answer = world.get(path, run_id=RUN, offset=offset).json()
            pages.append(len(answer["cards"]))
            offset = answer["next"]
        assert pages == [1000, 1000, 500]
        assert answer["total"] == 2500
