"""One conversation: messages and deeds in, answers with cards out. Code decides what may be shown; filters are exact."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mllm_rec.agent import answers, suggest
from mllm_rec.agent.advisor import Advice
from mllm_rec.agent.pointing import NOTHING_SHOWN
from mllm_rec.agent.relax import relax, relaxations
from mllm_rec.agent.reply import Card, Occasion, Profile, Reply, Shop, cards, explanations, signals
from mllm_rec.agent.state import Chip, DialogueState, Understanding, bounds
from mllm_rec.agent.understand import LONGEST_MESSAGE, understand
from mllm_rec.agent.wording import Wording, wording
from mllm_rec.errors import InputError
from mllm_rec.explain import Explanation
from mllm_rec.explain.templates import clean
from mllm_rec.mllm.rerank import CANDIDATES
from mllm_rec.retrieval.candidates import Ranked, Request
from mllm_rec.retrieval.filters import mask

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["LIST", "Card", "Profile", "Reply", "Session", "Shop"]

#: Cards in a list.
LIST = 8
#: Longest side of a dropped picture that is kept, in pixels.
PICTURE_SIDE = 384


class Session:
    """A conversation with one person.

    Args:
        shop: what is talked about.
        user: position of a known user; what they have in the log counts, and is not shown again. None: a new visitor.
        words: the wording; None: the package's.
        size: cards in a list.
    """

    def __init__(self, shop: Shop, user: int | None = None, words: Wording | None = None, size: int = LIST):
        self.words, self.size = words or wording(), size
        self.state = DialogueState()
        self.picture: Image.Image | None = None
        self.picture_chip = Chip("wish", self.words.said["picture_chip"])
        self._last: Reply | None = None
        self.move(shop, user)

    def move(self, shop: Shop, user: int | None = None) -> None:
        """Talk about another state of the shop, in which every item has its place of before, from the next turn on."""
        self.shop, self.user = shop, user
        self._hidden = np.zeros(len(shop.catalog), dtype=bool)
        if user is not None:
            self._hidden[shop.hidden[1][shop.hidden[0] == user]] = True

    # What a person does

    def turn(self, message: str, picture: "Image.Image | None" = None) -> Reply:
        """The answer to a message, with the picture dropped beside it; any text will do, of any length."""
        message = str(message)[: LONGEST_MESSAGE + 1]
        before = self.state
        understanding = self._known(understand(message, self.shop.vocabulary, before))
        if picture is not None and self.shop.candidates.sees_pictures:
            self._look_at(picture)
            # "what looks like this?" speaks of the picture, not of an item in the list
            understanding = replace(
                understanding,
                intents=tuple(one for one in understanding.intents if one.kind != "similar"),
                notes=tuple(note for note in understanding.notes if note != NOTHING_SHOWN),
            )
        elif picture is not None:
            understanding = replace(understanding, notes=(*understanding.notes, self.words.say("no_pictures")))
        self.state = self.state.apply(understanding, self.shop.catalog)
        self._settle_picture(understanding)
        asked = next((intent for intent in understanding.intents if intent.kind in ("why", "why_not")), None)
        if asked is not None and picture is None:
            return self._about(asked.kind, asked.item)
        lead = answers.lead(self, understanding, before, message)
        more = any(intent.kind == "more" for intent in understanding.intents)
        return self._list(lead, understanding, before, more)

    def _known(self, said: Understanding) -> Understanding:
        """A message without the wishes whose words say nothing of any item here: a chip that changes nothing is no chip."""
        lost = [
            chip for chip in said.chips if chip.kind == "wish" and chip.expression is None and not self.shop.candidates.finds(chip.words)
        ]
        if not lost:
            return said
        wishes = self.words.listed([f"“{clean(chip.label, 40)}”" for chip in lost[: answers.MOST_NOTES]], "or")
        kept = tuple(chip for chip in said.chips if chip not in lost)
        return replace(said, chips=kept, notes=(*said.notes, self.words.say("wish_unknown", wishes=wishes)))

    def refresh(self) -> Reply:
        """The list anew, with everything liked and disliked since."""
        return self._list([self.words.say("refreshed")] if self._last else [])

    def like(self, item_id: str) -> Reply:
        """Count an item in from the next list on; the list shown stays as it is."""
        self.shop.catalog.position(item_id)
        self.state = self.state.like(item_id)
        return self._kept(self.words.say("liked", title=self.shop.item_title(item_id)))

    def dislike(self, item_id: str) -> Reply:
        """Never show an item again; the list shown stays as it is, without it."""
        self.shop.catalog.position(item_id)
        self.state = self.state.dislike(item_id)
        return self._kept(self.words.say("disliked", title=self.shop.item_title(item_id)))

    def forget(self, item_id: str) -> Reply:
        """Take a like or a dislike back."""
        self.shop.catalog.position(item_id)
        liked, disliked = (tuple(item for item in items if item != item_id) for items in (self.state.liked, self.state.disliked))
        self.state = replace(self.state, liked=liked, disliked=disliked)
        return self._kept(self.words.say("forgotten", title=self.shop.item_title(item_id)))

    def similar(self, item_id: str) -> Reply:
        """The items closest to one item, the filters kept."""
        title = self.shop.item_title(item_id)
        self._drop_picture()
        self.state = self.state.refer(item_id, title)
        return self._list([])

    def remove_chip(self, chip_id: str) -> Reply:
        """The list without one chip."""
        label = next((chip.label for chip in self.state.chips if chip.id == chip_id), None)
        self.state = self.state.remove(chip_id)
        self._settle_picture(None)
        return self._list([self.words.say("removed", label=clean(label, 60))] if label is not None else [])

    def relax(self, label: str) -> Reply:
        """The list after one of the steps back that were offered, named by its label."""
        step = next((step for step in relaxations(self.state, self.shop.catalog, self._open()) if step.label == label), None)
        if step is None:
            return self._list([self.words.say("gone")])
        self.state = relax(self.state, step)
        return self._list([])

    def reset(self) -> Reply:
        """Forget everything said, and begin again."""
        self.state, self.picture, self._last = DialogueState(), None, None
        return self._list([self.words.say("reset")])

    # State

    def to_json(self) -> dict[str, Any]:
        """The conversation as plain JSON values; ``from_json`` goes on from it."""
        picture = None
        if self.picture is not None:
            buffer = io.BytesIO()
            self.picture.save(buffer, "PNG")
            picture = base64.b64encode(buffer.getvalue()).decode()
        return {"user": self.user, "state": self.state.to_json(), "picture": picture}

    @classmethod
    def from_json(cls, shop: Shop, said: Mapping[str, Any]) -> "Session":
        """Go on from what ``to_json`` wrote.

        Raises:
            InputError: it is something else.
        """
        if not isinstance(said, Mapping):
            raise InputError(f"{str(said)[:80]} is not a conversation; it needs user, state and picture")
        user = said.get("user")
        if not (user is None or (type(user) is int and 0 <= user < shop.data.num_users)):
            raise InputError(f"{str(user)[:80]} is not the position of one of the {shop.data.num_users} users")
        session = cls(shop, user)
        session.state = DialogueState.from_json(said.get("state"))
        session.picture = _picture(said["picture"]) if said.get("picture") else None
        if session.picture is None:
            session._drop_picture()
        session._settle_picture(None)
        return session

    # Lists

    def _open(self) -> np.ndarray:
        """``(num_items,)`` bool: what may be shown at all, before the filters."""
        allowed = self.shop.catalog.available & ~self.shop.excluded & ~self._hidden
        allowed[self._rows(self.state.disliked)] = False
        return allowed

    def _rows(self, item_ids: Sequence[str]) -> list[int]:
        positions = self.shop.catalog.positions
        return [positions[item] for item in item_ids if item in positions]

    def _list(self, lead: list[str], said: Understanding | None = None, before: DialogueState | None = None, more: bool = False) -> Reply:
        """The best of what is allowed, worded; where nothing is, the smallest steps back."""
        shop, filters, may = self.shop, self.state.filters(), self._open()
        fits = may & mask(filters, shop.catalog) if filters is not None else may
        fresh = fits.copy()
        fresh[self._rows([*self.state.liked, self.state.reference])] = False
        allowed = fresh if fresh.any() else fits
        if more:
            unseen = allowed.copy()
            unseen[self._rows(self.state.shown)] = False
            if unseen.any():
                allowed = unseen
            elif allowed.any():
                lead, more = [*lead, self.words.say("nothing_more")], False
        if not allowed.any():
            steps = relaxations(self.state, shop.catalog, may)
            return self._reply(answers.nothing(self, lead, said, bool(steps)), (), {}, steps)
        advice = self._advice()
        ranked = self._ranked(allowed, advice)
        rows = ranked.items.tolist()
        against = (
            self._rows(before.last_list) if before and before.chips and said and _compares(said) else self._rows([self.state.reference])
        )
        self.state = self.state.show([str(shop.catalog.item_ids[row]) for row in rows])
        made = cards(self._occasion(advice), ranked, self.words, against)
        only_liked = bool(self.state.liked) and not fresh.any()
        text = answers.listed(self, lead, said, rows, allowed, int(fits.sum() if more else allowed.sum()), more, only_liked)
        text = self._noted(text, advice)
        return self._reply(text, made, ranked.parts, ())

    def explanation(self, item_id: str) -> tuple[Explanation, str]:
        """Everything that speaks for one item, shown or not; and a note where the model didn't word it, "" otherwise.

        Raises:
            InputError: the catalog has no such item.
        """
        ranked = self.shop.candidates.measure(self._request(self._open()), [self.shop.catalog.position(item_id)])
        advice = self._advice()
        return explanations(self._occasion(advice), ranked)[0], self._noted("", advice)

    def _occasion(self, advice: Advice | None) -> Occasion:
        """For whom a list is made now."""
        return Occasion(self.shop, self.state, self._history(), self.user, advice)

    def _ranked(self, allowed: np.ndarray, advice: Advice | None) -> Ranked:
        """The list, with the model's opinion where a taste alone decides: what is wished for now outranks what a model thinks of a taste."""
        wished = any(chip.kind == "wish" for chip in self.state.chips)
        if advice is None or not advice.reranks or wished:
            return self.rank(allowed, self.size)
        liked = [*self._history(), *self._rows(self.state.liked)]
        return advice.reranked(self.rank(allowed, max(self.size, CANDIDATES)), liked).rows(slice(0, self.size))

    def _advice(self) -> Advice | None:
        """What the shop's model can do for one turn; None where it has no model."""
        return self.shop.advisor.turn() if self.shop.advisor else None

    def _noted(self, text: str, advice: Advice | None) -> str:
        """A text, with a line on the model where it gave no answer."""
        if advice is None or not advice.failed:
            return text
        missed = self.words.said["model_missed"][" and ".join(advice.missed)]
        return f"{text} {self.words.say(advice.failed, missed=missed)}".strip()

    def rank(self, allowed: np.ndarray, k: int) -> Ranked:
        """The best ``k`` of what is allowed, for all that was said so far."""
        return self.shop.candidates.rank(self._request(allowed), k)

    def _history(self) -> Sequence[int]:
        """Positions that the user of the log likes."""
        return () if self.user is None else self.shop.explainer.history(self.user).tolist()

    def _request(self, allowed: np.ndarray) -> Request:
        """What is asked for by all that was said so far."""
        liked, disliked = (np.array(self._rows(ids), dtype=np.int64) for ids in (self.state.liked, self.state.disliked))
        like = self._rows([self.state.reference])
        return Request(
            user=self.user,
            liked=liked,
            disliked=disliked,
            allowed=allowed,
            words=self.state.words(),
            picture=self.picture,
            like=like[0] if like else None,
            wishes=self.state.wish_scores(self.shop.catalog),
        )

    def _reply(self, text: str, made: tuple[Card, ...], parts: Mapping[str, np.ndarray], steps: Sequence[Any]) -> Reply:
        tries = suggest.tries(self.shop, self.state, self.words) if made else ()
        self._last = Reply(text, made, self.state.chips, tuple(steps), self.profile(), signals(parts, self.words), tries)
        return self._last

    def _kept(self, text: str) -> Reply:
        """The last answer with its cards as they are now, and other words."""
        last = self._last or Reply("")
        kept = tuple(
            replace(card, liked=card.item_id in self.state.liked) for card in last.cards if card.item_id not in self.state.disliked
        )
        return replace(last, text=text, cards=kept, chips=self.state.chips, profile=self.profile())

    def _about(self, kind: str, item_id: str) -> Reply:
        """Why one item stands in the list, or why it doesn't; the list stays the one spoken of."""
        if item_id not in self.shop.catalog.positions:
            return self._list([self.words.say("why_what")])
        row = self.shop.catalog.positions[item_id]
        filters, may = self.state.filters(), self._open()
        fits = may & mask(filters, self.shop.catalog) if filters is not None else may
        if not fits[row] or (kind == "why_not" and item_id not in self.state.last_list):
            return self._list([answers.why_not(self, row, may, fits)])
        card = next((card for card in (self._last.cards if self._last else ()) if card.item_id == item_id), None)
        shares, advice = self._last.signals if self._last else (), None
        if card is None:
            ranked = self.shop.candidates.measure(self._request(fits), [row])
            advice = self._advice()
            card = cards(self._occasion(advice), ranked, self.words)[0]
            shares = signals(ranked.parts, self.words)
        title = self.shop.item_title(item_id)
        text = self.words.say("why", title=title, reasons=" ".join(card.why)) if card.why else self.words.say("why_nothing", title=title)
        tries = suggest.tries(self.shop, self.state, self.words)
        text = self._noted(text, advice)
        return Reply(text, (replace(card, liked=item_id in self.state.liked),), self.state.chips, (), self.profile(), shares, tries)

    def profile(self) -> Profile:
        liked, disliked = (
            tuple((item, self.shop.item_title(item)) for item in ids if item in self.shop.catalog.positions)
            for ids in (self.state.liked, self.state.disliked)
        )
        return Profile(liked, disliked, answers.leaning(self, [*self._history(), *self._rows(self.state.liked)]))

    # Pictures

    def _look_at(self, picture: "Image.Image") -> None:
        """Take a picture as what the list should look like, in place of the one or the item pointed at before."""
        small = picture.convert("RGB")
        small.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
        self.picture = small
        chips = tuple(chip for chip in self.state.chips if not chip.item and chip != self.picture_chip)
        self.state = replace(self.state, chips=(*chips, self.picture_chip))

    def _drop_picture(self) -> None:
        self.picture = None
        self.state = self.state.remove(self.picture_chip.id)

    def _settle_picture(self, said: Understanding | None) -> None:
        """Chip and picture go together: without the chip the picture isn't applied; an item pointed at takes its place."""
        if self.picture_chip not in self.state.chips:
            self.picture = None
        elif said is not None and any(intent.kind == "similar" for intent in said.intents):
            self._drop_picture()


def _picture(png: Any) -> "Image.Image":
    from PIL import Image

    try:
        return Image.open(io.BytesIO(base64.b64decode(png, validate=True)), formats=["PNG"]).convert("RGB")
    except (TypeError, ValueError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"the conversation's picture is not a PNG picture in base64: {error}") from error


def _compares(said: Understanding) -> bool:
    """Whether a message set a new bound on the price, so that prices are worth comparing with the list before."""
    return any((found := bounds(chip.expression)) and found[0] == "price" for chip in said.chips if chip.expression is not None)
