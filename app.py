"""The demo: builds the shop in ``WORKSPACE`` where it is not built yet, and opens the chat at ``HOST``:``PORT``."""

import os
import sys

from mllm_rec.cli import main

if __name__ == "__main__":
    workspace = os.environ.get("WORKSPACE", "build/demo")
    status = main(["build", "demo", "--out", workspace])
    host, port = os.environ.get("HOST", "127.0.0.1"), os.environ.get("PORT", "7860")
    sys.exit(status or main(["chat", workspace, "--host", host, "--port", port]))
