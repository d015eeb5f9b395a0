"""Conversations by key: as many as fit, the least recently used forgotten first, one turn at a time each."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from mllm_rec.agent.session import Reply, Session, Shop
from mllm_rec.chat.markup import Turn

#: Conversations kept, and turns of one that the page shows.
MOST_SESSIONS, MOST_TURNS = 1_000, 12


@dataclass
class Conversation:
    """A session, what the page shows of it, and whether likes or dislikes wait for the next list."""

    session: Session
    turns: list[Turn] = field(default_factory=list)
    changed: bool = False
    count: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, reply: Reply, said: str = "", picture: str = "") -> None:
        """One more exchange; the oldest beyond ``MOST_TURNS`` goes."""
        self.count += 1
        self.turns = [*self.turns, Turn(self.count, said, picture, reply)][-MOST_TURNS:]
        self.changed = False


class Conversations:
    """A bounded store of conversations about one shop.

    Args:
        shop: gives what is talked about, as it is by now.
        user: id of the user that every conversation is with, where the log has them; None: new visitors.
        most: conversations kept.
    """

    def __init__(self, shop: Callable[[], Shop], user: str | None = None, most: int = MOST_SESSIONS):
        self.shop, self.user, self.most = shop, user, most
        self._kept: OrderedDict[tuple[str, str], Conversation] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def new(self) -> Conversation:
        """A conversation that is not kept."""
        shop = self.shop()
        return Conversation(Session(shop, self._position(shop)))

    @contextmanager
    def of(self, kind: str, key: str) -> Iterator[Conversation]:
        """The conversation under a key, begun if there is none, held for one turn. ``kind`` keeps page and program apart."""
        with self._lock:
            conversation = self._kept.get((kind, key)) or self._kept.setdefault((kind, key), self.new())
            self._kept.move_to_end((kind, key))
            while len(self._kept) > self.most:
                self._kept.popitem(last=False)
        with conversation.lock:
            shop = self.shop()
            if conversation.session.shop is not shop:
                conversation.session.move(shop, self._position(shop))
            yield conversation

    def _position(self, shop: Shop) -> int | None:
        return shop.data.user(self.user) if self.user is not None and self.user in shop.data.users else None
