# SPDX-License-Identifier: Apache-2.0
"""The items of a batch: where they come from, what is wrong with them, and what their pictures are called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import XComArg

from airflow_provider_runflow.exceptions import InvalidRequestError
from airflow_provider_runflow.manifest import read_manifest
from airflow_provider_runflow.operators.gpt_image_2 import GptImage2BatchOperator
from airflow_provider_runflow.operators.runflow import RunflowModelBatchOperator
from tests.harness import Outcome, in_dag
from tests.unit.operators.conftest import World, named
from tests.unit.stores.fakes import BucketFileSystem, buckets

NOTHING = "Nothing was submitted by this attempt, so it costs nothing."


def literal(requests: Any, **changes: Any) -> GptImage2BatchOperator:
    with in_dag():
        return GptImage2BatchOperator(
            task_id="hero", requests=requests, **{"destination": "s3://brand/heroes", **changes}
        )


def later(world: World, requests: Any, **changes: Any) -> Outcome:
    """Run a task whose items become known on the worker."""
    return world.run(world.batch("{{ params.campaign }}", native=True, params={"campaign": requests}, **changes))


WRONG: list[tuple[Any, dict[str, Any], str]] = [
    ([], {}, "requests: must not be empty; it has no items."),
    ({"key": "a"}, {}, "requests=\"{'key': 'a'}\": must be a list of items, each a mapping."),
    ([7], {}, "requests[0]: '7' must be a mapping."),
    ([{"prompt": "a cat"}], {}, "requests[0]: needs a key, or labels to make one of."),
    ([{"key": " ", "prompt": "a cat"}], {}, "requests[0] (' '): key=' ': must be 1-200 printable characters."),
    ([{"key": "x" * 201}], {}, f"requests[0] ('{'x' * 80}'): key='{'x' * 201}': must be 1-200 printable characters."),
    ([{"key": True}], {}, "requests[0] ('True'): key='True': must be a text or a number."),
    ([named("a"), named("b"), named("a")], {}, "requests[2]: key 'a' is that of requests[0], too."),
    (
        [{"labels": {"sku": 1}, "prompt": "one"}, {"labels": {"sku": "1"}, "prompt": "two"}],
        {},
        "requests[1]: key '1' is that of requests[0], too.",
    ),
    ([{"key": "a", "promt": "a cat"}], {}, "requests[0] ('a'): promt: no such field (did you mean prompt?)."),
    ([{"key": "a", "lables": {}}], {}, "requests[0] ('a'): lables: no such field (did you mean labels?)."),
    (
        [{"key": "a", "zzz": 1}],
        {},
        "requests[0] ('a'): zzz: no such field (an item takes key, labels, alt_text, variation, prompt, quality, "
        "num_images, image_size, output_format).",
    ),
    (
        [{"key": "a", "labels": {"my label": 1}}],
        {},
        "requests[0] ('a'): labels: 'my label' is no name; use letters, digits and _, so that a name pattern can hold "
        "it.",
    ),
    ([{"key": "a", "labels": ["x"]}], {}, "requests[0] ('a'): labels=['x']: must be a mapping of names to texts."),
    ([{"key": "a", "labels": {"x": []}}], {}, "requests[0] ('a'): labels.x='[]': must be a text or a number."),
    ([{"key": "a", "alt_text": float("nan")}], {}, "requests[0] ('a'): alt_text=nan: must be a text or a number."),
    (
        [{**named("a"), "quality": "ultra"}, named("b"), {**named("c"), "num_images": 11}],
        {},
        "Item 'a': openai/gpt-image-2: quality='ultra': must be 'low', 'medium' or 'high'. "
        "Item 'c': openai/gpt-image-2: num_images=11: must be at most 10.",
    ),
    ([{"key": "a"}], {}, "Item 'a': openai/gpt-image-2: prompt is required."),
    (
        [named("a"), named("b")],
        {"filename_pattern": "hero.{ext}"},
        "filename_pattern 'hero.{ext}' gives items 'a' and 'b' the same name 'hero.png'; put {key}, {request} or a "
        "label that differs in it.",
    ),
    (
        [{**named("a"), "labels": {"sku": "1"}}, named("b")],
        {"filename_pattern": "{sku}.{ext}"},
        "Item 'b': filename_pattern '{sku}.{ext}': unknown placeholder {sku}; It knows task_id, map_index, key, index, "
        "take, ext, runflow_run_id, request.",
    ),
    (
        [{**named("a"), "num_images": 2}],
        {"filename_pattern": "{key}.{ext}"},
        "Item 'a': filename_pattern '{key}.{ext}' gives all 2 pictures of a run the same name; put {index} in it.",
    ),
]


@pytest.mark.parametrize(("requests", "changes", "message"), WRONG)
def test_a_wrong_literal_list_is_an_error_when_the_dag_is_parsed(
    requests: Any, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        literal(requests, **changes)
    assert str(caught.value) == message


@pytest.mark.parametrize(("requests", "changes", "message"), WRONG)
def test_a_list_that_becomes_known_later_is_checked_before_any_request(
    world: World, requests: Any, changes: dict[str, Any], message: str
) -> None:
    outcome = later(world, requests, **changes)
    assert outcome.state == "failed"
    assert str(outcome.error).startswith(f"{message[:-1]}. {NOTHING}")
    assert not world.emulator.request_log


def test_of_very_many_mistakes_ten_are_told_and_the_rest_counted() -> None:
    with pytest.raises(InvalidRequestError, match=r"requests\[9\].* And 15 more\.$") as caught:
        literal([{"promt": "x", "key": str(number)} for number in range(25)])
    assert "requests[10]" not in str(caught.value)


class TestWrongParametersOfTheTask:
    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"max_in_flight": 0}, "max_in_flight=0: must be a whole number from 1 to 64."),
            ({"max_in_flight": 65}, "max_in_flight=65: must be a whole number from 1 to 64."),
            ({"max_in_flight": True}, "max_in_flight=True: must be a whole number from 1 to 64."),
            ({"requests_per_minute": 0}, "requests_per_minute=0: must be a number above 0, or None."),
            ({"requests_per_minute": "9"}, "requests_per_minute='9': must be a number above 0, or None."),
            ({"min_success": -1}, "min_success=-1: must be a number of items, or a share of them such as '95%'."),
            (
                {"min_success": "101%"},
                "min_success='101%': must be a number of items, or a share of them such as '95%', at most 100%.",
            ),
            ({"min_success": "all"}, "min_success='all': must be a number of items, or a share of them such as '95%'."),
            (
                {"min_success": 2},
                "min_success=2: must be a number of items, or a share of them such as '95%'; there are only 1 items.",
            ),
            (
                {"destination": None},
                "destination: a batch needs one (or [runflow] default_destination): its manifest lies there.",
            ),
            (
                {"tag_objects": True, "destination": "file:///srv/heroes"},
                "tag_objects: for S3 only, but the destination is 'file:///srv/heroes'.",
            ),
            ({"timeout": 0}, "timeout=0: must be a number of seconds or a timedelta, more than 0 and at most 30 days."),
        ],
    )
    def test_are_errors_when_the_dag_is_parsed(self, wrong: dict[str, Any], message: str) -> None:
        with pytest.raises(InvalidRequestError) as caught:
            literal([named("a")], **wrong)
        assert str(caught.value) == message

    def test_an_unknown_parameter_is_airflows_own_error(self) -> None:
        with pytest.raises(TypeError):
            literal([named("a")], max_inflight=3)


class TestKeys:
    def test_are_made_of_the_labels_alone_so_that_an_edited_prompt_keeps_its_name(self, world: World) -> None:
        item = {"labels": {"product": "cup", "locale": "de", "nr": 7}, "prompt": "a cup"}
        world.run(world.batch([item, {**item, "key": "other"}]))
        assert list(world.rows()) == ["cup_de_7", "other"]

    def test_are_texts_or_numbers(self, world: World) -> None:
        world.run(world.batch([{"key": 42, "prompt": "a cup", "variation": 2}]))
        row = world.rows()["42"]
        assert row["variation"] == "2"


class TestItemsAreData:
    TEXTS = ("{{ conn.payroll.password }}", "{% 20 off %}", "{{ 6 * 7 }}", "{#", "sale.prompt.j2")

    def test_texts_are_generated_letter_by_letter_and_read_nothing(self, world: World) -> None:
        items = [{"key": str(number), "prompt": text} for number, text in enumerate(self.TEXTS)]
        assert world.run(world.batch(items)).state == "success"
        assert {run.input["prompt"] for run in world.emulator.runs} == set(self.TEXTS)
        asked = {message.conn_id for message in world.airflow.messages if "Connection" in type(message).__name__}
        assert asked <= {"runflow_default"}

    def test_with_render_items_they_are_templates(self, world: World) -> None:
        item = {"labels": {"day": "{{ ds }}"}, "prompt": "a cup on {{ ds }}"}
        world.run(world.batch([item], render_items=True))
        assert list(world.rows()) == ["2026-03-02"]
        assert world.rows()["2026-03-02"]["prompt"] == "a cup on 2026-03-02"

    def test_the_tasks_own_parameters_are_templates_all_the_same(self, world: World) -> None:
        world.run(world.batch([{"key": "a"}], prompt="a cup on {{ ds }}"))
        assert world.rows()["a"]["prompt"] == "a cup on 2026-03-02"

    def test_inputs_of_any_model_are_data_too(self, world: World) -> None:
        task = world.operator_of(
            RunflowModelBatchOperator,
            model="openai/gpt-image-2",
            input={"quality": "low"},
            requests=[{"key": "a", "input": {"prompt": "{{ ds }}"}}],
        )
        assert world.run(task).state == "success"
        assert world.emulator.runs[0].input["prompt"] == "{{ ds }}"


class TestOutputsOfOtherTasks:
    def test_can_be_the_list(self, world: World) -> None:
        with in_dag() as dag:
            output = self.upstream([named("a"), named("b")])
            task = self.batch(world, output)
        assert dag.task_dict["hero"].upstream_task_ids == {"upstream"}
        world.airflow.run(dag.task_dict["upstream"])
        assert world.run(task).state == "success"
        assert list(world.rows()) == ["a", "b"]

    def test_can_stand_within_items_and_are_data(self, world: World) -> None:
        with in_dag() as dag:
            output = self.upstream("a {{ cup }}")
            task = self.batch(world, [{"key": "a", "prompt": output}, {"key": "b", "prompt": "{{ a dog }}"}])
        world.airflow.run(dag.task_dict["upstream"])
        assert world.run(task).state == "success"
        assert {row["key"]: row["prompt"] for row in world.rows().values()} == {"a": "a {{ cup }}", "b": "{{ a dog }}"}

    @staticmethod
    def upstream(value: Any) -> XComArg:
        from airflow.sdk import task

        @task
        def upstream() -> Any:
            return value

        return upstream()  # type: ignore[return-value]

    @staticmethod
    def batch(world: World, requests: Any) -> GptImage2BatchOperator:
        return GptImage2BatchOperator(
            task_id="hero",
            requests=requests,
            quality="low",
            destination=str(world.destination),
            deferrable=world.deferrable,
        )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of the DAG file."""
    made = tmp_path / "dags"
    made.mkdir()
    return made


def beside(world: World, folder: Path, path: str, **changes: Any) -> Outcome:
    task = world.batch(path, **changes)
    task.dag.fileloc = str(folder / "campaign.py")
    return world.run(task)


BRIEF = """
prompt: "a {product} for {market.name}"
axes:
  product: [cup, pot]
  market:
    - {id: de, name: Germany}
    - {id: fr, name: France}
"""


class TestFiles:
    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("items.jsonl", '{"key": "a", "prompt": "a cup"}\n\n{"key": "b", "prompt": "a pot"}\n'),
            ("items.ndjson", '{"key": "a", "prompt": "a cup"}\r\n{"key": "b", "prompt": "a pot"}\r\n'),
            ("items.json", '\ufeff[{"key": "a", "prompt": "a cup"}, {"key": "b", "prompt": "a pot"}]'),
            ("items.yaml", "- {key: a, prompt: a cup}\n- {key: b, prompt: a pot}\n"),
            ("deep/items.yml", "- {key: a, prompt: a cup}\n- {key: b, prompt: a pot}\n"),
        ],
    )
    def test_lie_beside_the_dag_file(self, world: World, folder: Path, name: str, text: str) -> None:
        (folder / "deep").mkdir()
        (folder / name).write_text(text, encoding="utf-8")
        assert beside(world, folder, name).state == "success"
        assert {row["key"]: row["prompt"] for row in world.rows().values()} == {"a": "a cup", "b": "a pot"}

    def test_a_line_ends_where_json_lines_says(self, world: World, folder: Path) -> None:
        text = "one\u2028two\x85three"
        (folder / "items.jsonl").write_text(
            json.dumps({"key": "a", "prompt": text}, ensure_ascii=False), encoding="utf-8"
        )
        assert beside(world, folder, "items.jsonl").state == "success"
        assert read_manifest(f"file://{world.destination}/manifest.jsonl")[0].prompt == text

    def test_a_yaml_mapping_is_a_brief(self, world: World, folder: Path) -> None:
        (folder / "spring.yaml").write_text(BRIEF)
        assert beside(world, folder, "spring.yaml", filename_pattern="{market}/{product}.{ext}").state == "success"
        assert list(world.rows()) == ["cup_de", "cup_fr", "pot_de", "pot_fr"]
        assert world.rows()["pot_fr"]["prompt"] == "a pot for France"
        assert sorted(path.relative_to(world.destination).as_posix() for path in world.destination.rglob("*.png")) == [
            "de/cup.png",
            "de/pot.png",
            "fr/cup.png",
            "fr/pot.png",
        ]

    def test_the_path_is_a_template(self, world: World, folder: Path) -> None:
        (folder / "2026-03-02.jsonl").write_text(json.dumps(named("a")))
        assert beside(world, folder, "{{ ds }}.jsonl").state == "success"

    def test_lie_in_object_storage(self, world: World) -> None:
        with buckets():
            BucketFileSystem().pipe_file("brand/items.jsonl", json.dumps(named("a")).encode())
            assert world.run(world.batch("gs://brand/items.jsonl")).state == "success"
        assert list(world.rows()) == ["a"]

    def test_of_a_workers_disk_are_read_only_where_that_is_allowed(
        self, world: World, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (folder / "items.json").write_text(json.dumps([named("a")]))
        address = f"file://{folder}/items.json"
        outcome = world.run(world.batch(address))
        assert outcome.state == "failed"
        assert str(outcome.error).startswith(f"requests: {address} is outside of [runflow] allowed_local_paths (empty)")
        monkeypatch.setenv("AIRFLOW__RUNFLOW__ALLOWED_LOCAL_PATHS", str(folder))
        assert world.run(world.batch(address)).state == "success"

    @pytest.mark.parametrize("path", ["../secrets.json", "/etc/items.json", "deep/../../secrets.json"])
    def test_may_not_leave_the_folder_of_the_dag_file(self, world: World, folder: Path, path: str) -> None:
        (folder.parent / "secrets.json").write_text("[]")
        outcome = beside(world, folder, path, retries=2)
        assert outcome.state == "failed"
        assert f"requests={path!r}: a path without a scheme is read beside the DAG file, and may not leave" in str(
            outcome.error
        )

    def test_a_link_out_of_the_folder_is_a_way_out_too(self, world: World, folder: Path) -> None:
        (folder.parent / "secrets.json").write_text("[]")
        (folder / "items.json").symlink_to(folder.parent / "secrets.json")
        assert "may not leave its folder" in str(beside(world, folder, "items.json").error)

    def test_that_are_not_there_yet_may_be_there_for_the_retry(self, world: World, folder: Path) -> None:
        outcome = beside(world, folder, "items.json", retries=1)
        assert outcome.state == "up_for_retry"
        assert "requests: items.json cannot be read (FileNotFoundError" in str(outcome.error)
        (folder / "items.json").write_text(json.dumps([named("a")]))
        assert world.retry(outcome).state == "success"

    @pytest.mark.parametrize(
        ("name", "text", "message"),
        [
            ("items.jsonl", '{"key": "a"}\n{"key": \n', "requests='items.jsonl': line 2: Expecting value"),
            ("items.json", "[{]", "requests='items.json': Expecting property name"),
            ("items.yaml", "- a: 1\n  b: [\n", "line 3"),
            ("items.yaml", "just a text", "requests='just a text': must be a list of items"),
            ("items.json", '{"key": "a"}', "must be a list of items, each a mapping"),
            ("items.jsonl", "", "requests: must not be empty"),
            ("items.json", b"\xff\xfe\x00", "requests='items.json': 'utf-8' codec can't decode"),
        ],
    )
    def test_that_are_damaged_say_where(
        self, world: World, folder: Path, name: str, text: str | bytes, message: str
    ) -> None:
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        outcome = beside(world, folder, name, retries=2)
        assert outcome.state == "failed"
        assert message in str(outcome.error)
        assert NOTHING in str(outcome.error)

    def test_of_another_kind_are_no_items(self, world: World, folder: Path) -> None:
        assert (
            "requests='items.csv': must be a list of items, or a path to a .jsonl, .ndjson, .json, .yaml, .yml file"
            in str(beside(world, folder, "items.csv").error)
        )


class TestNames:
    def test_labels_can_be_placeholders(self, world: World) -> None:
        items = [{"labels": {"sku": sku, "locale": "de"}, "prompt": sku * 3} for sku in ("cup", "pot")]
        world.run(world.batch(items, filename_pattern="{locale}/{sku}-{take}.{ext}"))
        assert world.files() == ["cup-1.png", "pot-1.png"]

    def test_a_name_that_another_picture_has_is_found_before_its_post(self, world: World) -> None:
        world.destination.mkdir(parents=True)
        (world.destination / "a.png").write_bytes(b"a foreign picture")
        outcome = world.run(world.batch(["a", "b"], filename_pattern="{key}.{ext}", retries=2))
        assert outcome.state == "failed"
        assert (world.posts, world.rows()["b"]["outcome"]) == (1, "succeeded")
        assert "is taken by another picture" in world.rows()["a"]["reason"]
        assert (world.destination / "a.png").read_bytes() == b"a foreign picture"

    def test_with_replace_it_is_overwritten(self, world: World) -> None:
        world.destination.mkdir(parents=True)
        (world.destination / "a.png").write_bytes(b"last week's picture")
        assert world.run(world.batch(["a"], filename_pattern="{key}.{ext}", replace=True)).state == "success"
        assert (world.destination / "a.png").read_bytes() != b"last week's picture"


class TestTags:
    @pytest.mark.parametrize(
        ("labels", "message"),
        [
            (
                {f"l{n}": "x" for n in range(11)},
                "Item 'a': tag_objects: 11 labels: S3 takes at most 10 tags an object.",
            ),
            (
                {"sku": "50% off"},
                "Item 'a': tag_objects: label sku='50% off': '%' cannot be in the value of a tag; S3 takes letters, "
                "digits, spaces and + - = . _ : / @",
            ),
            ({"sku": "x" * 257}, "Item 'a': tag_objects: label 'sku': the value of a tag has at most 256 characters."),
        ],
    )
    def test_that_s3_would_refuse_are_found_when_the_dag_is_parsed(self, labels: dict[str, str], message: str) -> None:
        with pytest.raises(InvalidRequestError) as caught:
            literal([{**named("a"), "labels": labels}], tag_objects=True)
        assert str(caught.value) == message

    def test_only_s3_has_them(self, world: World) -> None:
        outcome = world.run(
            world.batch(
                ["a"], destination="{{ params.there }}", params={"there": str(world.destination)}, tag_objects=True
            )
        )
        assert outcome.state == "failed"
        assert "tag_objects: for S3 only" in str(outcome.error)
        assert world.posts == 0
