# SPDX-License-Identifier: Apache-2.0
"""The journal on Airflow 3.3's task state store."""

from __future__ import annotations

import hashlib
from typing import Any

from airflow_provider_runflow.compat import never_expire, task_state_store
from airflow_provider_runflow.exceptions import JournalError
from airflow_provider_runflow.runs.journal import Journal, NoJournal, Record, newest_first
from airflow_provider_runflow.stores.task_state_log import said


class TaskStateJournal:
    """
    Records in ``context["task_state_store"]``, kept as long as the DAG run: the intent, and the run that came of it.

    :param store: the accessor; scoped by Airflow to DAG run, task and map index, and shared by all tries.
    """

    remembers = True

    def __init__(self, store: Any) -> None:
        self._store = store

    def read(self, slot: str) -> list[Record]:
        """
        Return a slot's records, the one that counts first.

        :raises JournalError: when the store does not answer, or the record is damaged.
        """
        return newest_first(self._read(_key("run", slot)), self._read(_key("intent", slot)))

    def _read(self, key: str) -> Record | None:
        try:
            value = self._store.get(key)
        except Exception as error:
            raise JournalError(
                f"Airflow's task state store could not be read ({said(error)}). Nothing was submitted."
            ) from error
        return None if value is None else Record.from_json(value)

    def write(self, slot: str, record: Record) -> None:
        """
        Replace a slot's record.

        :raises JournalError: unless the store took it.
        """
        value = record.to_json()
        try:
            self._store.set(_key("run" if record.is_bought else "intent", slot), value, retention=never_expire())
        except Exception as error:
            raise JournalError(f"Airflow's task state store refused to write ({said(error)})") from error


def open_journal(context: Any) -> Journal:
    """Return the journal that this Airflow offers."""
    store = task_state_store(context)
    return NoJournal() if store is None else TaskStateJournal(store)


def _key(kind: str, slot: str) -> str:
    # The one request of a task instance needs no name; several are told apart by a hash, since keys are short.
    return f"runflow.{kind}.{hashlib.sha256(slot.encode()).hexdigest()[:16]}" if slot else f"runflow.{kind}"
