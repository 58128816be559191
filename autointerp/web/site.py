"""The site: one workspace as the pages see it, opened once and shared by all requests."""

from __future__ import annotations

import threading
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from autointerp.errors import AutointerpError
from autointerp.project.context import Context
from autointerp.project.workspace import WorkspaceFolder, settings_stamp
from autointerp.version import VERSION
from autointerp.views.catalogs import Catalogs
from autointerp.web import words
from autointerp.web.guard import Access
from autointerp.web.links import feature_link, with_query
from autointerp.web.notes import CollectedNotes

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

    from autointerp.views.catalog import FeatureCatalog
    from autointerp.views.known_truths import KnownTruths
    from autointerp.views.truth_list import TruthLists
    from autointerp.web.searching import SearchDesk
    from autointerp.web.uploads import UploadedPictures
    from autointerp.web.workers.worker import Ticket, Worker


_PATIENCE = 15.0
"""Seconds that a picture has to end after it was stopped. A large model may be in the middle of a step."""


class ViewSite:
    """A workspace with what its pages share.

    Args:
        ctx: The workspace; its progress becomes the site's own.
        access: Who may ask, and for what.

    Attributes:
        catalogs: The lists of features.
        changing: Held while a page changes something, so that two requests of one person do not meet.
    """

    def __init__(self, ctx: Context, access: Access | None = None) -> None:
        self.access = access or Access()
        self.notes = CollectedNotes()
        self.changing, self._renewing = threading.Lock(), threading.Lock()
        self._stamp = settings_stamp(ctx.workspace.path)
        self._show(ctx)

    def _show(self, ctx: Context) -> None:
        """Show a workspace, in place of what it was before."""
        ctx.progress = self.notes
        ctx.workspace.on_wait = self.notes.note
        # The guard refuses what would change something; SQLite refuses it once more.
        if self.access.read_only and ctx.db.is_sqlite:
            ctx.db.forbid_writing()
        # A process that runs would have the variable that holds the key from now on.
        if "painter" in self.__dict__ and ctx.settings.api_key_env != self._ctx.settings.api_key_env:
            self.__dict__.pop("painter").close()
        self._ctx: Context = ctx
        self.catalogs = Catalogs(ctx.db)
        for name in ("desk", "truths", "truth_lists"):
            self.__dict__.pop(name, None)

    @property
    def ctx(self) -> Context:
        """The workspace, opened anew where its settings were changed; as it was where they cannot be read."""
        path = self._ctx.workspace.path
        if settings_stamp(path) != self._stamp:
            with self._renewing:
                if (stamp := settings_stamp(path)) != self._stamp:
                    self._stamp = stamp
                    with suppress(AutointerpError):
                        self._show(Context(WorkspaceFolder(path)))
        return self._ctx

    @cached_property
    def desk(self) -> SearchDesk:
        """What answers searches."""
        from autointerp.web.searching import SearchDesk

        return SearchDesk(self.ctx, self.notes, self.access.read_only)

    @cached_property
    def pictures(self) -> UploadedPictures:
        """The pictures that people dropped on a page."""
        from autointerp.web.uploads import UploadedPictures

        return UploadedPictures()

    @cached_property
    def truths(self) -> KnownTruths:
        """The truths of features, where `evaluate` found them."""
        from autointerp.views.known_truths import KnownTruths

        return KnownTruths(self.ctx)

    @cached_property
    def truth_lists(self) -> TruthLists:
        """The features of each dictionary by what their names are beside the truth."""
        from autointerp.views.truth_list import TruthLists

        return TruthLists(self.truths)

    @cached_property
    def painter(self) -> Worker:
        """The process that generates and reads pictures. It needs no key of a remote model, and gets none."""
        from autointerp.web.workers.worker import Worker

        return Worker(self.ctx.workspace.path, patience=_PATIENCE, without=(self.ctx.settings.api_key_env,))

    @cached_property
    def clerk(self) -> Worker:
        """The process that does jobs, such as labeling, while the painter goes on."""
        from autointerp.web.workers.worker import Worker

        return Worker(self.ctx.workspace.path)

    def ticket(self, ticket_id: str) -> tuple[Worker, Ticket]:
        """Find a ticket and the worker that has it.

        Raises:
            UsageError: There is no such ticket any more.
        """
        worker = self.painter if self.painter.knows(ticket_id) else self.clerk
        return worker, worker.find(ticket_id)

    def ticket_line(self, worker: Worker, ticket: Ticket) -> dict[str, Any]:
        """Return how far a ticket is, as pages are told."""
        # The worker's thread goes on meanwhile, and sets the state last: what is read after it is as new at least.
        state = ticket.state
        progress = {key: self.public(it) if isinstance(it, str) else it for key, it in ticket.progress.items()}
        return {
            "id": ticket.id,
            "task": ticket.task,
            "state": state,
            "before": worker.place(ticket),
            "progress": progress or None,
            "notes": [self.public(note) for note in ticket.notes],
            "error": self.public(ticket.error),
            "hint": self.public(ticket.hint),
            "value": ticket.value if state == "done" else None,
            "files": sorted(ticket.files),
        }

    def close(self) -> None:
        """End the worker processes. What they have finished is kept."""
        for name in ("painter", "clerk"):
            if name in self.__dict__:
                self.__dict__[name].close()

    @property
    def catalog(self) -> FeatureCatalog:
        """The list of all features with the labels that count."""
        return self.catalogs.get()

    @property
    def name(self) -> str:
        """The name of the workspace: that of its folder."""
        return self.ctx.workspace.path.absolute().name

    def public(self, text: str) -> str:
        """Return a message without the paths of this machine."""
        return words.public(text, self.ctx.workspace.path)

    def render(self, template: str, **values: Any) -> str:
        """Return a page, in which every value is escaped."""
        return self._templates.get_template(template).render(site=self, **values)

    @cached_property
    def _templates(self) -> Environment:
        from jinja2 import Environment, PackageLoader, StrictUndefined

        from autointerp.export.gallery import visible

        templates = Environment(
            loader=PackageLoader("autointerp.web"),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=StrictUndefined,
        )
        templates.globals.update(feature_link=feature_link, with_query=with_query, version=VERSION)
        templates.filters.update(
            visible=visible,
            percent=words.percent,
            figure=words.figure,
            short=words.short,
            thousands=words.thousands,
            money=words.money,
            script=_script,
            model_name=words.model_name,
        )
        return templates


def _script(value: Any) -> Markup:
    """Return a value as JSON for a script of data; it is escaped for a script, where entities mean nothing."""
    from markupsafe import Markup

    from autointerp.export.gallery import script_json

    return Markup(script_json(value))  # noqa: S704
