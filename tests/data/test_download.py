"""Pictures from the web: which addresses are asked, what one may cost, and that nothing is asked for twice."""

import io
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from PIL import Image

from mllm_rec.data.download import Downloads, Limits, is_address, public


def png(color):
    file = io.BytesIO()
    Image.new("RGB", (8, 8), color).save(file, "PNG")
    return file.getvalue()


class Web(BaseHTTPRequestHandler):
    """A small web of pictures and of traps."""

    asked: list[str]

    def do_GET(self):
        self.server.asked.append(self.path)
        self.server.hosts.add(self.headers["Host"])
        assert self.headers["User-Agent"].startswith("mllm-rec/") and self.headers["Cookie"] is None
        name = self.path.split("?")[0].strip("/")
        if name in ("red", "blue", "a%20b", "b%C3%BCcher"):
            self.answer(png(name if name in ("red", "blue") else "green"))
        elif name == "words":
            self.answer(b"<html>not a picture</html>")
        elif name == "large":
            self.send_response(200)
            self.end_headers()  # no length is said
            for _ in range(100):
                self.wfile.write(b"x" * 10_000)
        elif name == "liar":
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
            self.wfile.write(png("red"))
        elif name in ("drip", "headers"):
            self.wfile.write(b"HTTP/1.0 200 OK\r\n" + (b"\r\n" if name == "drip" else b"X-Slow: "))
            for _ in range(100):
                time.sleep(0.05)
                self.wfile.write(b"x")
        elif name.startswith("to/"):
            self.redirect(self.path.partition("/to/")[2])
        elif name == "round":
            self.redirect("/round")
        else:
            self.send_error(404, "Not Found")

    def answer(self, content):
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Set-Cookie", "who=you")
        self.end_headers()
        self.wfile.write(content)

    def redirect(self, where):
        self.send_response(302)
        self.send_header("Location", where)
        self.end_headers()

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """Those who hang up are part of the game."""


@pytest.fixture
def web():
    server = Server(("127.0.0.1", 0), Web)
    server.asked, server.hosts = [], set()
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def anywhere(address):
    return True


@pytest.fixture
def downloads(tmp_path):
    return Downloads(tmp_path / "kept", anywhere, Limits(bytes=200_000, seconds=0.6, silence=0.4, redirects=3))


def test_fetched_once_and_kept(web, downloads, tmp_path):
    items = {"a": f"{web.url}/red", "b": f"{web.url}/red", "c": f"{web.url}/blue"}
    found = downloads.fetch(items)
    assert found["a"] == found["b"] != found["c"] and sorted(web.asked) == ["/blue", "/red"]
    assert Image.open(found["c"]).getpixel((0, 0)) == (0, 0, 255)
    again = Downloads(tmp_path / "kept", anywhere)
    assert again.fetch(items) == found and len(web.asked) == 2
    assert again.fetch({"d": f"{web.url}/gone", **items})["a"] == found["a"] and len(web.asked) == 3


def test_addresses_are_written_as_the_web_wants_them(web, downloads):
    port = web.server_port
    found = downloads.fetch(
        {"a": f"HTTP://127.0.0.1:{port}/a b?q=ü", "b": f"http://localhost:{port}/bücher#here", "c": f"{web.url}/to//red"}
    )
    assert all(not isinstance(path, str) for path in found.values()), found
    assert sorted(web.asked) == ["/a%20b?q=%C3%BC", "/b%C3%BCcher", "/red", "/to//red"]
    assert web.hosts == {f"127.0.0.1:{port}", f"localhost:{port}"}


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("gone", "answered 404 Not Found"),
        ("words", "is no picture"),
        ("large", "has more than 0.2 MB"),
        ("liar", "broke off after"),
        ("drip", "took longer than 0.6 seconds"),
        ("headers", "took longer than 0.6 seconds"),
        ("round", "was redirected more than 3 times"),
        ("to/ftp://127.0.0.1/red", "is not http or https but ftp"),
        ("to/file:///etc/hostname", "is not http or https but file"),
    ],
)
def test_what_is_no_picture_leaves_nothing(web, downloads, path, why):
    assert why in downloads.fetch({"a": f"{web.url}/{path}"})["a"]
    assert downloads.failed == {"a": f"{web.url}/{path}"} and not [one for one in downloads.folder.glob("*") if one.is_file()]


def test_what_failed_is_kept_until_it_is_there(web, downloads):
    downloads.fetch({"a": f"{web.url}/gone", "b": f"{web.url}/red"})
    downloads.save()
    later = Downloads(downloads.folder, anywhere)
    assert later.failed == {"a": f"{web.url}/gone"}
    later.fetch({"a": f"{web.url}/red"})
    later.save()
    assert Downloads(downloads.folder).failed == {}


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/red",
        "http://localhost:{port}/red",
        "http://2130706433:{port}/red",
        "http://0x7f.1:{port}/red",
        "http://0.0.0.0:{port}/red",
        "http://[::1]:{port}/red",
        "http://[::ffff:127.0.0.1]:{port}/red",
        "http://169.254.169.254/latest/meta-data",
        "http://10.1.2.3/red",
    ],
)
def test_no_private_address_is_asked(web, tmp_path, url):
    why = Downloads(tmp_path).fetch({"a": url.format(port=web.server_port)})["a"]
    assert "which is no public address" in why and not web.asked


def test_a_redirect_is_judged_like_an_address(web, tmp_path):
    port = web.server_port
    downloads = Downloads(tmp_path, lambda address: address != "127.0.0.2")
    assert "leads to 127.0.0.2" in downloads.fetch({"a": f"{web.url}/to/http://127.0.0.2:{port}/red"})["a"]
    assert web.asked == [f"/to/http://127.0.0.2:{port}/red"]


def test_a_name_is_resolved_once_and_every_address_judged(web, tmp_path, monkeypatch):
    """A name that is public when it is judged and private a moment later; and one that is both at once."""
    real, answers = socket.getaddrinfo, [["93.184.215.14"], ["127.0.0.1"]]

    def resolve(host, port, *args, **kwargs):
        if host != "rebinding.example":
            return real(host, port, *args, **kwargs)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in answers.pop(0)]

    connected = []
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(
        socket, "create_connection", lambda address, timeout: connected.append(address) or (_ for _ in ()).throw(OSError("no"))
    )
    url = f"http://rebinding.example:{web.server_port}/red"
    assert "can't be fetched" in Downloads(tmp_path).fetch({"a": url})["a"]
    assert connected == [("93.184.215.14", web.server_port)] and len(answers) == 1
    answers[:] = [["93.184.215.14", "127.0.0.1"]]
    assert "leads to 127.0.0.1" in Downloads(tmp_path).fetch({"a": url})["a"] and len(connected) == 1


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://me:secret@127.0.0.1/red", "holds a name or a password"),
        ("http:///red", "names no host"),
        ("http://127.0.0.1:99999/red", "can't be fetched: Port out of range"),
        ("http://exa\u2025mple..com/red", "can't be fetched"),
        ("https://127.0.0.1:{port}/red", "can't be fetched"),  # no TLS there
        ("http://127.0.0.1:1/red", "can't be fetched: [Errno 111] Connection refused"),
    ],
)
def test_addresses_that_cannot_be_asked(web, downloads, url, why):
    assert why in downloads.fetch({"a": url.format(port=web.server_port)})["a"] and not web.asked


def test_public_addresses():
    for address in ("93.184.215.14", "8.8.8.8", "2606:4700:4700::1111", "64:ff9b::808:808"):
        assert public(address), address
    private = "127.0.0.1 10.0.0.1 172.16.0.1 192.168.1.1 169.254.1.1 100.64.0.1 0.0.0.0 224.0.0.1 255.255.255.255 240.0.0.1 192.0.2.1"
    private += " :: ::1 fe80::1%eth0 fc00::1 ff02::1 ::ffff:10.0.0.1 2002:7f00:1:: 64:ff9b::7f00:1 64:ff9b:1::1 2001:db8::1"
    for address in private.split():
        assert not public(address), address


def test_what_counts_as_an_address():
    assert is_address("http://a/b") and is_address("HTTPS://a/b")
    assert not any(map(is_address, ("a/b.png", "ftp://a/b", "file:///a", "data:image/png;base64,xx", "//a/b.png", "see http://a")))


def test_interrupted_what_was_fetched_stays(web, downloads, monkeypatch):
    real, count = Downloads._fetch, []

    def fetch(self, url):
        count.append(url)
        if len(count) == 3:
            raise KeyboardInterrupt
        return real(self, url)

    monkeypatch.setattr(Downloads, "_fetch", fetch)
    monkeypatch.setattr("mllm_rec.data.download.THREADS", 1)
    items = {str(place): f"{web.url}/red?{place}" for place in range(6)}
    with pytest.raises(KeyboardInterrupt):
        downloads.fetch(items)
    monkeypatch.setattr(Downloads, "_fetch", real)
    asked = len(web.asked)
    assert 2 <= asked < 6
    downloads.fetch(items)
    assert len(web.asked) == 6 and not downloads.failed
