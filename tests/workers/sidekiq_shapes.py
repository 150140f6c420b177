"""What each version of Sidekiq writes about itself, copied by hand from its source: keys, fields, forms.

Source, at the tag of each version: `❤` and `to_data` in lib/sidekiq/launcher.rb (the record, its keys and its
beat), `stats` in lib/sidekiq/processor.rb (the running jobs), `Process#quiet!` in lib/sidekiq/api.rb and the
signals of lib/sidekiq/cli.rb (the quiet), PROCTITLES (the title).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Info = Mapping[str, Any]

HOST, PID = "web1.example", 100
IDENTITY = f"{HOST}:{PID}:0a1b2c3d4e5f"
QUEUES = ["critical", "default"]
WEIGHTS = [{"critical": 2, "default": 1}]
CAPSULES = {
    "default": {"concurrency": 4, "mode": "strict", "weights": {"default": 0}},
    "urgent": {"concurrency": 1, "mode": "strict", "weights": {"critical": 0}},
}


def _oldest(_version: str) -> Info:
    return {
        "hostname": HOST,
        "started_at": 1_000_003.1234567,
        "pid": PID,
        "tag": "app",
        "concurrency": 5,
        "queues": QUEUES,
        "labels": [],
        "identity": IDENTITY,
    }


def _of_7_0_2(version: str) -> Info:
    return {**_oldest(version), "weights": {"critical": 1, "default": 1}, "version": version}


def _of_7_0_3(version: str) -> Info:
    return {**_of_7_0_2(version), "weights": WEIGHTS, "embedded": False}


def _of_8_0_9(version: str) -> Info:
    return {**_of_7_0_3(version), "capsules": CAPSULES}


def _of_8_1_2(version: str) -> Info:
    return {key: value for key, value in _of_8_0_9(version).items() if key != "concurrency"}


def _of_9_0_0(version: str) -> Info:
    """What 8.1 announces for 9.0."""
    return {key: value for key, value in _of_8_1_2(version).items() if key not in ("queues", "weights")}


@dataclass(frozen=True)
class Shape:
    """One version's way of writing."""

    version: str
    info: Callable[[str], Info] = _oldest
    beat_seconds: float = 5.0
    """How long it sleeps between two beats."""
    fields: tuple[str, ...] = ()
    """What stands in the hash beside info, busy, beat and quiet."""
    work_key: str = "workers"
    payload_is_text: bool = True
    """The job as the JSON text that was on the queue; else as an object."""
    quiet_signal: str = "TSTP"

    @property
    def title(self) -> str:
        return f"sidekiq {self.version} app [0 of 5 busy]"

    def keys(
        self, beat: float, jobs: Sequence[str], quiet: bool, busy: int | None = None
    ) -> Mapping[str, Any]:
        """The keys of one heartbeat; `jobs`: the running ones' classes; `busy`: what it says instead."""
        extra = {"rtt_us": "187", "rss": "182348", "concurrency": "5"}
        record = {
            "info": json.dumps(self.info(self.version)),
            "busy": str(len(jobs) if busy is None else busy),
            "beat": repr(beat),
            "quiet": "true" if quiet else "false",
            **{field: extra[field] for field in self.fields},
        }
        work = {f"tid{number}": self._entry(name) for number, name in enumerate(jobs)}
        found: dict[str, Any] = {"processes": {IDENTITY}, IDENTITY: record}
        if work:
            found[f"{IDENTITY}:{self.work_key}"] = work
        return found

    def _entry(self, name: str) -> str:
        job = {
            "class": name,
            "args": [1],
            "retry": True,
            "queue": "default",
            "jid": "b4a577edbccf1d805744efa9",
        }
        payload = json.dumps(job) if self.payload_is_text else job
        return json.dumps({"queue": "default", "payload": payload, "run_at": 1700000000})


MEASURED = ("rtt_us", "rss")

SHAPES = (
    Shape("4.2.8", payload_is_text=False, quiet_signal="USR1"),
    Shape("4.2.10", payload_is_text=False),
    Shape("5.2.9", payload_is_text=False),
    Shape("6.0.1", payload_is_text=False),
    Shape("6.0.3"),
    Shape("6.2.0", fields=MEASURED),
    Shape("6.5.0", fields=MEASURED, work_key="work"),
    Shape("7.0.0", fields=MEASURED, work_key="work", beat_seconds=10.0),
    Shape("7.0.2", _of_7_0_2, fields=MEASURED, work_key="work", beat_seconds=10.0),
    Shape("7.3.0", _of_7_0_3, fields=MEASURED, work_key="work", beat_seconds=10.0),
    Shape("8.0.0", _of_7_0_3, fields=MEASURED, work_key="work", beat_seconds=10.0),
    Shape("8.0.9", _of_8_0_9, fields=MEASURED, work_key="work", beat_seconds=10.0),
    Shape("8.1.2", _of_8_1_2, fields=(*MEASURED, "concurrency"), work_key="work", beat_seconds=10.0),
    Shape("8.1.7", _of_8_1_2, fields=(*MEASURED, "concurrency"), work_key="work", beat_seconds=10.0),
    Shape("9.0.0", _of_9_0_0, fields=(*MEASURED, "concurrency"), work_key="work", beat_seconds=10.0),
)
