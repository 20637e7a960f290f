"""HTTP/3 peers that a test starts: aioquic at either end, libcurl as a client.

    peer.py server --cert FILE --key FILE               aioquic; listens and says where
    peer.py aioquic --ca FILE --port PORT REQUEST...    one connection, all requests at once
    peer.py curl --ca FILE --port PORT REQUEST...       one session, one request after the other

A REQUEST is METHOD:PATH[:BYTES[:TRAILER]]: so many bytes of content and the value of a trailer
`x-trailer`. Each response becomes a line:

    response METHOD PATH STATUS VERSION x-method=... x-path=... bytes=N sha=... [x-trailer=...]

The server answers with the content that it got (`/bytes/N`: N bytes) and its trailers, and says
which requests it saw.
"""

import argparse
import asyncio
import hashlib

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import serve
from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration


def pattern(count):
    block = bytes(range(251))
    return (block * (count // len(block) + 1))[:count]


class Request:
    def __init__(self, text):
        method, path, count, trailer = (text.split(":") + ["", ""])[:4]
        self.method, self.path, self.trailer = method, path, trailer
        self.content = pattern(int(count or 0))


class Message:
    """What came on one stream."""

    def __init__(self):
        self.headers = None
        self.content = b""
        self.trailers = {}
        self.is_whole = False

    def on(self, event):
        if isinstance(event, HeadersReceived):
            fields = {name.decode(): value.decode() for name, value in event.headers}
            if self.headers is None or self.headers[":status"].startswith("1"):
                self.headers = fields
            else:
                self.trailers = fields
        elif isinstance(event, DataReceived):
            self.content += event.data
        self.is_whole |= getattr(event, "stream_ended", False)


def show(request, status, version, headers, content, trailers):
    words = [f"response {request.method} {request.path} {status} {version}"]
    words += [f"{name}={headers[name]}" for name in ("x-method", "x-path") if name in headers]
    words += [f"bytes={len(content)}", f"sha={hashlib.sha256(content).hexdigest()[:16]}"]
    words += [f"{name}={value}" for name, value in trailers.items()]
    print(*words, flush=True)


class Server(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic)
        self.messages = {}

    def quic_event_received(self, event):
        for event in self.http.handle_event(event):
            stream = getattr(event, "stream_id", None)
            if stream is None:
                continue
            message = self.messages.setdefault(stream, Message())
            if isinstance(event, HeadersReceived) and message.headers is None:
                fields = {name.decode(): value.decode() for name, value in event.headers}
                message.headers = {":status": "", **fields}
                message.is_whole |= event.stream_ended
            else:
                message.on(event)
            if message.is_whole:
                self.answer(stream, message)
        self.transmit()

    def answer(self, stream, message):
        path = message.headers[":path"]
        print("request", message.headers[":method"], path, len(message.content), flush=True)
        content = message.content
        if path.startswith("/bytes/"):
            content = pattern(int(path[7:]))
        headers = [(b":status", b"200"), (b"x-path", path.encode())]
        trailers = [(b"x-trailer", path.encode())] if path == "/trailers" else []
        self.http.send_headers(stream, headers)
        self.http.send_data(stream, content, not trailers)
        if trailers:
            self.http.send_headers(stream, trailers, True)


class Client(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic)
        self.messages, self.done = {}, {}

    async def send(self, request, authority):
        stream = self._quic.get_next_available_stream_id()
        self.messages[stream] = message = Message()
        self.done[stream] = asyncio.get_running_loop().create_future()
        headers = [
            (b":method", request.method.encode()),
            (b":scheme", b"https"),
            (b":authority", authority.encode()),
            (b":path", request.path.encode()),
            (b"user-agent", b"aioquic"),
        ]
        is_empty = not request.content and not request.trailer
        self.http.send_headers(stream, headers, is_empty)
        if not is_empty:
            self.http.send_data(stream, request.content, not request.trailer)
        if request.trailer:
            self.http.send_headers(stream, [(b"x-trailer", request.trailer.encode())], True)
        self.transmit()
        await self.done[stream]
        status = message.headers[":status"]
        show(request, status, "3", message.headers, message.content, message.trailers)

    def quic_event_received(self, event):
        for event in self.http.handle_event(event):
            stream = getattr(event, "stream_id", None)
            if stream in self.messages:
                self.messages[stream].on(event)
                if self.messages[stream].is_whole:
                    self.done[stream].set_result(None)


async def run_server(options):
    configuration = QuicConfiguration(is_client=False, alpn_protocols=["h3"])
    configuration.load_cert_chain(options.cert, options.key)
    server = await serve("127.0.0.1", 0, configuration=configuration, create_protocol=Server)
    print("LISTEN 127.0.0.1:%d" % server._transport.get_extra_info("sockname")[1], flush=True)
    await asyncio.get_running_loop().create_future()


async def run_aioquic(options):
    configuration = QuicConfiguration(is_client=True, alpn_protocols=["h3"])
    configuration.load_verify_locations(options.ca)
    configuration.server_name = "localhost"
    authority = f"localhost:{options.port}"
    address = ("127.0.0.1", options.port)
    async with connect(*address, configuration=configuration, create_protocol=Client) as client:
        requests = [Request(text) for text in options.requests]
        await asyncio.gather(*(client.send(request, authority) for request in requests))
    print("done", flush=True)


def run_curl(options):
    from curl_cffi import CurlHttpVersion, CurlInfo, requests

    session = requests.Session(http_version=CurlHttpVersion.V3ONLY, verify=options.ca)
    for text in options.requests:
        request = Request(text)
        url = f"https://localhost:{options.port}{request.path}"
        content = request.content if request.method == "POST" else None
        response = session.request(request.method, url, data=content)
        version = {30: "3"}.get(response.http_version, response.http_version)
        show(request, response.status_code, version, response.headers, response.content, {})
    session.close()
    print("done", flush=True)


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["server", "aioquic", "curl"])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--cert")
    parser.add_argument("--key")
    parser.add_argument("--ca")
    parser.add_argument("requests", nargs="*")
    return parser.parse_intermixed_args()


if __name__ == "__main__":
    options = arguments()
    if options.role == "server":
        asyncio.run(run_server(options))
    elif options.role == "aioquic":
        asyncio.run(run_aioquic(options))
    else:
        run_curl(options)
