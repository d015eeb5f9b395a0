"""The page behind a web server of its own: thumbnails by position, nothing else of the file system."""

import os
import socket
import sys
from collections.abc import Callable
from typing import Any

from mllm_rec.agent.session import Shop
from mllm_rec.chat import page, pictures
from mllm_rec.errors import InputError


def application(current: Callable[[], Shop], user: str | None = None) -> Any:
    """The FastAPI application: the page at ``/``, a thumbnail of item ``row`` at ``/pictures/row``; see ``launch``."""
    blocks = page.build_page(current, user)
    import gradio as gr
    from fastapi import FastAPI, Response

    app = FastAPI(title=current().title or "mllm-rec", docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/pictures/{row}")
    def picture(row: int) -> Response:
        catalog = current().catalog
        path = catalog.picture(row) if 0 <= row < len(catalog) else None
        if path is None or not path.is_file():
            return Response(status_code=404)
        try:
            content = pictures.thumbnail(path, path.stat().st_mtime_ns)
        except (InputError, OSError):
            return Response(status_code=404)
        return Response(content, media_type="image/jpeg", headers={"Cache-Control": "max-age=3600"})

    system = ["system-ui", "sans-serif"]
    theme = gr.themes.Base(font=system, font_mono=["ui-monospace", "monospace"])
    return gr.mount_gradio_app(
        app,
        blocks,
        path="/",
        footer_links=[],
        run_history=False,
        show_error=True,
        max_file_size=pictures.MOST_BYTES,
        ssr_mode=False,
        pwa=False,
        theme=theme,
        head=page.head(),
    )


def launch(current: Callable[[], Shop], host: str = "127.0.0.1", port: int = 7860, user: str | None = None) -> None:
    """Serve the page until interrupted.

    Args:
        current: gives what is talked about, as it is by now.
        host, port: where.
        user: id of a user of the log to talk as; None: a new visitor.

    Raises:
        InputError: the port is taken, or the log has no such user.
    """
    if user is not None:
        current().data.user(user)
    _check(host, port)
    import uvicorn

    app = application(current, user)
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    print(f"{current().title or 'The chat'}: http://{shown}:{port}/  (Ctrl-C ends it)", file=sys.stderr, flush=True)
    uvicorn.run(app, host=host, port=port, log_level=os.environ.get("LOG_LEVEL", "warning"), timeout_graceful_shutdown=2)


def _check(host: str, port: int) -> None:
    """Fail before the page is built where nobody could reach it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            raise InputError(
                f"can't listen on {host}:{port}: {getattr(error, 'strerror', None) or error}; choose another with --host and --port"
            ) from None
