"""The page: what Vite built from `web/`, served as it is, with the headers that keep it to itself."""

from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from serve.settings import Settings

IMMUTABLE = "public, max-age=31536000, immutable"
REVALIDATE = "no-cache"
NOT_BUILT = """Segue is running, but its page was not built.

  cd web && npm ci && npm run build

then load this again. REST is under /v1, tokens are at /api/token, and `segue device` plays without a browser.
"""


def find_page() -> Path | None:
    """The folder of the built page: beside this package in a checkout, inside it in a wheel; else None."""
    here = Path(__file__).resolve().parent
    for folder in (here.parent / "web" / "dist", here / "page_dist"):
        if (folder / "index.html").is_file():
            return folder
    return None


class Page:
    """ASGI application of everything that is not an interface.

    The folder is looked for until it is there, so a page that is built later shows without a restart.
    """

    def __init__(self, settings: Settings, folder: Path | None = None) -> None:
        """`folder`: where the built page is; None looks where a checkout or a wheel has it."""
        self._folder = folder
        self._headers = {
            "content-security-policy": content_security_policy(settings),
            "referrer-policy": "no-referrer",
            "x-frame-options": "DENY",
            "cross-origin-opener-policy": "same-origin",
        }
        self._files: StaticFiles | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._response(scope)
        await response(scope, receive, send)

    async def _response(self, scope: Scope) -> Response:
        if scope["method"] not in ("GET", "HEAD"):
            raise HTTPException(405, headers={"allow": "GET, HEAD"})
        path = str(scope["path"])
        name = path.lstrip("/") or "index.html"
        files = self._found()
        if files is None:
            if name == "index.html":
                return PlainTextResponse(NOT_BUILT, status_code=503, headers={"cache-control": "no-store"})
            raise HTTPException(404)
        # Raises 404, also for names that lead out of the folder.
        response = await files.get_response(name, scope)
        # Vite puts a hash of the content into the name of everything below assets/.
        hashed = name.startswith("assets/")
        response.headers["cache-control"] = IMMUTABLE if hashed else REVALIDATE
        if name.endswith(".html"):
            response.headers.update(self._headers)
        return response

    def _found(self) -> StaticFiles | None:
        if self._files is None:
            folder = self._folder or find_page()
            if folder is not None and (folder / "index.html").is_file():
                self._files = StaticFiles(directory=folder)
        return self._files


def content_security_policy(settings: Settings) -> str:
    """What the page may load and whom it may talk to: itself, the edge, and the hosts' sockets."""
    edge = settings.edge_url
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            f"img-src 'self' data: blob: {edge}",
            f"media-src 'self' blob: {edge}",
            f"connect-src 'self' {edge} {settings.socket_source}",
            "font-src 'self'",
            "manifest-src 'self'",
            "worker-src 'self'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    )
