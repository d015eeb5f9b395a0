"""Pictures that a catalog names by their addresses on the web: fetched once, from public addresses only, and kept.

A catalog is somebody else's text: an address in it must not make this machine ask its own network, nor wait or read without end.
"""

import hashlib
import http.client
import ipaddress
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from urllib.parse import quote, urljoin, urlsplit

from tqdm import tqdm

from mllm_rec import __version__
from mllm_rec.data import pictures
from mllm_rec.data.files import atomic, read_json, write_json

#: Pictures fetched at the same time.
THREADS = 8
_HEADERS = {"User-Agent": f"mllm-rec/{__version__}", "Accept": "image/*", "Accept-Encoding": "identity", "Connection": "close"}
_PORTS = {"http": 80, "https": 443}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_NAT64_LOCAL = ipaddress.ip_network("64:ff9b:1::/48")


@dataclass(frozen=True)
class Limits:
    """What one picture may cost."""

    bytes: int = 20_000_000
    seconds: float = 60.0  #: for the whole of it
    silence: float = 15.0  #: seconds without an answer or a byte
    redirects: int = 5


class _Refused(Exception):
    """Why there is no picture, as the end of a sentence that begins with its address."""


def is_address(cell: str) -> bool:
    """Whether a cell is an address on the web."""
    return re.match(r"https?://", cell, re.IGNORECASE) is not None


def public(address: str) -> bool:
    """Whether a network address is one of the open internet: not private, of this machine, of its link, or for many."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip in _NAT64_LOCAL:
            return False
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return public(str(inner))
    return ip.is_global and not ip.is_multicast


class Downloads:
    """The pictures of one catalog that come from the web.

    Names are resolved here, once, and the connection goes to the address that was judged: a name that leads elsewhere a moment
    later gains nothing. Proxies that the environment names are not used, for they would resolve names themselves.

    Args:
        folder: where pictures are kept, a file for each address.
        allowed: which network addresses may be asked.
        limits: what one picture may cost.

    Attributes:
        failed: by item id the address that gave no picture; kept in ``folder`` by ``save``.
    """

    def __init__(self, folder: Path, allowed: Callable[[str], bool] = public, limits: Limits = Limits()):
        self.folder, self.allowed, self.limits = Path(folder), allowed, limits
        self._record = self.folder / "failed.json"
        self.failed: dict[str, str] = read_json(self._record) if self._record.exists() else {}

    def save(self) -> None:
        """Note what failed."""
        if self.failed or self._record.exists():
            write_json(self._record, self.failed)

    def fetch(self, items: Mapping[str, str]) -> dict[str, Path | str]:
        """By item id the file of its picture, or why there is none; what is in the folder is not asked for again.

        Interrupted, the pictures that were fetched stay.

        Args:
            items: address by item id.
        """
        urls = dict.fromkeys(items.values())
        found: dict[str, Path | str] = {url: path for url in urls if (path := self._place(url)).exists()}
        new = [url for url in urls if url not in found]
        pool = ThreadPoolExecutor(THREADS)
        try:
            waiting = {pool.submit(self._fetch, url): url for url in new}
            for done in tqdm(as_completed(waiting), "downloads", len(new), unit="picture", disable=None if new else True):
                found[waiting[done]] = done.result()
        finally:
            pool.shutdown(cancel_futures=True)
        for item, url in items.items():
            self.failed.pop(item, None)
            if isinstance(found[url], str):
                self.failed[item] = url
        return {item: found[url] for item, url in items.items()}

    def _place(self, url: str) -> Path:
        return self.folder / hashlib.sha256(url.encode()).hexdigest()[:32]

    def _fetch(self, url: str) -> Path | str:
        path = self._place(url)
        try:
            with atomic(path) as temporary:
                with open(temporary, "wb") as file:
                    for chunk in self._chunks(url):
                        file.write(chunk)
                if fault := pictures.fault(temporary.parent, temporary.name):
                    raise _Refused(fault)
        except _Refused as why:
            return str(why)
        return path

    def _chunks(self, url: str) -> Iterator[bytes]:
        """The content at an address, where it is a redirect that of its target.

        Raises:
            _Refused: there is none, or it may not be had.
        """
        ends = monotonic() + self.limits.seconds
        try:
            for _ in range(self.limits.redirects + 1):
                host, port, target, secure = _parts(url)
                with self._connected(host, port, secure, ends) as connection:
                    connection.request("GET", target, headers=_HEADERS)
                    response = connection.getresponse()
                    if response.status in (301, 302, 303, 307, 308) and (location := response.headers.get("Location")):
                        url = urljoin(url, location)
                        continue
                    if response.status != 200:
                        raise _Refused(f"answered {response.status} {response.reason}".rstrip())
                    yield from self._read(response, ends)
                    return
            raise _Refused(f"was redirected more than {self.limits.redirects} times")
        except (OSError, http.client.HTTPException, ValueError) as error:
            if monotonic() >= ends:
                raise self._too_slow() from None
            raise _Refused(f"can't be fetched: {error or type(error).__name__}") from None

    def _read(self, response: http.client.HTTPResponse, ends: float) -> Iterator[bytes]:
        size = 0
        while chunk := response.read1(1 << 16):
            size += len(chunk)
            if size > self.limits.bytes:
                raise _Refused(f"has more than {self.limits.bytes / 1e6:g} MB")
            yield chunk
        if monotonic() >= ends:
            raise self._too_slow()
        if response.length:
            raise _Refused(f"broke off after {size} bytes")

    def _too_slow(self) -> _Refused:
        return _Refused(f"took longer than {self.limits.seconds:g} seconds")

    @contextmanager
    def _connected(self, host: str, port: int, secure: bool, ends: float) -> Iterator[http.client.HTTPConnection]:
        """A connection to one of the host's addresses, all of which are allowed; it is hung up when the time is over."""
        link = self._link(host, port, ends)
        connection = http.client.HTTPConnection(host, port)
        if secure:
            link = ssl.create_default_context().wrap_socket(link, server_hostname=host, do_handshake_on_connect=False)
            connection = http.client.HTTPSConnection(host, port)
        connection.sock = link
        timer = threading.Timer(max(0.0, ends - monotonic()), _hang_up, [link])
        timer.daemon = True
        timer.start()
        try:
            if isinstance(link, ssl.SSLSocket):
                link.do_handshake()
            yield connection
        finally:
            timer.cancel()
            connection.close()

    def _link(self, host: str, port: int, ends: float) -> socket.socket:
        addresses = list(dict.fromkeys(str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
        for address in addresses:
            if not self.allowed(address):
                raise _Refused(f"leads to {address}, which is no public address")
        error: OSError = OSError("its name leads nowhere")
        for address in addresses:
            try:
                return socket.create_connection((address, port), timeout=max(0.01, min(self.limits.silence, ends - monotonic())))
            except OSError as failed:
                error = failed
        raise error


def _parts(url: str) -> tuple[str, int, str, bool]:
    """Host, port, path with query, and whether it is https.

    Raises:
        _Refused: it is none that may be asked.
    """
    parts = urlsplit(url)
    if parts.scheme not in _PORTS:
        raise _Refused(f"is not http or https but {parts.scheme or 'nothing'}")
    if parts.username is not None or parts.password is not None:
        raise _Refused("holds a name or a password")
    if not parts.hostname:
        raise _Refused("names no host")
    host = parts.hostname if ":" in parts.hostname else parts.hostname.encode("idna").decode()
    safe = "/%:=&?~#+!$,;'@()*[]"
    target = quote(parts.path or "/", safe=safe) + (f"?{quote(parts.query, safe=safe)}" if parts.query else "")
    return host, parts.port or _PORTS[parts.scheme], target, parts.scheme == "https"


def _hang_up(link: socket.socket) -> None:
    try:
        socket.socket.shutdown(link, socket.SHUT_RDWR)  # under TLS too: whoever reads it wakes up
    except OSError:
        return  # closed already
