"""VLMs as kinds of labelers and judges: at a server, or on this machine.

A new way to ask a VLM is a class of `VlmKind` and a row of `VLMS`. It is then a labeler and a judge.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from autointerp.errors import NotAvailable
from autointerp.hub import VISION_LANGUAGE_MODEL, newest_commit
from autointerp.labeling.asking.allowances import longest_answer
from autointerp.labeling.asking.chat import ChatClient, ChatOptions
from autointerp.labeling.asking.protocol import Asker
from autointerp.labeling.asking.server import address_of_environment
from autointerp.labeling.asking.templates import load_prompt
from autointerp.labeling.judging.fuzzing import FUZZING
from autointerp.labeling.judging.gain import Gain
from autointerp.labeling.judging.questions import TrialQuestion
from autointerp.labeling.judging.vlm_judge import JudgeOptions, VlmJudge
from autointerp.labeling.labelers.apart import DifferenceTeller, Teller
from autointerp.labeling.labelers.apart_judged import JudgedTeller, PhraseRanking
from autointerp.labeling.labelers.feature_messages import VlmOptions
from autointerp.labeling.labelers.vlm import VlmLabeler
from autointerp.labeling.setup import LabelerSetup, VlmSettings

if TYPE_CHECKING:
    from autointerp.labeling.asking.local_vlm import LocalVlm


class VlmKind(ABC):
    """A kind of VLM: how it is reached, what it is shown, and how many requests it answers at the same time.

    Attributes:
        tells_apart: Whether one reply about many pictures tells features of nearly the same name apart. Where it does
            not, its answers as a judge do, some hundred for each feature.
    """

    tells_apart: ClassVar[bool] = True

    @abstractmethod
    def make_asker(self, setup: LabelerSetup) -> Asker:
        """Make the VLM ready to be asked.

        Raises:
            NotAvailable: No model is named, or its key or weights are missing.
            AutointerpError: The model cannot be loaded.
        """

    def jobs(self, wanted: int) -> int:
        """Return the number of requests at the same time, given the number that the person wants."""
        return wanted

    def label_options(self, setup: LabelerSetup) -> VlmOptions:
        """Return how a feature is shown."""
        vlm = setup.vlm
        return VlmOptions(evidence=vlm.evidence, mark=vlm.mark, sheet=vlm.sheet)

    def judge_options(self, setup: LabelerSetup, question: TrialQuestion) -> JudgeOptions:
        """Return how trials are shown.

        Raises:
            NotAvailable: The VLM does not answer such questions.
        """
        del question
        return JudgeOptions(batch=setup.vlm.judge_batch, mark=setup.vlm.mark, sheet=setup.vlm.sheet)

    def make_labeler(self, setup: LabelerSetup) -> VlmLabeler:
        """See `LabelerKind`."""
        options = replace(
            self.label_options(setup),
            notes=setup.notes(),
            candidates=setup.vlm.candidates,
            clusters=setup.vlm.clusters,
        )
        asker = self.make_asker(setup)
        judge = self.make_judge(setup, FUZZING, asker) if options.candidates > 1 else None
        vectors = setup.windows if options.clusters > 1 and setup.has_embedder else None
        prompt, repair = (load_prompt(name, setup.prompts_dir) for name in ("label.md.j2", "repair.md.j2"))
        return VlmLabeler(asker, options, self.jobs(setup.vlm.jobs), prompt, repair, judge, vectors)

    def make_teller(self, setup: LabelerSetup, asker: Asker, said: Callable[[], Sequence[str]]) -> Teller:
        """Make what tells features of nearly the same name apart, by a labeler's VLM.

        Args:
            setup: The command's frame.
            asker: The labeler's VLM.
            said: Returns what may be said of a difference (`proposals`), where a judge is asked about it.
        """
        if not self.tells_apart:
            question = Gain().question
            assert question is not None
            judge = self.make_judge(setup, question, asker)
            return JudgedTeller(judge, PhraseRanking(said(), setup.windows))
        options = replace(self.label_options(setup), notes=setup.notes())
        prompt, repair = (load_prompt(name, setup.prompts_dir) for name in ("apart.md.j2", "repair.md.j2"))
        return DifferenceTeller(asker, options, self.jobs(setup.vlm.jobs), prompt, repair)

    def make_judge(self, setup: LabelerSetup, question: TrialQuestion, asker: Asker | None = None) -> VlmJudge:
        """See `JudgeKind`."""
        options = self.judge_options(setup, question)
        prompt, repair = (load_prompt(name, setup.prompts_dir) for name in (question.prompt, "repair.md.j2"))
        asker = asker or self.make_asker(setup)
        return VlmJudge(asker, options, self.jobs(setup.vlm.jobs), question, prompt, repair)


class RemoteVlmKind(VlmKind):
    """A VLM at a Chat Completions server."""

    @override
    def make_asker(self, setup: LabelerSetup) -> ChatClient:
        """Make a client of the server; no request is made yet."""
        vlm = setup.vlm
        model = named_model(setup, "vlm")
        limits = ChatOptions(
            max_tokens=vlm.max_tokens,
            timeout=vlm.timeout,
            max_calls=vlm.max_calls,
            max_cost=vlm.max_cost,
            prices=vlm.prices,
        )
        address = vlm.base_url
        if not address and (address := address_of_environment()):
            setup.note(f"asking {address}, because OPENAI_BASE_URL is set and there is no --base-url")
        return ChatClient(model, address, vlm.api_key_env, setup.ledger(), limits)


class LocalVlmKind(VlmKind):
    """A VLM of transformers on this machine."""

    @override
    def make_asker(self, setup: LabelerSetup) -> Asker:
        """Find the model; it is loaded by the first request."""
        from autointerp.labeling.asking.deferred import DeferredVlm
        from autointerp.labeling.asking.local import LocalChat

        vlm, name = setup.vlm, named_model(setup, "local-vlm")
        commit = None if Path(name).is_dir() else newest_commit(name, VISION_LANGUAGE_MODEL, vlm.local_files_only)
        known = name if commit is None else f"{name}@{commit[:12]}"
        deferred = DeferredVlm(known, lambda: _loaded(name, commit, vlm), setup.note)
        longest = vlm.max_tokens or longest_answer(name)
        return LocalChat(deferred, "local-vlm", setup.ledger(), vlm.jobs, longest, vlm.max_calls)

    @override
    def jobs(self, wanted: int) -> int:
        """Return two batches, so that one is prepared while the other is answered."""
        return 2 * wanted

    @override
    def label_options(self, setup: LabelerSetup) -> VlmOptions:
        """Return the settings; pictures stay in this process."""
        return replace(super().label_options(setup), image_format="pixels")

    @override
    def judge_options(self, setup: LabelerSetup, question: TrialQuestion) -> JudgeOptions:
        """Return the settings; pictures stay in this process."""
        return replace(super().judge_options(setup, question), image_format="pixels")


def _loaded(name: str, revision: str | None, vlm: VlmSettings) -> LocalVlm:
    """Load a model of transformers as the settings say.

    Raises:
        AutointerpError: It cannot be loaded, or this machine lacks the device.
    """
    from autointerp.diffusion.devices import pick_device, pick_dtype
    from autointerp.labeling.asking.local_vlm import LocalVlm

    device = pick_device(vlm.device)
    dtype = pick_dtype(vlm.dtype, device, wide=True)
    return LocalVlm.load(name, device=device, dtype=dtype, revision=revision, local_files_only=vlm.local_files_only)


def named_model(setup: LabelerSetup, kind: str) -> str:
    """Return the model that the person names.

    Raises:
        NotAvailable: None is named.
    """
    if not setup.vlm.model:
        raise NotAvailable(
            f"no model is named for the labeler {kind}", "give --vlm MODEL, or set `vlm` in autointerp.toml"
        )
    return setup.vlm.model


REMOTE_VLM = RemoteVlmKind()
LOCAL_VLM = LocalVlmKind()
