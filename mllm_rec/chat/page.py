"""The chat page in Gradio's blocks, and the same path for programs."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mllm_rec.agent.session import Reply, Shop
from mllm_rec.agent.wording import wording
from mllm_rec.chat import markup, pictures
from mllm_rec.chat.sessions import Conversation, Conversations
from mllm_rec.errors import InputError

_HERE = Path(__file__).parent
#: Longest session name of a program and longest target of a deed, in characters.
LONGEST_SESSION, LONGEST_TARGET = 200, 4_000
#: Said of every page while no model is built in.
NO_MODEL = "no model at work: rules and templates"
_READY = '<div><img alt="The picture you will send"><span>goes with your next message</span><button type="button" data-do="unpicture" aria-label="Leave the picture out">×</button></div>'


def build_page(current: Callable[[], Shop], user: str | None = None) -> Any:
    """The page as ``gr.Blocks``; ``server.application`` puts it behind its pictures, style and script.

    Args:
        current: gives what is talked about, as it is by now.
        user: id of a user of the log to talk as; None: new visitors.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read at import and at every event: the page asks nobody outside
    import gradio as gr

    kept, shop = Conversations(current, user), current()
    with gr.Blocks(title=shop.title or "mllm-rec", analytics_enabled=False, fill_width=True) as page:
        with gr.Row(elem_id="page"):
            with gr.Column(elem_id="main"):
                gr.HTML(header(shop), elem_id="head", apply_default_css=False, js_on_load=None)
                fold = _live(gr, "fold")
                talk = _live(gr, "talk")
                gr.HTML(_outline(), elem_id="outline", apply_default_css=False, js_on_load=None)
                with gr.Column(elem_id="dock"):
                    chips = _live(gr, "chips")
                    ready = _live(gr, "ready", _READY)
                    with gr.Row(elem_id="input"):
                        upload = gr.UploadButton("+ Picture", file_types=["image"], elem_id="upload", type="filepath")
                        text = gr.Textbox(
                            placeholder=_placeholder(shop),
                            label="Your message",
                            show_label=False,
                            container=False,
                            lines=1,
                            max_lines=4,
                            elem_id="message",
                            max_length=20_000,
                        )
                        send = gr.Button("Send", variant="primary", elem_id="send")
            side = _live(gr, "side")
        shown = [talk, chips, side, fold]
        ready.act(
            lambda: None, None, upload, js="() => window.chatPicture(null)", queue=False, api_visibility="private", show_progress="hidden"
        )
        _wire(gr, kept, page, shown, upload, text, send)
    return page


def _wire(gr: Any, kept: Conversations, page: Any, shown: list[Any], upload: Any, text: Any, send: Any) -> None:
    """Events: none of them is part of the interface for programs, which is ``chat`` alone."""
    nothing = str(wording().said["nothing_known"])

    def key(request: Any) -> str:
        return str(request.session_hash)

    def begin(request: gr.Request) -> list[str]:
        with kept.of("page", key(request)) as conversation:
            if not conversation.turns:
                conversation.add(conversation.session.turn(""))
            return _shown(conversation, nothing)

    def say(message: str, picture: str | None, request: gr.Request) -> list[Any]:
        with kept.of("page", key(request)) as conversation:
            _guarded(gr, lambda: _say(conversation, message, picture))
            return [*_shown(conversation, nothing), "", None]

    def act(event: gr.EventData, request: gr.Request) -> list[str]:
        with kept.of("page", key(request)) as conversation:
            said = event._data or {}
            _guarded(gr, lambda: _act(conversation, str(said.get("do", "")), str(said.get("what", ""))[:LONGEST_TARGET]))
            return _shown(conversation, nothing)

    quiet = {"api_visibility": "private", "show_progress": "hidden", "concurrency_limit": 4}
    page.load(begin, None, shown, **quiet)
    for trigger in (text.submit, send.click):
        trigger(say, [text, upload], [*shown, text, upload], js="(...said) => window.chatBegins(...said)", **quiet).then(
            None, None, None, js="() => window.chatEnds()", api_visibility="private"
        )
    for component in shown:
        component.act(act, None, shown, **quiet).then(None, None, None, js="() => window.chatEnds()", api_visibility="private")
    gr.api(_for_programs(gr, kept), api_name="chat", concurrency_limit=4)


def _for_programs(gr: Any, kept: Conversations) -> Callable[..., dict]:
    def chat(message: str, image: str | None = None, session: str = "") -> dict:
        """One turn of a conversation.

        Args:
            message: what is said.
            image: a picture, as a data URL (PNG, JPEG or WebP) or as a path that this server's upload returned.
            session: name of the conversation; empty: one turn that is not kept.

        Returns:
            text, and items: the ids of the items listed, best first. Where nothing fits the text ends with the steps back and
            how many items each would leave.
        """
        if len(session) > LONGEST_SESSION:
            raise gr.Error(f"the session's name has {len(session)} characters; {LONGEST_SESSION} are the most", print_exception=False)

        def turn(conversation: Conversation) -> dict:
            reply = _guarded(gr, lambda: conversation.session.turn(message, pictures.received(image) if image else None))
            steps = "; ".join(f"{step.label} ({step.count})" for step in reply.relaxations)
            return {"text": f"{reply.text} {steps}".strip(), "items": reply.items}

        if not session:
            return turn(kept.new())
        with kept.of("program", session) as conversation:
            return turn(conversation)

    return chat


def _guarded(gr: Any, deed: Callable[[], Any]) -> Any:
    """What ``deed`` gives; an error that a person can act on becomes a message on the page."""
    try:
        return deed()
    except InputError as error:
        raise gr.Error(str(error), print_exception=False) from None


def _say(conversation: Conversation, message: str, picture: str | None) -> None:
    image = pictures.received(picture) if picture else None
    reply = conversation.session.turn(message, image)
    conversation.add(reply, message[: markup.SAID + 1], pictures.sent(image) if image is not None else "")


def _act(conversation: Conversation, deed: str, target: str) -> None:
    """A click: deeds on a card change it where it stands, the others bring a list."""
    session = conversation.session
    if deed in ("like", "dislike", "forget"):
        getattr(session, deed)(target)
        conversation.changed = True
        return
    lists: dict[str, Callable[[], Reply]] = {
        "similar": lambda: session.similar(target),
        "remove": lambda: session.remove_chip(target),
        "relax": lambda: session.relax(target),
        "refresh": session.refresh,
        "reset": session.reset,
        "say": lambda: session.turn(target),
    }
    if deed not in lists:
        raise InputError(f"'{deed[:20]}' is nothing that this page can do; it can {', '.join(lists)}, like, dislike and forget")
    reply = lists[deed]()
    conversation.add(reply, target if deed == "say" else "")


def _shown(conversation: Conversation, nothing: str) -> list[str]:
    """HTML of talk, chips, side panel and folded panel."""
    state, last = conversation.session.state, conversation.turns[-1].reply
    profile = conversation.session.profile()
    panel = markup.panel(profile, last.signals, last.tries, nothing)
    return [
        markup.talk(conversation.turns, state.liked, state.disliked),
        markup.chips(state.chips, conversation.changed),
        panel,
        f"<details><summary>What I know of you, and things to try</summary>{panel}</details>",
    ]


def header(shop: Shop) -> str:
    """Title and what kind of catalog this is."""
    notes = " · ".join(part for part in (shop.note, NO_MODEL) if part)
    return f'<header><h1 dir="auto">{markup.escape(shop.title or "Recommendations", 80)}</h1><p dir="auto">{markup.escape(notes, 200)}</p></header>'


def _placeholder(shop: Shop) -> str:
    from mllm_rec.agent.suggest import examples

    said = examples(shop, wording())
    return " · ".join((*said[:1], "cheaper" if shop.vocabulary.price else "something newer", "not …"))


def _outline() -> str:
    """Outlines of cards, shown at once while an answer is made."""
    card = '<div class="card"><div class="picture"></div><div class="body"><i></i><i></i><i></i></div></div>'
    return f'<div class="said"></div><div class="cards" aria-hidden="true">{card * 4}</div>'


def _live(gr: Any, name: str, value: str = "") -> Any:
    """HTML that the server writes; clicks on its ``data-do`` buttons become its event "act"."""
    listen = (
        "element.addEventListener('click', (event) => { const button = event.target.closest('[data-do]');"
        " if (button) { window.chatActs(button); trigger('act', {do: button.dataset.do, what: button.dataset.what}); } });"
    )
    return gr.HTML(value, elem_id=name, apply_default_css=False, js_on_load=listen)


def head() -> str:
    """The page's style and script, as elements for its head: given as ``css``, Gradio would rewrite the selectors."""
    style, script = ((_HERE / name).read_text(encoding="utf-8") for name in ("style.css", "page.js"))
    return f"<style>{style}</style><script>{script}</script>"
