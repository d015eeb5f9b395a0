"""The small shop behind its own web server, on a free port."""

import socket
import threading
import time

import pytest

from mllm_rec.chat import application
from mllm_rec.pipeline import open_shop


@pytest.fixture(scope="session")
def shop(workspace):
    return open_shop(workspace)


@pytest.fixture(scope="session")
def server(shop):
    import uvicorn

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = uvicorn.Server(uvicorn.Config(application(lambda: shop), host="127.0.0.1", port=port, log_level="error"))
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{port}/"
    running.should_exit = True
    thread.join(10)
