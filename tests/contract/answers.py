# SPDX-License-Identifier: Apache-2.0
"""What a Runflow answered, kept as JSON: without keys, ids or presigned URLs."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from typing import Any

from airflow_provider_runflow.client.redact import strip_queries
from tests.contract.target import FOLDER, Target

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)


class Answers:
    """
    Of the emulator: those in the file are what it must answer; delete the file to have it written anew.
    Of the real service: written at every run, with when it was and with figures beside the answers.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._given: dict[str, dict[str, Any]] = {}
        self.expected: dict[str, Any] | None = None
        if not target.live and target.answers.exists():
            self.expected = {
                name: item["answer"] for name, item in json.loads(target.answers.read_text())["answers"].items()
            }

    def add(self, name: str, question: str, answer: Any, seen: dict[str, Any]) -> None:
        text = json.dumps({"question": question, "answer": answer, "seen": seen})
        text = UUID.sub("<id>", strip_queries(text).replace(self._target.key, "<key>"))
        item = json.loads(text)
        self._given[name] = item if self._target.live else {key: item[key] for key in ("question", "answer")}

    def answer(self, name: str) -> Any:
        return self._given[name]["answer"]

    def write(self) -> None:
        if self.expected is not None or not self._given:
            return
        head = {"runflow": self._target.name}
        if self._target.live:
            head["asked_at"] = datetime.now(timezone.utc).isoformat(timespec="seconds")
        text = json.dumps({**head, "answers": self._given}, indent=2, ensure_ascii=False)
        self._target.answers.write_text(f"{text}\n", encoding="utf-8")


def differences(live: dict[str, Any]) -> list[str]:
    """In words, where the real service answers otherwise than the emulator."""
    known = FOLDER / "answers-emulator.json"
    if not known.exists():
        return [f"nothing to compare with: `make test-integration` writes {known.name}"]
    emulated = json.loads(known.read_text(encoding="utf-8"))["answers"]
    return [
        f"{name}: Runflow {json.dumps(item['answer'])}, the emulator {json.dumps(emulated[name]['answer'])}"
        for name, item in live["answers"].items()
        if name in emulated
        and item["answer"] != emulated[name]["answer"]
        and not str(item["answer"]).startswith("not asked")
    ]
