"""HTTP/3 clients that a test drives by commands on standard input: libcurl, niquests.

    clients.py curl|niquests --ca FILE --port PORT

    get PATH [NAME:VALUE]    post PATH BYTES    many COUNT PATH    fresh

`fresh` makes the next request use a new connection, with the session of the one before where the
client keeps it. What is sent is the pattern of ../quic/peer.py. Each response becomes a line:

    answer STATUS HTTP interim=N bytes=N whole=0|1 NAME=VALUE...

`whole` tells whether the content is the beginning of that pattern; the names are those of fields
and trailers that begin with `x-`.
"""

import argparse
import sys


def pattern(count):
    block = bytes(range(251))
    return (block * (count // len(block) + 1))[:count]


def say(*words):
    print(*words, flush=True)


class Curl:
    def __init__(self, options):
        from curl_cffi import Curl

        self.options, self.handle, self.is_fresh = options, Curl(), False

    def request(self, method, path, content=None, field=None):
        from curl_cffi import CurlHttpVersion, CurlInfo, CurlOpt

        handle, lines, pieces = self.handle, [], []
        handle.reset()
        handle.setopt(CurlOpt.URL, f"https://localhost:{self.options.port}{path}".encode())
        handle.setopt(CurlOpt.HTTP_VERSION, CurlHttpVersion.V3ONLY)
        handle.setopt(CurlOpt.CAINFO, self.options.ca.encode())
        handle.setopt(CurlOpt.SSL_OPTIONS, EARLY_DATA)
        handle.setopt(CurlOpt.HEADERFUNCTION, lambda line: lines.append(line) or len(line))
        handle.setopt(CurlOpt.WRITEFUNCTION, lambda piece: pieces.append(piece) or len(piece))
        handle.setopt(CurlOpt.FRESH_CONNECT, int(self.is_fresh))
        fields = [b"Expect:", b"x-same: " + b"same" * 9, *([field.encode()] if field else [])]
        handle.setopt(CurlOpt.HTTPHEADER, fields)
        if method == "POST":
            handle.setopt(CurlOpt.POST, 1)
            handle.setopt(CurlOpt.POSTFIELDSIZE_LARGE, len(content))
            handle.setopt(CurlOpt.POSTFIELDS, content)
        self.is_fresh = False
        handle.perform()
        version = {30: "HTTP/3"}.get(handle.getinfo(CurlInfo.HTTP_VERSION), "other")
        status = handle.getinfo(CurlInfo.RESPONSE_CODE)
        text = [line.decode().strip() for line in lines]
        interim = sum(line.startswith("HTTP/3 1") for line in text)
        pairs = dict(line.split(": ", 1) for line in text if ": " in line)
        early = handle.getinfo(CurlInfo.EARLYDATA_SENT_T)
        return status, version, interim, b"".join(pieces), {**pairs, "x-early": early}

    def many(self, count, path):
        return all(self.request("GET", path)[0] == 200 for _ in range(count))

    def fresh(self):
        self.is_fresh = True


class Niquests:
    def __init__(self, options):
        self.options, self.session = options, None

    def open(self, is_multiplexed=False):
        import niquests

        if self.session is None:
            session = niquests.Session(
                disable_http1=True,
                disable_http2=True,
                multiplexed=is_multiplexed,
                verify=self.options.ca,
                headers={"x-same": "same" * 9},
            )
            # The environment may name other authorities.
            session.trust_env = False
            session.quic_cache_layer.add_domain("localhost", self.options.port)
            self.session = session
        return self.session

    def request(self, method, path, content=None, field=None):
        url, early = f"https://localhost:{self.options.port}{path}", []
        fields = dict([field.split(": ", 1)]) if field else {}
        hooks = {"early_response": [lambda response: early.append(response)]}
        session = self.open()
        response = session.request(method, url, data=content, headers=fields, hooks=hooks)
        version = {30: "HTTP/3"}.get(response.http_version, "other")
        content = response.content
        trailers = getattr(response, "trailers", None) or {}
        pairs = {**dict(response.headers), **dict(trailers)}
        return response.status_code, version, len(early), content, pairs

    def many(self, count, path):
        url, is_good = f"https://localhost:{self.options.port}{path}", True
        self.session, single = None, self.session
        session = self.open(is_multiplexed=True)
        for start in range(0, count, 50):
            responses = [session.get(url) for _ in range(min(50, count - start))]
            session.gather()
            is_good &= all(response.status_code == 200 for response in responses)
        self.session = single
        session.close()
        return is_good

    def fresh(self):
        if self.session is not None:
            self.session.close()
        self.session = None


def show(status, version, interim, content, pairs):
    whole = int(content == pattern(len(content)))
    words = [f"interim={interim}", f"bytes={len(content)}", f"whole={whole}"]
    words += [f"{name}={value}" for name, value in pairs.items() if name.startswith("x-")]
    say("answer", status, version, *words)


# CURLSSLOPT_EARLYDATA, which curl_cffi does not name.
EARLY_DATA = 1 << 6


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("client", choices=["curl", "niquests"])
    parser.add_argument("--ca")
    parser.add_argument("--port", type=int)
    options = parser.parse_args()
    client = {"curl": Curl, "niquests": Niquests}[options.client](options)
    for line in sys.stdin:
        command, *rest = line.split()
        if command == "get":
            show(*client.request("GET", rest[0], field=" ".join(rest[1:])))
        elif command == "post":
            show(*client.request("POST", rest[0], pattern(int(rest[1]))))
        elif command == "many":
            say("all answered" if client.many(int(rest[0]), rest[1]) else "failed")
        elif command == "fresh":
            client.fresh()


if __name__ == "__main__":
    main()
