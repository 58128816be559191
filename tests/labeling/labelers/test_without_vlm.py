"""Every labeler that asks no VLM says so in the same way."""

from __future__ import annotations

import pytest

from autointerp.labeling.labelers.clip import ClipLabeler
from autointerp.labeling.labelers.given import GivenLabeler
from autointerp.labeling.labelers.grounded import GroundedLabeler
from autointerp.labeling.labelers.prompts import PromptsLabeler
from autointerp.labeling.labelers.without_vlm import WithoutVlm
from autointerp.labeling.labelers.words import WordsLabeler


@pytest.mark.parametrize("labeler", [ClipLabeler, GivenLabeler, GroundedLabeler, PromptsLabeler, WordsLabeler])
def test_nothing_is_asked(labeler: type[WithoutVlm]) -> None:
    assert (labeler.base_url, labeler.asker, labeler.stopped) == ("", None, "")
    assert labeler.streams == (labeler in (GroundedLabeler, WordsLabeler))
