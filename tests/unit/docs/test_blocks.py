# SPDX-License-Identifier: Apache-2.0
"""Every block of code in the pages runs, or is read by what it is written for; every link leads somewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.sdk import task

from airflow_provider_runflow import brief, exceptions, pictures
from airflow_provider_runflow.operators import flux, gpt_image_1_5, gpt_image_2, runflow
from airflow_provider_runflow.sensors import run_completion
from airflow_provider_runflow.transfers import runflow_to_object_storage, runflow_to_s3
from tests.harness import HAS_TASK_STATE_STORE, in_dag
from tests.unit.docs.pages import PAGES, ROOT, Block, anchors, blocks, kinds, links

MODULES = (
    brief,
    exceptions,
    flux,
    gpt_image_1_5,
    gpt_image_2,
    pictures,
    run_completion,
    runflow,
    runflow_to_object_storage,
    runflow_to_s3,
)
#: What a reader of a short example has imported, as the pages say in words.
IMPORTED = {
    name: value
    for module in MODULES
    for name, value in vars(module).items()
    if not name.startswith("_") and getattr(value, "__module__", "").startswith("airflow_provider_runflow")
}
#: Blocks that show what is *not* to be written, or a file of another project; each with its reason.
NOT_RUN = {
    "docs/migrating.md": "HttpOperator by hand, with its three dots: what this page is about leaving behind",
    "docs/emulator.md": "a conftest.py of the reader's",
}
READ = {"json": json.loads, "yaml": yaml.safe_load}
#: Read by people, or by other programs than Python's: nothing here can run them.
PROSE = {"", "console", "dockerfile", "text"}
MAKE = re.compile(r"\bmake ([a-z][a-z0-9-]*)")


@pytest.fixture
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The folder of a DAG file, with what lies beside it."""
    for name in ("spring.yaml", "brief.yaml", "product_variants.yaml"):
        (tmp_path / name).write_text((ROOT / "dags" / "product_variants.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    with in_dag():
        submit = gpt_image_2.GptImage2Operator(task_id="submitted", prompt="a cat", wait_for_completion=False)
        spring = gpt_image_2.GptImage2BatchOperator(
            task_id="made", requests=[{"key": "a", "prompt": "a cat"}], destination="s3://brand-assets"
        )
        yield {**IMPORTED, "task": task, "submit": submit, "spring": spring, "__file__": str(tmp_path / "a_dag.py")}


@pytest.mark.parametrize("block", blocks("py"), ids=str)
def test_a_block_of_python_runs(block: Block, surroundings: dict[str, Any]) -> None:
    if "retry_policy" in block.text and not HAS_TASK_STATE_STORE:
        pytest.skip("retry policies came with Airflow 3.3")
    exec(compile(block.text, str(block), "exec"), surroundings)


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_a_whole_file_of_python_runs_unless_it_says_why_not(block: Block) -> None:
    if str(block.page.relative_to(ROOT)) in NOT_RUN:
        compile(block.text, str(block), "exec")
        return
    exec(compile(block.text, str(block), "exec"), {"__name__": "a_dag_file"})


@pytest.mark.parametrize("block", blocks(*READ), ids=str)
def test_a_block_of_data_can_be_read(block: Block) -> None:
    assert READ[block.kind](block.text) is not None


def test_every_block_is_of_a_kind_that_is_looked_after() -> None:
    directives = {kind for kind in kinds() if kind.startswith("{")}
    assert kinds() - directives <= {"py", "python", *READ, *PROSE}
    assert {kind.split("}")[0] for kind in directives} <= {"{literalinclude", "{toctree", "{image", "{eval-rst"}


@pytest.mark.parametrize("block", [each for each in blocks("console") if "make" in each.text], ids=str)
def test_a_command_that_make_is_told_is_one_of_its_targets(block: Block) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in MAKE.findall(block.text):
        assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), target


def test_every_target_that_make_lists_is_named_in_contributing() -> None:
    makefile, told = (ROOT / "Makefile").read_text(), (ROOT / "CONTRIBUTING.md").read_text()
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):.* ## ", makefile, re.MULTILINE))
    assert {target for target in targets if not re.search(rf"\b{target}\b", told)} <= {"help", "setup", "clean"}


@pytest.mark.parametrize(
    ("page", "target"), links(), ids=lambda value: value.name if isinstance(value, Path) else value
)
def test_a_link_leads_somewhere(page: Path, target: str) -> None:
    if target.startswith("https://"):
        assert re.fullmatch(r"https://[\w.-]+\.[a-z]+(/\S*)?", target)
        return
    path, _, anchor = target.partition("#")
    file = (page.parent / path).resolve() if path else page
    assert file.exists(), f"{page.name} links to {target}"
    if anchor:
        assert anchor in anchors(file), f"{page.name} links to {target}; {file.name} has {sorted(anchors(file))}"


def test_every_page_is_in_the_index() -> None:
    docs = ROOT / "docs"
    listed = {line.strip() for index in docs.rglob("index.md") for line in index.read_text().splitlines()}
    for page in PAGES:
        if page.is_relative_to(docs) and page.name != "index.md":
            assert page.stem in listed, f"{page.name} is in no toctree"


def test_the_messages_of_the_errors_page_are_those_of_the_package() -> None:
    source = "".join(path.read_text() for path in (ROOT / "airflow_provider_runflow").rglob("*.py"))
    source = re.sub(r'"\s*\n\s*f?"', "", source)  # texts that go on in the next line
    rows = re.findall(r"^\| (`[^|]+) \|", (ROOT / "docs" / "errors.md").read_text(), re.MULTILINE)
    said = [piece.strip(" :,='") for row in rows for code in re.findall(r"`([^`]+)`", row) for piece in code.split("…")]
    pieces = [piece for piece in said if len(piece) >= 4 and not piece.startswith("HTTP ")]
    assert len(pieces) >= 20
    assert [piece for piece in pieces if piece not in source] == []
