"""Requests that are put aside fill files, each within the limits of a batch."""

from __future__ import annotations

import json
from contextlib import closing

from autointerp.labeling.asking.limits import Reservation
from autointerp.stages.label import request_files
from autointerp.stages.label.request_files import RequestFiles

HELD = Reservation(0, 0.0)


def fill(folder, count):
    with closing(RequestFiles(folder, {"old": "refused"})) as files:
        for number in range(count):
            assert not files.has(str(number))
            files.put(str(number), "label", {"model": "m", "n": number}, HELD)
            assert files.has(str(number))
    return files


def test_each_request_is_a_line(tmp_path):
    files = fill(tmp_path, 3)
    (file,) = files.files
    assert file.purposes == {"0": "label", "1": "label", "2": "label"}
    lines = [json.loads(line) for line in file.path.read_text().splitlines()]
    assert [(line["custom_id"], line["body"]["n"]) for line in lines] == [("0", 0), ("1", 1), ("2", 2)]
    assert {(line["method"], line["url"]) for line in lines} == {("POST", "/v1/chat/completions")}
    assert files.held == dict.fromkeys("012", HELD)


def test_files_are_cut_by_requests_and_by_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(request_files, "MOST_REQUESTS", 2)
    assert [len(file.purposes) for file in fill(tmp_path, 5).files] == [2, 2, 1]
    size = max(file.path.stat().st_size for file in fill(tmp_path, 1).files)
    monkeypatch.setattr(request_files, "MOST_BYTES", size)
    files = fill(tmp_path, 3).files
    assert [len(file.purposes) for file in files] == [1, 1, 1]
    assert all(file.path.stat().st_size <= size for file in files)


def test_earlier_failures_are_known(tmp_path):
    files = fill(tmp_path, 0)
    assert files.files == []
    assert files.failed("old") == "refused"
    assert files.failed("new") == ""
