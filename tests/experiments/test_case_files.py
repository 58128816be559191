"""Files of cases in both forms of RIEBench, and what is said of those that are none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from autointerp.errors import AutointerpError, UsageError
from autointerp.experiments.case_files import CaseFile

CAT = {
    "id": "111000000006", "editing_type_id": "1", "original_prompt": "[cat] on the roof at night",
    "editing_prompt": "[dog] on the roof at night", "editing_instruction": "Make the cat a dog",
    "original_gsam_prompt": "cat", "editing_gsam_prompt": "dog",
}  # fmt: skip
HAT = {
    "id": "212000000000", "editing_type_id": "2", "original_prompt": "mozart portrait",
    "editing_prompt": "mozart [with hat] portrait", "editing_instruction": "Add hat", "edit_source": "mozart",
    "edit_target": "hat", "is_good": True, "corrections": "",
}  # fmt: skip


def read(tmp_path: Path, *cases: Any) -> CaseFile:
    file = tmp_path / "cases.json"
    file.write_text(json.dumps(list(cases)), encoding="utf-8")
    return CaseFile.read(file)


def test_both_forms_are_read_and_kinds_take_turns(tmp_path: Path) -> None:
    found = read(tmp_path, CAT, {**CAT, "id": "2", "seed": 7, "mask": "m.png"}, HAT)
    first, second, third = found.cases(1)
    assert (first.kind, first.source, first.target) == (
        "change object",
        *(f"{x} on the roof at night" for x in ("cat", "dog")),
    )
    assert (second.kind, second.source_phrase, second.target_phrase) == ("add object", "mozart", "hat")
    assert (third.key, third.seed) == ("2", 7)
    assert found.masks == {"2": tmp_path / "m.png"}
    assert first.seed != second.seed
    assert found.cases(1) == found.cases(1)
    assert found.cases(2)[0].seed != first.seed


def test_a_case_a_line_and_cases_that_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "cases.jsonl"
    same = {**CAT, "id": "3", "editing_prompt": "cat [on] the roof at night"}
    file.write_text("\n".join(map(json.dumps, (CAT, {**HAT, "is_good": False}, same))), encoding="utf-8")
    found = CaseFile.read(file)
    assert [case.key for case in found.rows] == [CAT["id"]]
    assert [note.partition(" of ")[0] for note in found.notes] == ["1 cases", "1 cases"]


@pytest.mark.parametrize(
    ("cases", "says"),
    [
        ([{**CAT, "edit_promt": "x"}], "case 1 has an unknown field 'edit_promt'.*did you mean"),
        ([{key: value for key, value in CAT.items() if key != "editing_prompt"}], "has no field 'editing_prompt'"),
        ([{**CAT, "editing_type_id": "12"}], "editing_type_id is '12': kinds are 1 .change object"),
        ([CAT, CAT], "two cases have the id 111000000006"),
        ([CAT, "cat"], "case 2 is no object with fields"),
        ([{**CAT, "seed": "x"}], "case 1: seed is 'x'"),
        ([{**CAT, "is_good": False}], "has no case"),
    ],
)
def test_what_is_no_case_is_said_in_a_line(tmp_path: Path, cases: list[Any], says: str) -> None:
    with pytest.raises(UsageError, match=says) as error:
        read(tmp_path, *cases)
    assert "\n" not in str(error.value)


def test_what_is_no_file_of_cases(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("[{", encoding="utf-8")
    with pytest.raises(AutointerpError, match="is no JSON: .*line 1"):
        CaseFile.read(tmp_path / "bad.json")
    with pytest.raises(AutointerpError, match="cannot be read"):
        CaseFile.read(tmp_path)
    with pytest.raises(AutointerpError, match="the mask .*nowhere.png cannot be read"):
        read(tmp_path, {**CAT, "mask": "nowhere.png"}).masks_hash()
