"""An HTTP/3 peer that a test drives: aioquic, with the commands of ../quic/peer.py and these:

    get PATH [PRIORITY] post PATH BYTES [TRAILER]    many COUNT PATH    open PATH   end ID
    tunnel PATH         send ID TEXT                 goaway ID          release     qpack
    digest BYTES

A server returns content and trailers; `/bytes/N` gives N bytes, `/sink` a count, `/interim` comes
after two 103, `/push` after a push of `/pushed`, `/hold` when it is told `release`; an extended
CONNECT gets its datagrams back. What comes is said, one line each: `answer ID STATUS interim=N
bytes=N sha=... [x-trailer=...]`, `promise PATH`, `pushed STATUS TEXT`, `goaway`.
"""

import asyncio
import hashlib
import importlib.util
import pathlib

from aioquic.buffer import encode_uint_var
from aioquic.h3.connection import FrameType, H3Connection, encode_frame
from aioquic.h3.events import DatagramReceived, DataReceived, HeadersReceived, PushPromiseReceived

PLACE = pathlib.Path(__file__).parent.parent / "quic" / "peer.py"
SPEC = importlib.util.spec_from_file_location("quic_peer", PLACE)
quic = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(quic)
say = quic.say


class Http(H3Connection):
    """aioquic skips GOAWAY; that it came is all that is added."""

    def _check_control_frame_type(self, frame_type):
        if frame_type == FrameType.GOAWAY:
            say("goaway")
        super()._check_control_frame_type(frame_type)


class Message:
    """What came on one stream."""

    def __init__(self):
        self.headers, self.trailers, self.interim = None, {}, 0
        self.size, self.kept, self.digest = 0, bytearray(), hashlib.sha256()

    def on(self, event):
        if isinstance(event, DataReceived):
            self.size += len(event.data)
            self.digest.update(event.data)
            if not self.headers.get(":path", "").startswith("/sink"):
                self.kept += event.data
            return
        fields = {name.decode(): value.decode() for name, value in event.headers}
        if fields.get(":status", "").startswith("1"):
            self.interim += 1
        elif self.headers is None:
            self.headers = fields
        else:
            self.trailers = fields


class Peer(quic.Peer):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = Http(self._quic, enable_webtransport=self.options.datagrams)
        self.messages, self.held, self.many = {}, [], set()

    def quic_event_received(self, event):
        if not isinstance(event, quic.events.StreamDataReceived | quic.events.DatagramFrameReceived):
            super().quic_event_received(event)
        for event in self.http.handle_event(event):
            if isinstance(event, PushPromiseReceived):
                say("promise", dict(event.headers)[b":path"].decode())
            elif isinstance(event, DatagramReceived):
                self.on_datagram(event)
            elif isinstance(event, DataReceived | HeadersReceived):
                self.on_message(event)
        self.transmit()

    def on_datagram(self, event):
        say("datagram", event.stream_id, event.data.decode())
        if self.options.role == "server":
            self.http.send_datagram(event.stream_id, event.data)

    def on_message(self, event):
        stream = event.stream_id
        message = self.messages.setdefault(stream, Message())
        message.on(event)
        is_server = self.options.role == "server"
        is_tunnel = message.headers and message.headers.get(":protocol")
        if is_server and is_tunnel and isinstance(event, HeadersReceived):
            self.http.send_headers(stream, [(b":status", b"200")])
        if not is_server and message.headers and stream not in self.many:
            if isinstance(event, HeadersReceived) and not event.stream_ended:
                say("head", stream, message.headers.get(":status", "103"))
        if not event.stream_ended:
            return
        del self.messages[stream]
        if is_tunnel:
            self._quic.send_stream_data(stream, b"", True)
        elif is_server and message.headers[":path"] == "/hold":
            say("held", stream)
            self.held.append((stream, message))
        elif is_server:
            self.answer(stream, message)
        elif event.push_id is not None:
            say("pushed", message.headers[":status"], message.kept.decode())
        elif stream in self.many:
            self.many.remove(stream)
            if message.headers[":status"] != "200":
                say("failed", message.headers)
            if not self.many:
                say("all answered")
        else:
            words = [f"interim={message.interim}", f"bytes={message.size}"]
            words.append(f"sha={message.digest.hexdigest()[:16]}")
            words += [f"{name}={value}" for name, value in message.trailers.items()]
            words += [f"x-sink={message.headers['x-sink']}"] if "x-sink" in message.headers else []
            say("answer", stream, message.headers[":status"], *words)

    def answer(self, stream, message):
        path = message.headers[":path"]
        content = bytes(message.kept)
        if path.startswith("/bytes/"):
            content = quic.pattern(int(path[7:]))
        elif path == "/sink":
            content = f"{message.size} {message.digest.hexdigest()[:16]}".encode()
        elif path == "/interim":
            for _ in range(2):
                self.http.send_headers(stream, [(b":status", b"103"), (b"link", b"</style>")])
        elif path == "/push":
            self.push(stream, message.headers[":authority"])
        trailers = [(name.encode(), value.encode()) for name, value in message.trailers.items()]
        fields = [(b":status", b"200"), (b"x-path", path.encode()), (b"server", b"aioquic")]
        self.http.send_headers(stream, fields)
        self.http.send_data(stream, content, not trailers)
        if trailers:
            self.http.send_headers(stream, trailers, True)

    def push(self, stream, authority):
        promised = self.head("GET", "/pushed", authority)
        pushed = self.http.send_push_promise(stream, promised)
        self.http.send_headers(pushed, [(b":status", b"200")])
        self.http.send_data(pushed, b"pushed", True)

    def head(self, method, path, authority=None):
        authority = authority or f"localhost:{self.options.port}"
        fields = {":method": method, ":scheme": "https", ":authority": authority, ":path": path}
        return [(name.encode(), value.encode()) for name, value in fields.items()]

    def request(self, method, path, count=0, trailer=None, priority=None):
        stream = self._quic.get_next_available_stream_id()
        fields = self.head(method, path) + [(b"user-agent", b"aioquic"), (b"x-same", b"same" * 9)]
        fields += [(b"priority", priority.encode())] if priority else []
        self.http.send_headers(stream, fields, method == "GET")
        if method == "POST":
            self.http.send_data(stream, quic.pattern(count), not trailer)
        if trailer:
            self.http.send_headers(stream, [(b"x-trailer", trailer.encode())], True)
        return stream

    def early(self):
        self.request("GET", "/early")

    def obey(self, words):
        command, *rest = words
        if command == "get":
            self.request("GET", rest[0], priority=rest[1] if len(rest) > 1 else None)
        elif command == "post":
            self.request("POST", rest[0], int(rest[1]), *rest[2:])
        elif command == "many":
            self.many |= {self.request("GET", rest[1]) for _ in range(int(rest[0]))}
        elif command == "open":
            stream = self._quic.get_next_available_stream_id()
            self.http.send_headers(stream, self.head("POST", rest[0]))
            say("opened", stream)
        elif command == "end":
            self.http.send_data(int(rest[0]), b"the end", True)
        elif command == "tunnel":
            stream = self._quic.get_next_available_stream_id()
            self.http.send_headers(stream, self.head("CONNECT", rest[0]) + [PROTOCOL])
            say("opened", stream)
        elif command == "send":
            self.http.send_datagram(int(rest[0]), rest[1].encode())
        elif command == "goaway":
            frame = encode_frame(FrameType.GOAWAY, encode_uint_var(int(rest[0])))
            self._quic.send_stream_data(self.http._local_control_stream_id, frame)
        elif command == "release":
            for held in self.held:
                self.answer(*held)
            self.held.clear()
        elif command == "digest":
            say("digest", hashlib.sha256(quic.pattern(int(rest[0]))).hexdigest()[:16])
        elif command == "qpack":
            http = self.http
            say("qpack", http._encoder_bytes_sent, http._decoder_bytes_received,
                http._encoder_bytes_received, http._decoder_bytes_sent)
        else:
            return super().obey(words)
        self.transmit()


class Driver(quic.Driver):
    def make(self, connection, stream_handler=None):
        return Peer(connection, options=self.options, peers=self.peers)


# What examples/h3_datagram.rs speaks.
PROTOCOL = (b":protocol", b"portway-datagram-echo")

if __name__ == "__main__":
    asyncio.run(Driver(quic.arguments()).run())
