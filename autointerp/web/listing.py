"""Lists of features by the query of an address: filters, order and question, the same for pages and for the API."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from fastapi import Query

from autointerp.errors import UsageError, nearest
from autointerp.project.labeler_names import chosen_labelers
from autointerp.project.targets import find_feature
from autointerp.views.catalog import SORTS, CatalogFilters, FeatureCatalog
from autointerp.views.listed import ListedFeature, read_listed
from autointerp.views.score_floor import ScoreFloor, read_floor
from autointerp.views.search.question import SearchQuestion
from autointerp.views.search.route import check_routes
from autointerp.views.search.scope import SearchFilters, searched_dictionaries
from autointerp.views.truth_list import KINDS, BesideTruth, TruthPlaces

if TYPE_CHECKING:
    from autointerp.web.site import ViewSite

PAGE = 48
"""Features of a list at a time."""
_MOST = 200
"""Features at a time at most, and hits of a search."""
_PATIENCE = 2.0
"""Seconds that a list waits for verdicts. A few hundred take less."""
KEYS = (
    *("q", "like", "picture", "route", "layer", "dictionary", "labeler", "state", "status"),
    *("min_score", "step", "density", "min_doubt", "truth", "sort", "queue"),
)
"""The keys of a list's address that lead from page to page."""


@dataclass(frozen=True)
class ListQuery:
    """The query of a list's address. What is empty filters nothing.

    FastAPI reads the types of its fields, so this module's annotations are no strings.

    Raises:
        UsageError: A score or density cannot be read. Raised by `filters` and `floor`.
    """

    q: Annotated[str, Query(max_length=1000, description="a concept to search for")] = ""
    like: Annotated[str, Query(max_length=500, description="find what is like this feature, DICTIONARY:INDEX")] = ""
    picture: Annotated[str, Query(max_length=64, description="find what fits an uploaded picture")] = ""
    route: Annotated[str, Query(max_length=20, description="words, labels, crops, decoder, or all")] = ""
    layer: Annotated[str, Query(max_length=500, description="only the layer's newest dictionary")] = ""
    dictionary: Annotated[str, Query(max_length=500)] = ""
    labeler: Annotated[str, Query(max_length=500, description="only what this labeler named, by its names")] = ""
    state: Annotated[str, Query(max_length=20, description="live, dead or dense")] = ""
    status: Annotated[str, Query(max_length=20, description="ok, uninterpretable, failed or unlabeled")] = ""
    min_score: Annotated[str, Query(max_length=40, description="METHOD=X; X alone is detection, else embedding")] = ""
    step: Annotated[int | None, Query(ge=0, description="only features that fire most at this step")] = None
    density: Annotated[str, Query(max_length=60, description="A:B, shares of cells")] = ""
    min_doubt: Annotated[float | None, Query(ge=0, le=1)] = None
    truth: Annotated[str, Query(max_length=20, description=f"beside the truth (shapes): {', '.join(KINDS)}")] = ""
    sort: Annotated[str, Query(max_length=20, description=", ".join(SORTS))] = ""
    queue: Annotated[str, Query(max_length=1, description="1 opens features for naming by hand")] = ""
    after: Annotated[str, Query(max_length=500, description="the feature after which to go on")] = ""
    limit: Annotated[int, Query(ge=1, le=_MOST)] = PAGE
    names: Annotated[str, Query(max_length=1, description="1 lists of each name the first feature alone")] = ""

    @property
    def scope(self) -> SearchFilters:
        """What a search is bounded to."""
        return SearchFilters(
            layer=self.layer or None,
            dictionary=self.dictionary or None,
            labeler=self.labeler or None,
            min_score=self.floor,
            state=self.state or None,
            step=self.step,
            density=self.span,
        )

    @property
    def is_search(self) -> bool:
        """Whether the list is what a search finds."""
        return bool(self.q.strip() or self.like or self.picture)

    @property
    def order(self) -> str:
        """One of `SORTS`."""
        return self.sort or "number"

    @property
    def floor(self) -> ScoreFloor | None:
        """The least score."""
        return read_floor(self.min_score)

    @property
    def span(self) -> tuple[float, float] | None:
        """The range of densities."""
        if not self.density:
            return None
        low, colon, high = self.density.partition(":")
        try:
            span = (float(low or 0), float(high or 1))
        except ValueError:
            span = (1.0, 0.0)
        if not colon or not 0 <= span[0] <= span[1] <= 1:
            raise UsageError(f"{self.density!r} is no span of shares", "write A:B, from 0 to 1, e.g. 0.001:0.1")
        return span

    def link(self, **changes: Any) -> dict[str, Any]:
        """Return the query of a list that differs from this one."""
        return {key: getattr(self, key) for key in KEYS} | changes


@dataclass(frozen=True)
class ListedPage:
    """A part of a list.

    Attributes:
        features: The features.
        total: How many the whole list has.
        next: The feature after which to go on; None at the end.
        notes: What is to be said of a search.
        truths: What each feature is beside its truth; None where none is known.
    """

    features: list[ListedFeature]
    total: int
    next: str | None
    notes: list[str]
    truths: list[BesideTruth | None]

    def as_dict(self) -> dict[str, Any]:
        """Return the answer of `/api/features`."""
        pictures: dict[int, list[Any]] = {}
        for one in self.features:
            pictures |= one.pictures
        return {
            "features": [
                one.as_dict() | ({} if beside is None else beside._asdict())
                for one, beside in zip(self.features, self.truths, strict=True)
            ],
            "pictures": pictures,
            "total": self.total,
            "next": self.next,
            "notes": self.notes,
        }


class ListScope(NamedTuple):
    """What a list is chosen from: the catalog, the conditions, and what is to be said of them."""

    catalog: FeatureCatalog
    filters: CatalogFilters
    notes: list[str]


def scope_of(site: "ViewSite", query: ListQuery) -> ListScope:
    """Return what the list of a query is chosen from.

    Raises:
        UsageError: A name in it does not exist.
    """
    labelers = chosen_labelers(site.ctx, query.labeler or None)
    dictionaries = None
    if query.dictionary or query.layer:
        wanted = SearchFilters(layer=query.layer or None, dictionary=query.dictionary or None)
        dictionaries = [row.id for row in searched_dictionaries(site.ctx, wanted)]
    filters = CatalogFilters(
        dictionaries=dictionaries,
        state=query.state or None,
        status=query.status or ("ok" if query.labeler else None),
        min_score=query.floor,
        step=query.step,
        density=query.span,
        min_doubt=query.min_doubt,
    )
    catalog = site.catalogs.get(labelers)
    if not query.truth:
        return ListScope(catalog, filters, [])
    found = _of_truth(site, query.truth, catalog, dictionaries)
    left = found.total - found.done
    notes = [f"{left:,} names are still held against the truth: load the page again for their features"] if left else []
    return ListScope(catalog, replace(filters, places=found.places), notes)


def _of_truth(site: "ViewSite", kind: str, catalog: FeatureCatalog, dictionaries: list[int] | None) -> TruthPlaces:
    """Return the features of a kind; while verdicts are found, wait for them a moment.

    Raises:
        UsageError: There is no such kind.
    """
    if kind not in KINDS:
        raise UsageError(f"there is no kind {kind!r}", nearest(kind, KINDS))
    found = site.truth_lists.of_kind(kind, catalog, dictionaries)
    if found.done < found.total:
        site.truth_lists.wait(_PATIENCE)
        found = site.truth_lists.of_kind(kind, catalog, dictionaries)
    return found


def read_page(site: "ViewSite", query: ListQuery) -> ListedPage:
    """Return the part of a list that a query means.

    Raises:
        UsageError: A name in it does not exist.
        AutointerpError: No route of a search can be taken.
    """
    scope = scope_of(site, query)
    catalog = scope.catalog
    if query.is_search:
        return _search(site, query, scope)
    after = None
    if query.after:
        _, feature = find_feature(site.ctx, query.after)
        after = feature.id
    count = _MOST if query.names else query.limit
    page = catalog.page(scope.filters, query.order, count, after)
    places = page.places
    if query.names:
        first: dict[str, int] = {}
        for place in places:
            first.setdefault(catalog.names[place].lower(), place)
        places = list(first.values())[: query.limit]
    listed = read_listed(site.ctx, catalog, places)
    goes_on = page.has_more and not query.names and listed
    after_it = listed[-1].feature if goes_on else None
    return ListedPage(listed, page.total, after_it, scope.notes, site.truth_lists.beside(catalog, places))


def question_of(site: "ViewSite", query: ListQuery) -> SearchQuestion:
    """Return the question of a search.

    Raises:
        UsageError: The picture is gone.
    """
    if query.picture:
        return SearchQuestion(image=site.pictures.path(query.picture))
    return SearchQuestion(like=query.like) if query.like else SearchQuestion(text=query.q)


def _search(site: "ViewSite", query: ListQuery, scope: ListScope) -> ListedPage:
    """Search, and leave out what the filters of the list leave out."""
    catalog = scope.catalog
    found = site.desk.find(question_of(site, query), query.scope, check_routes(query.route or None), _MOST)
    passes = catalog.passing(scope.filters)
    places = [place for hit in found.hits if (place := catalog.place_of(hit.feature_id)) is not None and passes[place]]
    some = places[: query.limit]
    notes = [*scope.notes, *(site.public(note) for note in found.notes)]
    return ListedPage(
        read_listed(site.ctx, catalog, some), len(places), None, notes, site.truth_lists.beside(catalog, some)
    )
