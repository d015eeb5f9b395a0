"""A loopback server that speaks the OpenAI chat protocol, and can misbehave."""

import base64
import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from PIL import Image


class Fake:
    """What it does: a name of a fault, and whether it knows schemas, log probabilities and pictures.

    A fault is a status to answer with, ``cut``, an answer that ends on its way, or ``half``, one with half of its JSON.

    ``logprobs="refused"`` answers 400 to who asks for them; ``vision="blind"`` takes pictures and doesn't look at them.
    """

    def __init__(self, fault="", schema=True, logprobs=True, vision=True, fail_first=0, answer=None):
        self.fault, self.schema, self.logprobs, self.vision = fault, schema, logprobs, vision
        self.fail_first, self.answer = fail_first, answer
        self.requests, self.keys = [], []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                """Say nothing."""

            def do_POST(self):
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                fake.requests.append(request)
                fake.keys.append(self.headers.get("Authorization"))
                fake.respond(self, request)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def respond(self, handler, request):
        pictures = [
            part
            for message in request["messages"]
            if isinstance(message["content"], list)
            for part in message["content"]
            if part["type"] == "image_url"
        ]
        if self.fail_first > 0:
            self.fail_first -= 1
            return self.send(handler, 429, {"error": {"message": "slow down"}})
        if self.fault.isdigit():
            return self.send(handler, int(self.fault), {"error": {"message": f"broken, key {handler.headers.get('Authorization')}"}})
        if pictures and not self.vision:
            return self.send(handler, 400, {"error": {"message": "no pictures here"}})
        if self.logprobs == "refused" and "logprobs" in request:
            return self.send(handler, 400, {"error": {"message": "unknown field logprobs"}})
        text = self.text(request, pictures)
        if self.fault == "half":
            text = text[: len(text) // 2]
        if request.get("stream"):
            return self.stream(handler, text)
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        if self.logprobs and request.get("logprobs"):
            top = [{"token": "yes", "logprob": -0.1, "bytes": None}, {"token": "no", "logprob": -2.1, "bytes": None}]
            top = top if request.get("top_logprobs") else []
            choice["logprobs"] = {
                "content": [{"token": piece, "logprob": -0.1, "bytes": None, "top_logprobs": top} for piece in pieces(text)]
            }
        answer = {"id": "1", "object": "chat.completion", "created": 1, "model": request["model"], "choices": [choice]}
        return self.send(handler, 200, answer)

    def text(self, request, pictures):
        if self.schema and "response_format" in request:
            properties = request["response_format"]["json_schema"]["schema"]["properties"]
            color = self.color(pictures[0]) if pictures else ""
            return json.dumps({name: value(what, color) for name, what in properties.items()}, separators=(",", ":"))
        if "What color" in str(request["messages"]):
            return self.color(pictures[0]).title() if self.vision is True else "Red."
        if self.answer:
            return self.answer
        return "yes" if request.get("max_tokens") == 1 else "Hello there"

    @staticmethod
    def color(part):
        content = base64.b64decode(part["image_url"]["url"].split(",", 1)[1])
        red, _, blue = Image.open(io.BytesIO(content)).convert("RGB").getpixel((0, 0))
        return "red" if red > blue else "blue"

    def stream(self, handler, text):
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.end_headers()
        for piece in pieces(text):
            chunk = {
                "id": "1",
                "object": "chat.completion.chunk",
                "created": 1,
                "model": "m",
                "choices": [{"index": 0, "delta": {"content": piece}}],
            }
            handler.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
        handler.wfile.write(b"data: [DONE]\n\n")

    def send(self, handler, status, value):
        body = json.dumps(value).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[: len(body) // 2] if self.fault == "cut" else body)


def value(what, color):
    if what.get("type") == "array":
        return what["items"]["enum"][:1]
    if "enum" in what:
        return color if color in what["enum"] else what["enum"][0]
    return f"something {color}"


def pieces(text):
    return [text[start : start + 3] for start in range(0, len(text), 3)]
