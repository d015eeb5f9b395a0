"""The shop of a workspace that changes while it is talked about."""

import sys
import threading
from collections.abc import Callable

import numpy as np

from mllm_rec.agent.reply import Shop
from mllm_rec.pipeline.workspace import Workspace

#: Seconds between two looks.
EVERY = 2.0


class LiveShop:
    """A shop that is opened anew when ``update``, ``forget`` or a training changed its workspace; called, the shop as it is by now.

    Args:
        workspace: whose shop it is.
        opened: opens it; given the shop that was open before, whose model is taken over.

    Raises:
        InputError: of ``opened``.
    """

    def __init__(self, workspace: Workspace, opened: Callable[[Shop | None], Shop]):
        self._workspace, self._opened = workspace, opened
        self._stamp = self._written()
        self._shop = opened(None)

    def __call__(self) -> Shop:
        return self._shop

    def watch(self) -> None:
        """Look every few seconds, in a thread that a program doesn't wait for when it ends."""
        threading.Thread(target=self._watch, name="workspace", daemon=True).start()

    def look(self) -> bool:
        """Open the shop anew if the workspace changed and nobody is writing to it; whether that was so.

        A shop that can't be opened, or whose items have other places, is told on standard error, and the old one stays.
        """
        if (now := self._written()) == self._stamp or self._workspace.busy():
            return False
        try:
            shop = self._opened(self._shop)
        except Exception as error:  # files that are replaced meanwhile can be wrong in any way
            shop, why = None, f"the workspace changed, but can't be opened: {error}"
        if self._workspace.busy() or self._written() != now:
            return False  # it changed meanwhile; the next look sees what it has become
        self._stamp = now
        before = self._shop.catalog.item_ids
        if shop is not None and not np.array_equal(shop.catalog.item_ids[: len(before)], before):
            shop, why = None, "the workspace was built of other items; start the chat again to talk about them"
        if shop is None:
            print(f"  {why}", file=sys.stderr)
            return False
        self._shop = shop
        return True

    def _watch(self) -> None:
        tick = threading.Event()
        while not tick.wait(EVERY):
            self.look()

    def _written(self) -> tuple[int, ...]:
        paths = (self._workspace.manifest_path, self._workspace.serving)
        return tuple(path.stat().st_mtime_ns if path.exists() else 0 for path in paths)
