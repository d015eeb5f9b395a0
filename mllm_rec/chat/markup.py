"""HTML of the chat page. Everything from a catalog or a user goes through ``escape``; nothing else is inserted."""

import html
from collections.abc import Sequence
from dataclasses import dataclass

from mllm_rec.agent.reply import Card, Profile, Reply
from mllm_rec.agent.state import Chip

#: Characters of a message that the page repeats, and of a chip that it shows.
SAID, CHIP = 600, 48
_BRACES = str.maketrans({"{": "&#123;", "}": "&#125;", "$": "&#36;", "`": "&#96;"})
#: Turns text around or hides it: left out where text is shown. Isolates are kept, titles are wrapped in them.
_INVISIBLE = dict.fromkeys([*range(0x00, 0x09), *range(0x0B, 0x20), *range(0x7F, 0xA0), 0x200E, 0x200F, *range(0x202A, 0x202F), 0xFEFF])


@dataclass(frozen=True)
class Turn:
    """One exchange on the page: ``said`` by the person (a deed has none), ``picture`` as a data URL, and the answer."""

    number: int
    said: str
    picture: str
    reply: Reply


def escape(text: object, longest: int = 2_000) -> str:
    """Text for HTML content and quoted attributes; braces too, so that no template language can read them."""
    said = str(text)[: longest + 1].translate(_INVISIBLE).encode("utf-8", "replace").decode("utf-8")
    said = said if len(said) <= longest else said[: longest - 1] + "…"
    return html.escape(said, quote=True).translate(_BRACES)


def talk(turns: Sequence[Turn], liked: Sequence[str], disliked: Sequence[str]) -> str:
    """The column of talk; cards show what is liked and disliked by now."""
    made = [_turn(turn, turn is turns[-1], set(liked), set(disliked)) for turn in turns]
    return f'<div class="talk" role="log" aria-label="Conversation">{"".join(made)}</div>'


def _turn(turn: Turn, last: bool, liked: set[str], disliked: set[str]) -> str:
    picture = f'<img class="sent" src="{escape(turn.picture, 100_000)}" alt="The picture you sent">' if turn.picture else ""
    words = f'<span dir="auto">{escape(turn.said, SAID)}</span>' if turn.said else ""
    bubble = f'<div class="said">{picture}{words}</div>' if picture or words else ""
    cards = "".join(_card(card, f"{turn.number}-{place}", liked, disliked) for place, card in enumerate(turn.reply.cards))
    row = f'<div class="cards" role="list" tabindex="0" aria-label="{len(turn.reply.cards)} items">{cards}</div>' if cards else ""
    steps = "".join(
        _button("relax", step.label, f"{escape(step.label, CHIP)} <small>{step.count:,}</small>") for step in turn.reply.relaxations
    )
    row += f'<div class="steps">{steps}</div>' if steps and last else ""
    status = ' role="status"' if last else ""
    text = f'<p class="answer" dir="auto"{status}>{escape(turn.reply.text)}</p>'
    return f'<section class="turn" data-turn="{turn.number}">{bubble}{text}{row}</section>'


def _card(card: Card, place: str, liked: set[str], disliked: set[str]) -> str:
    title, gone, loved = escape(card.title, 200), card.item_id in disliked, card.item_id in liked
    if gone:
        undo = _button("forget", card.item_id, "Undo")
        return f'<article class="card gone" role="listitem"><p dir="auto">{title}</p><p>Won’t be shown again.</p>{undo}</article>'
    badges = [f"<li>{escape(badge, CHIP)}</li>" for badge in card.badges]
    badges += [f'<li class="open">{escape(note, CHIP)}</li>' for note in card.unknown]
    amount = f'<span class="amount">{escape(card.amount, 20)}</span>' if card.amount else ""
    why = f'<button type="button" class="quiet" popovertarget="why-{place}" aria-label="Why {title}">Why</button>' if card.why else ""
    return (
        f'<article class="card" role="listitem">{_picture(card, title)}<div class="body">'
        f'<h3 title="{title}"><span class="title" dir="auto">{title}</span>{amount}</h3>'
        f'<ul class="badges">{"".join(badges)}</ul><p class="reason" dir="auto">{escape(card.reason, 300)}</p><div class="deeds">'
        + _button(
            "forget" if loved else "like",
            card.item_id,
            "Liked" if loved else "Like",
            "like",
            f'aria-pressed="{str(loved).lower()}" aria-label="Like {title}"',
        )
        + _button("dislike", card.item_id, "Not for me", "", f'aria-label="Not for me: {title}"')
        + _button("similar", card.item_id, "More like this", "", f'aria-label="More like {title}"')
        + f"{why}</div></div>{_reasons(card, title, place)}</article>"
    )


def _picture(card: Card, title: str) -> str:
    if card.picture is None:
        return f'<div class="picture bare" role="img" aria-label="No picture"><span dir="auto">{title}</span></div>'
    return (
        f'<div class="picture"><img src="pictures/{card.row}" alt="{escape(card.alt, 200)}" width="240" height="240" loading="lazy"></div>'
    )


def _reasons(card: Card, title: str, place: str) -> str:
    if not card.why:
        return ""
    rows = "".join(f'<li dir="auto">{escape(sentence, 300)}</li>' for sentence in card.why)
    close = f'<button type="button" popovertarget="why-{place}" popovertargetaction="hide">Close</button>'
    return f'<div class="why" id="why-{place}" popover role="dialog" aria-label="Why {title}"><h4 dir="auto">{title}</h4><ul>{rows}</ul>{close}</div>'


def _button(deed: str, target: str, content: str, style: str = "", more: str = "") -> str:
    """A button whose click becomes an event; ``content`` and ``more`` are HTML."""
    kind = f' class="{style}"' if style else ""
    return f'<button type="button"{kind} data-do="{deed}" data-what="{escape(target, 4_000)}" {more}>{content}</button>'


def chips(wanted: Sequence[Chip], changed: bool) -> str:
    """The chips above the input, filters solid, then wishes dashed; ``changed``: likes or dislikes wait for the next list."""
    made = [
        f'<span class="chip {chip.kind}"><span dir="auto" title="{escape(chip.label, 200)}">{escape(chip.label, CHIP)}{" (wish)" if chip.kind == "wish" else ""}</span>'
        f'<button type="button" data-do="remove" data-what="{escape(chip.id)}" aria-label="Remove {escape(chip.label, CHIP)}">×</button></span>'
        for chip in sorted(wanted, key=lambda chip: chip.kind)
    ]
    if changed:
        made.append(_button("refresh", "", "See what that changes", "fresh"))
    return f'<div class="chips" role="group" aria-label="What is asked for">{"".join(made)}</div>'


def panel(profile: Profile, signals: Sequence[tuple[str, float]], tries: Sequence[str], nothing: str) -> str:
    """The side panel: what is known of the person, what made the order, what to try."""
    known = [_known(item, title, "Liked") for item, title in profile.liked] + [
        _known(item, title, "Not for you") for item, title in profile.disliked
    ]
    lines = "".join(f'<p dir="auto">{escape(line, 200)}</p>' for line in profile.lines)
    body = f'<ul class="known">{"".join(known)}</ul>{lines}' if known or lines else f"<p>{escape(nothing)}</p>"
    if known:
        body += _button("reset", "", "Start over", "link")
    made = f"<section><h2>What I know of you</h2>{body}</section>"
    if signals:
        bars = "".join(_bar(name, share) for name, share in signals)
        made += f'<section><h2>Why this order</h2><dl class="bars">{bars}</dl></section>'
    if tries:
        said = "".join(f"<li>{_button('say', line, f'“{escape(line, 80)}”', 'link')}</li>" for line in tries)
        made += f'<section><h2>Try</h2><ul class="tries">{said}<li>or drop a picture here</li></ul></section>'
    return f'<div class="panel">{made}</div>'


def _known(item: str, title: str, how: str) -> str:
    forget = _button("forget", item, "forget", "link", f'aria-label="Forget {escape(title, 80)}"')
    return f'<li><span dir="auto"><small>{how}</small> {escape(title, 60)}</span>{forget}</li>'


def _bar(name: str, share: float) -> str:
    percent = round(100 * share)
    return f'<div><dt>{escape(name, 40)}</dt><dd><span class="bar"><i style="width:{percent}%"></i></span><b>{percent}<span> %</span></b></dd></div>'
