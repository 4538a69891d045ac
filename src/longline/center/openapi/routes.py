"""Where the description is read: the document, and the page that shows it."""

from importlib.resources import files

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from longline.center.openapi.document import document
from longline.center.requests.operations import Endpoint, Operation

# The page shows our own document with our own script, and nothing from anywhere else.
_PAGE_POLICY = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:"


def documentation(rows: list[Operation]) -> list[Route]:
    """The routes of the document of these operations, and of the page."""
    made: list[bytes] = []

    async def openapi(request: Request) -> Response:
        # Made when first asked for: a node that nobody asks starts faster and keeps the memory.
        if not made:
            made.append(msgspec.json.encode(document(rows)))
        return Response(made[0], media_type="application/json")

    return [
        Route("/openapi.json", openapi),
        Route("/docs", _file("docs.html", "text/html")),
        Route("/docs.css", _file("docs.css", "text/css")),
        Route("/docs.js", _file("docs.js", "text/javascript")),
        Route("/", _elsewhere("docs")),
        Route("/docs/", _elsewhere("../docs")),
    ]


def _elsewhere(path: str) -> Endpoint:
    """Sends people on, also behind a proxy that has the API below a path of its own."""

    async def redirect(request: Request) -> Response:
        return Response(status_code=307, headers={"Location": path})

    return redirect


def _file(name: str, media_type: str) -> Endpoint:
    async def serve(request: Request) -> Response:
        content = files("longline.center.openapi.page").joinpath(name).read_bytes()
        return Response(content, media_type=media_type, headers={"Content-Security-Policy": _PAGE_POLICY})

    return serve
