"""A QUIC peer that a test drives: aioquic, commands on standard input, what happens on output.

    peer.py server --cert FILE --key FILE [options]     listens and says where
    peer.py client --ca FILE --name NAME --port PORT    waits for the command `connect`

Modes decide what is done without a command: `echo` returns what comes on streams and datagrams,
`perf` answers each stream with as many bytes as its first eight say, `script` does nothing.
Commands, one a line; streams are named by their numbers:

    connect [early]     with the ticket of an earlier connection, if there is one; `early` opens a
                        stream with the text `early` in the first flight
    open bidi|uni       write ID TEXT       fill ID COUNT       finish ID
    reset ID CODE       stop ID CODE        datagram TEXT       ping
    key-update          rebind              new-id              close CODE [REASON]
    cheat RULE          breaks a rule of QUIC: streams, window, datagram or acknowledge
    exit
"""

import argparse
import asyncio
import hashlib
import os
import socket
import sys

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import serve
from aioquic.quic import events
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.tls import Epoch


def say(*words):
    """One line; a test that has ended reads no more."""
    try:
        print(*words, flush=True)
    except BrokenPipeError:
        os._exit(0)


def pattern(count):
    """The bytes that transfers consist of: both sides can make and check them."""
    block = bytes(range(251))
    return (block * (count // len(block) + 1))[:count]


def is_own(stream, is_client):
    """Whether this side opened the stream."""
    return (stream & 1 == 0) == is_client


class Peer(QuicConnectionProtocol):
    """One connection."""

    def __init__(self, quic, stream_handler=None, options=None, peers=None):
        super().__init__(quic)
        self.options = options
        self.received = {}
        self.peer_address = None
        self.phase = 0
        self.answers = {}
        self.waiting = {}
        if peers is not None:
            peers.append(self)

    def datagram_received(self, data, addr):
        super().datagram_received(data, addr)
        if addr != self.peer_address:
            if self.peer_address is not None:
                say("path", f"{addr[0]} {addr[1]}")
            self.peer_address = addr
        crypto = [pair for pair in self._quic._cryptos.values() if pair.key_phase != 0]
        phase = max((pair.key_phase for pair in crypto), default=0)
        if phase != self.phase:
            self.phase = phase
            say("key-phase", phase)

    def quic_event_received(self, event):
        if isinstance(event, events.HandshakeCompleted):
            say(
                "connected",
                f"alpn={event.alpn_protocol}",
                f"resumed={int(event.session_resumed)}",
                f"early={int(event.early_data_accepted)}",
            )
        elif isinstance(event, events.StreamDataReceived):
            self.on_data(event)
        elif isinstance(event, events.StreamReset):
            say("reset", event.stream_id, event.error_code)
        elif isinstance(event, events.StopSendingReceived):
            say("stopped", event.stream_id, event.error_code)
        elif isinstance(event, events.DatagramFrameReceived):
            say("datagram", len(event.data), event.data.decode("utf-8", "replace")[:64])
            if self.options.mode == "echo":
                self._quic.send_datagram_frame(event.data)
        elif isinstance(event, events.PingAcknowledged):
            say("ponged")
        elif isinstance(event, events.ConnectionTerminated):
            kind = "application" if event.frame_type is None else "transport"
            say("terminated", kind, event.error_code, event.reason_phrase)

    def on_data(self, event):
        stream, data = event.stream_id, event.data
        count, digest = self.received.get(stream, (0, hashlib.sha256()))
        digest.update(data)
        self.received[stream] = (count + len(data), digest)
        if self.options.mode == "script" and data:
            say("data", stream, len(data), data.decode("utf-8", "replace")[:64])
        if event.end_stream:
            say("finished", stream, count + len(data), digest.hexdigest())
        if self.options.mode == "echo":
            self.echo(stream, data, event.end_stream)
        elif self.options.mode == "perf":
            self.serve_perf(stream, data, event.end_stream)

    def echo(self, stream, data, is_end):
        is_client = self._quic.configuration.is_client
        if is_own(stream, is_client):
            return
        if stream & 2 == 0:
            self._quic.send_stream_data(stream, data, is_end)
            return
        if stream not in self.answers:
            self.answers[stream] = self._quic.get_next_available_stream_id(True)
        self._quic.send_stream_data(self.answers[stream], data, is_end)

    def serve_perf(self, stream, data, is_end):
        head = self.waiting.get(stream, b"")
        self.waiting[stream] = (head + data)[:8]
        if is_end and stream & 2 == 0:
            count = int.from_bytes(self.waiting.pop(stream), "big")
            self._quic.send_stream_data(stream, pattern(count), True)

    def early(self):
        """What goes with the first flight."""
        stream = self._quic.get_next_available_stream_id()
        self._quic.send_stream_data(stream, b"early", True)
        say("opened", stream)

    def cheat(self, rule):
        """Does what the other side has not allowed."""
        quic = self._quic
        stream = quic.get_next_available_stream_id()
        if rule == "streams":
            quic._remote_max_streams_bidi = 1 << 20
            quic.send_stream_data(stream + 4 * 5000, b"too many")
        elif rule == "window":
            quic._remote_max_data = 1 << 30
            quic.send_stream_data(stream, pattern(3_000_000))
            quic._streams[stream].max_stream_data_remote = 1 << 30
        elif rule == "datagram":
            quic._remote_max_datagram_frame_size = 1 << 16
            quic.send_datagram_frame(pattern(1000))
        elif rule == "acknowledge":
            space = quic._spaces[Epoch.ONE_RTT]
            space.ack_queue.add(5000)
            space.ack_at = 0.0
            quic.send_ping(1)
        else:
            say("unknown", rule)

    def obey(self, words):
        """Carries a command out on this connection."""
        command, *rest = words
        if command == "open":
            stream = self._quic.get_next_available_stream_id(rest[0] == "uni")
            self._quic.send_stream_data(stream, b"")
            say("opened", stream)
        elif command == "write":
            self._quic.send_stream_data(int(rest[0]), " ".join(rest[1:]).encode())
        elif command == "fill":
            data = pattern(int(rest[1]))
            self._quic.send_stream_data(int(rest[0]), data)
            say("filled", rest[0], hashlib.sha256(data).hexdigest())
        elif command == "finish":
            self._quic.send_stream_data(int(rest[0]), b"", True)
        elif command == "reset":
            self._quic.reset_stream(int(rest[0]), int(rest[1]))
        elif command == "stop":
            self._quic.stop_stream(int(rest[0]), int(rest[1]))
        elif command == "datagram":
            self._quic.send_datagram_frame(" ".join(rest).encode())
        elif command == "ping":
            self._quic.send_ping(1)
        elif command == "key-update":
            self._quic.request_key_update()
        elif command == "new-id":
            self._quic.change_connection_id()
        elif command == "cheat":
            self.cheat(rest[0])
        elif command == "close":
            self._quic.close(error_code=int(rest[0]), reason_phrase=" ".join(rest[1:]))
        else:
            say("unknown", command)
        self.transmit()


class Driver:
    """The process: its connections, tickets and commands."""

    def __init__(self, options):
        self.options = options
        self.peers = []
        self.tickets = {}
        self.ticket = None
        self.token = b""

    def configuration(self):
        options = self.options
        configuration = QuicConfiguration(
            is_client=options.role == "client",
            alpn_protocols=options.alpn.split(","),
            idle_timeout=options.idle,
            max_datagram_frame_size=65536 if options.datagrams else None,
            max_data=options.window,
            max_stream_data=options.window,
        )
        if options.role == "server":
            configuration.load_cert_chain(options.cert, options.key)
        else:
            configuration.load_verify_locations(options.ca)
            configuration.server_name = options.name
        return configuration

    def make(self, quic, stream_handler=None):
        return Peer(quic, options=self.options, peers=self.peers)

    async def listen(self):
        server = await serve(
            self.options.host,
            self.options.port,
            configuration=self.configuration(),
            create_protocol=self.make,
            session_ticket_fetcher=lambda label: self.tickets.pop(label, None),
            session_ticket_handler=lambda ticket: self.tickets.update({ticket.ticket: ticket}),
            retry=self.options.retry,
        )
        host, port = server._transport.get_extra_info("sockname")[:2]
        say("LISTEN", f"[{host}]:{port}" if ":" in host else f"{host}:{port}")

    async def connect(self, words):
        configuration = self.configuration()
        configuration.session_ticket = self.ticket
        configuration.token = self.token

        def keep_ticket(ticket):
            self.ticket = ticket
            say("ticket", ticket.max_early_data_size or 0)

        def keep_token(token):
            self.token = token

        quic = QuicConnection(
            configuration=configuration,
            session_ticket_handler=keep_ticket,
            token_handler=keep_token,
        )
        _, peer = await self.endpoint(lambda: self.make(quic))
        is_early = "early" in words
        peer.connect(self.remote(), transmit=not is_early)
        if is_early:
            peer.early()
            peer.transmit()

    def family(self):
        return socket.AF_INET6 if ":" in self.options.host else socket.AF_INET

    def remote(self):
        address = (self.options.host, self.options.port)
        return address + (0, 0) if self.family() == socket.AF_INET6 else address

    async def endpoint(self, make):
        endpoint = socket.socket(self.family(), socket.SOCK_DGRAM)
        endpoint.bind((self.options.local, 0))
        loop = asyncio.get_running_loop()
        return await loop.create_datagram_endpoint(make, sock=endpoint)

    async def rebind(self):
        """Another local port, as after a NAT has forgotten: nothing else changes."""
        peer = self.peers[-1]
        before = peer._transport

        class Relay(asyncio.DatagramProtocol):
            def datagram_received(self, data, addr):
                peer.datagram_received(data, addr)

        peer._transport, _ = await self.endpoint(Relay)
        before.close()
        peer._quic.send_ping(1)
        peer.transmit()

    async def run(self):
        if self.options.role == "server":
            await self.listen()
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            words = line.decode().split()
            if not words:
                continue
            try:
                if words[0] == "exit":
                    return
                if words[0] == "connect":
                    await self.connect(words[1:])
                elif words[0] == "rebind":
                    await self.rebind()
                elif self.peers:
                    self.peers[-1].obey(words)
                else:
                    say("failed", "there is no connection")
            except Exception as error:  # The test must learn of it, whatever it is.
                say("failed", type(error).__name__, error)


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["server", "client"])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--local", default="")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--name", default="localhost")
    parser.add_argument("--cert")
    parser.add_argument("--key")
    parser.add_argument("--ca")
    parser.add_argument("--alpn", default="portway")
    parser.add_argument("--mode", choices=["echo", "perf", "script"], default="script")
    parser.add_argument("--retry", action="store_true")
    parser.add_argument("--datagrams", action="store_true")
    parser.add_argument("--idle", type=float, default=30)
    parser.add_argument("--window", type=int, default=1 << 20)
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(Driver(arguments()).run())
