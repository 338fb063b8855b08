# SPDX-License-Identifier: Apache-2.0
"""stores/object_storage.py: local folders and whatever else fsspec knows."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_runflow.exceptions import DestinationError
from airflow_provider_runflow.landing.store import NameTaken, Stat, Store
from airflow_provider_runflow.stores.object_storage import ObjectStorageStore
from tests.unit.landing.fakes import png, sha
from tests.unit.stores.fakes import BucketFileSystem, buckets

PICTURE = png(1)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "spool" / "0.part"
    path.parent.mkdir()
    path.write_bytes(PICTURE)
    return path


def put(store: Store, file: Path, name: str = "a.png", *, replace: bool = False) -> None:
    store.put_file(name, file, content_type="image/png", sha256=sha(file.read_bytes()), replace=replace)


@pytest.fixture
def attached() -> Iterator[None]:
    with buckets():
        yield


class TestALocalFolder:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return tmp_path / "out"

    @pytest.fixture
    def store(self, folder: Path) -> ObjectStorageStore:
        return ObjectStorageStore(str(folder))

    def test_is_made_when_it_is_missing(self, store: ObjectStorageStore, folder: Path) -> None:
        store.check()
        assert folder.is_dir()

    def test_is_asked_only_once(self, store: ObjectStorageStore, folder: Path) -> None:
        store.check()
        folder.rmdir()
        store.check()
        assert not folder.exists()

    def test_that_is_a_file_cannot_be_used(self, store: ObjectStorageStore, folder: Path) -> None:
        folder.write_text("in the way")
        with pytest.raises(DestinationError, match=rf"make file://{folder}/: FileExistsError"):
            store.check()

    def test_that_may_not_be_written_to_cannot_be_used(
        self, store: ObjectStorageStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "access", lambda *_: False)
        with pytest.raises(DestinationError, match="this worker's user may not write to the folder"):
            store.check()

    def test_holds_the_bytes_as_they_are_and_nothing_else(
        self, store: ObjectStorageStore, folder: Path, file: Path
    ) -> None:
        put(store, file, "sub/folder/a.png")
        assert (folder / "sub/folder/a.png").read_bytes() == PICTURE
        assert os.listdir(folder / "sub/folder") == ["a.png"]
        assert store.stat("sub/folder/a.png") == Stat(len(PICTURE), None)
        assert store.sha256("sub/folder/a.png") == sha(PICTURE)
        assert file.exists()

    def test_holds_files_that_others_may_read_as_far_as_the_umask_lets_them(
        self, store: ObjectStorageStore, folder: Path, file: Path
    ) -> None:
        mask = os.umask(0o022)
        try:
            put(store, file)
        finally:
            os.umask(mask)
        assert stat.S_IMODE((folder / "a.png").stat().st_mode) == 0o644

    def test_takes_a_plain_path_a_file_url_and_names_with_spaces(self, folder: Path, file: Path) -> None:
        store = ObjectStorageStore(f"file://{folder}/my pictures/")
        put(store, file, "a b.png")
        assert (folder / "my pictures" / "a b.png").exists()
        assert store.uri("a b.png") == f"file://{folder}/my pictures/a b.png"

    def test_knows_what_is_not_there(self, store: ObjectStorageStore) -> None:
        assert store.stat("a.png") is None
        assert store.read_json("a.json") is None
        with pytest.raises(DestinationError, match=r"read file:///.*/out/a\.png: there is no such object"):
            store.sha256("a.png")

    def test_gives_back_what_was_stored_with_its_hash(
        self, store: ObjectStorageStore, file: Path, tmp_path: Path
    ) -> None:
        put(store, file)
        assert store.get_file("a.png", tmp_path / "copy") == sha(PICTURE)
        assert (tmp_path / "copy").read_bytes() == PICTURE
        with pytest.raises(DestinationError, match=r"b\.png: there is no such object"):
            store.get_file("b.png", tmp_path / "copy")

    def test_a_taken_name_is_told_with_what_is_there_and_nothing_is_written(
        self, store: ObjectStorageStore, folder: Path, file: Path
    ) -> None:
        folder.mkdir()
        (folder / "a.png").write_bytes(b"other")
        with pytest.raises(NameTaken) as caught:
            put(store, file)
        assert caught.value.existing == Stat(5, None)
        assert (folder / "a.png").read_bytes() == b"other"

    def test_replace_overwrites(self, store: ObjectStorageStore, folder: Path, file: Path) -> None:
        folder.mkdir()
        (folder / "a.png").write_bytes(b"other")
        put(store, file, replace=True)
        assert (folder / "a.png").read_bytes() == PICTURE

    def test_of_two_writers_at_once_the_second_is_told(
        self, store: ObjectStorageStore, folder: Path, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = os.link

        def other_writer_wins(part: str, target: str) -> None:
            Path(target).write_bytes(b"other")
            real(part, target)

        monkeypatch.setattr(os, "link", other_writer_wins)
        with pytest.raises(NameTaken):
            put(store, file)
        assert (folder / "a.png").read_bytes() == b"other"
        assert os.listdir(folder) == ["a.png"]

    def test_a_file_system_without_hard_links_will_do(
        self, store: ObjectStorageStore, folder: Path, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: str) -> None:
            raise OSError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "link", refuse)
        put(store, file)
        assert os.listdir(folder) == ["a.png"]

    def test_an_interrupted_write_leaves_nothing(
        self, store: ObjectStorageStore, folder: Path, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: Any) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(DestinationError, match=r"write file:///.*/a\.png: OSError: .*No space left on device"):
            put(store, file)
        assert os.listdir(folder) == []

    def test_json_comes_back_and_replaces_what_was_there(self, store: ObjectStorageStore, folder: Path) -> None:
        store.put_json("a.json", {"n": 1})
        store.put_json("a.json", {"n": 2})
        assert store.read_json("a.json") == {"n": 2}
        assert os.listdir(folder) == ["a.json"]

    def test_a_folder_under_the_name_is_no_object_and_no_place(
        self, store: ObjectStorageStore, folder: Path, file: Path
    ) -> None:
        (folder / "a.png").mkdir(parents=True)
        assert store.stat("a.png") is None
        with pytest.raises(DestinationError, match=r"write file:///"):
            put(store, file)
        with pytest.raises(DestinationError, match=r"read file:///"):
            store.read_json("a.png")


@pytest.mark.usefixtures("attached")
class TestABucket:
    @pytest.fixture
    def store(self) -> ObjectStorageStore:
        return ObjectStorageStore("gs://brand/spring")

    def test_that_is_missing_is_never_made(self) -> None:
        with pytest.raises(DestinationError) as caught:
            ObjectStorageStore("gs://missing/x").check()
        assert str(caught.value) == ("gs://missing/x/: there is no bucket 'missing', or the connection may not see it")

    def test_that_exists_is_fine_even_without_the_prefix(self, store: ObjectStorageStore) -> None:
        store.check()

    def test_pictures_get_their_content_type(self, store: ObjectStorageStore, file: Path) -> None:
        put(store, file)
        assert list(BucketFileSystem.types.values()) == ["image/png"]
        assert store.sha256("a.png") == sha(PICTURE)
        assert store.stat("a.png") == Stat(len(PICTURE), None)

    @pytest.mark.parametrize("scheme", ["gs", "az"])
    def test_a_taken_name_is_told_and_replace_overwrites(self, scheme: str, file: Path) -> None:
        store = ObjectStorageStore(f"{scheme}://brand/spring")
        put(store, file)
        with pytest.raises(NameTaken):
            put(store, file)
        put(store, file, replace=True)

    def test_a_name_taken_between_look_and_write_is_told(
        self, store: ObjectStorageStore, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(store, file)
        answers = iter([None, Stat(5, None)])
        monkeypatch.setattr(store, "stat", lambda _: next(answers))
        with pytest.raises(NameTaken):
            put(store, file)

    def test_json_comes_back(self, store: ObjectStorageStore) -> None:
        store.put_json("a.json", {"n": 1})
        assert store.read_json("a.json") == {"n": 1}
        assert store.read_json("b.json") is None

    def test_errors_of_the_file_system_name_address_and_operation(
        self, store: ObjectStorageStore, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class HttpError(Exception):
            """As gcsfs raises: no OSError."""

        def refuse(*_: Any, **__: Any) -> None:
            raise HttpError("403 forbidden")

        monkeypatch.setattr(BucketFileSystem, "pipe_file", refuse)
        with pytest.raises(DestinationError, match=r"write gs://brand/spring/a.png: HttpError: 403 forbidden"):
            put(store, file)
        monkeypatch.setattr(BucketFileSystem, "info", refuse)
        with pytest.raises(DestinationError, match="look up the bucket of gs://brand/spring/: HttpError: 403"):
            store.check()
        with pytest.raises(DestinationError, match=r"look up gs://brand/spring/a.png: HttpError"):
            store.stat("a.png")
