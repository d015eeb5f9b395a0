"""The chat: a page on which a shop is talked to, and the same conversation for programs."""

from mllm_rec.chat.page import build_page
from mllm_rec.chat.server import application, launch

__all__ = ["application", "build_page", "launch"]
