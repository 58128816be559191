"""The application: pages and API of one workspace behind the guard, and one page for every error."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException

from autointerp.db import DatabaseError
from autointerp.errors import AutointerpError, UsageError
from autointerp.version import VERSION
from autointerp.web.guard import SAFE_METHODS, Guard
from autointerp.web.pages import (
    compare,
    experiments,
    feature,
    features,
    jobs,
    naming,
    pictures,
    reading,
    start,
    steer,
    truth,
    work,
)

if TYPE_CHECKING:
    from autointerp.web.guard import AsgiApp
    from autointerp.web.site import ViewSite

_SHARED = ("gallery.css", "drawing.js")
"""Files that the gallery has too."""
_KINDS = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
PAGES = (start, features, feature, naming, reading, steer, compare, experiments, truth, jobs, pictures, work)


def make_app(site: ViewSite) -> AsgiApp:
    """Return the application of a site, as an ASGI server runs it."""
    # The pages that FastAPI has for its API load scripts from another host.
    app = FastAPI(title="autointerp", version=VERSION, docs_url=None, redoc_url=None, openapi_url="/api/openapi.json")
    _answer_errors(app, site)
    app.state.site = site
    _serve_files(app)
    for page in PAGES:
        app.include_router(page.routes(site))
    return Guard(app, site.access)


def _answer_errors(app: FastAPI, site: ViewSite) -> None:
    """Make one page, or one object of JSON, of every error."""

    @app.exception_handler(AutointerpError)
    def told(request: Request, error: AutointerpError) -> Response:
        wrong = 404 if request.method in SAFE_METHODS else 400
        status = 503 if isinstance(error, DatabaseError) else wrong if isinstance(error, UsageError) else 409
        return _answer(site, request, status, site.public(error.message), site.public(error.hint))

    @app.exception_handler(HTTPException)
    def of_http(request: Request, error: HTTPException) -> Response:
        said = "there is no such page" if error.status_code == 404 else str(error.detail).lower()
        return _answer(site, request, error.status_code, said, "")

    @app.exception_handler(RequestValidationError)
    def of_values(request: Request, error: RequestValidationError) -> Response:
        # What was sent is not repeated.
        first: dict[str, Any] = next(iter(error.errors()), {})
        said = f"{'.'.join(str(part) for part in first.get('loc', ())[1:])}: {first.get('msg', 'wrong')}"
        return _answer(site, request, 400, said, "")

    @app.exception_handler(Exception)
    def failed(request: Request, error: Exception) -> Response:
        what = f"this page failed ({type(error).__name__})"
        return _answer(site, request, 500, what, "nothing was changed; try another page")


def _serve_files(app: FastAPI) -> None:
    """Serve the few files that pages load. Only these names exist, so that no path leads elsewhere."""
    shared, own = files("autointerp.export") / "templates", files("autointerp.web") / "static"
    known = {name: shared / name for name in _SHARED} | {one.name: one for one in own.iterdir() if one.is_file()}

    @app.get("/static/{name}", include_in_schema=False)
    def static(name: str) -> Response:
        kind = _KINDS.get(name.rpartition(".")[2])
        if name not in known or kind is None:
            raise HTTPException(404)
        return Response(known[name].read_bytes(), media_type=kind, headers={"cache-control": "no-cache"})


def _answer(site: ViewSite, request: Request, status: int, message: str, hint: str) -> Response:
    """Return an error as a page, or as JSON to the API and to scripts of pages."""
    is_for_code = request.url.path.startswith("/api/") or request.method not in SAFE_METHODS
    if is_for_code:
        return JSONResponse({"error": message, "hint": hint}, status)
    page = site.render("error.html.j2", status=status, message=message, hint=hint, embed=False)
    return HTMLResponse(page, status)
