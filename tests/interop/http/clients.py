"""Clients of `portway serve` in Python: libcurl and niquests, by each version of HTTP.

    clients.py curl|niquests ROOT PORT

A line for each thing that was as it must be, `cell HTTP/VERSION WHAT`; anything else ends it.
"""

import sys

VERSIONS = ["HTTP/1.1", "HTTP/2", "HTTP/3"]
TEXT = b"all work and no play " * 500


def pattern(count):
    block = bytes(range(251))
    return (block * (count // len(block) + 1))[:count]


def curl(version, root, method, url, fields, content):
    from curl_cffi import Curl, CurlHttpVersion, CurlInfo, CurlOpt

    versions = [CurlHttpVersion.V1_1, CurlHttpVersion.V2TLS, CurlHttpVersion.V3ONLY]
    handle, lines, pieces = Curl(), [], []
    handle.setopt(CurlOpt.URL, url.encode())
    handle.setopt(CurlOpt.HTTP_VERSION, versions[VERSIONS.index(version)])
    handle.setopt(CurlOpt.CAINFO, root.encode())
    handle.setopt(CurlOpt.HEADERFUNCTION, lambda line: lines.append(line) or len(line))
    handle.setopt(CurlOpt.WRITEFUNCTION, lambda piece: pieces.append(piece) or len(piece))
    handle.setopt(CurlOpt.HTTPHEADER, [f"{name}: {value}".encode() for name, value in fields.items()])
    if "accept-encoding" in fields:
        handle.setopt(CurlOpt.ACCEPT_ENCODING, fields["accept-encoding"].encode())
    if method == "HEAD":
        handle.setopt(CurlOpt.NOBODY, 1)
    if method == "POST":
        handle.setopt(CurlOpt.POST, 1)
        handle.setopt(CurlOpt.POSTFIELDSIZE_LARGE, len(content))
        handle.setopt(CurlOpt.POSTFIELDS, content)
    handle.perform()
    number = {2: "HTTP/1.1", 3: "HTTP/2", 30: "HTTP/3"}[handle.getinfo(CurlInfo.HTTP_VERSION)]
    status = handle.getinfo(CurlInfo.RESPONSE_CODE)
    text = [line.decode().strip() for line in lines]
    pairs = {name.lower(): value for name, value in (it.split(": ", 1) for it in text if ": " in it)}
    return number, status, pairs, b"".join(pieces)


def is_left_without_end(root, url, content):
    """Whether niquests sends all content of a POST over HTTP/3, and then no end of its stream.

    It does so where it reads the begin of an answer first; it is tried until it was so.
    """
    from niquests.exceptions import ConnectionError as Failure
    from urllib3.backend.hface import HfaceBackend
    from urllib3.exceptions import EarlyResponse

    send, unsent = HfaceBackend.send, []

    def watched(self, data, *, eot=False):
        try:
            return send(self, data, eot=eot)
        except EarlyResponse:
            unsent.append((len(data), eot))
            raise

    HfaceBackend.send = watched
    for _ in range(20):
        unsent.clear()
        try:
            # A second is its own limit for reading.
            niquests("HTTP/3", root, "POST", url, {}, content, timeout=1)
        except Failure as failure:
            assert "Read timed out" in str(failure), failure
            # Without it the answer was only late.
            if unsent == [(0, True)]:
                return True
    return False


def niquests(version, root, method, url, fields, content, timeout=None):
    import niquests

    session = niquests.Session(
        disable_http1=version != "HTTP/1.1",
        disable_http2=version != "HTTP/2",
        disable_http3=version != "HTTP/3",
    )
    session.trust_env = False
    if version == "HTTP/3":
        host, port = url.split("/")[2].split(":")
        session.quic_cache_layer.add_domain(host, int(port))
    with session:
        answer = session.request(
            method, url, headers=fields, data=content, verify=root, timeout=timeout
        )
        number = {11: "HTTP/1.1", 20: "HTTP/2", 30: "HTTP/3"}[answer.http_version]
        return number, answer.status_code, answer.headers, answer.content


def main():
    ask, root, port = globals()[sys.argv[1]], sys.argv[2], sys.argv[3]
    base = f"https://localhost:{port}"
    for version in VERSIONS:

        def checked(method, path, expected, fields=None, content=None):
            answer = ask(version, root, method, base + path, fields or {}, content)
            number, status, _, _ = answer
            assert (number, status) == (version, expected), (method, path, number, status)
            return answer[2:]

        def passed(what):
            print("cell", version, what, flush=True)

        fields, body = checked("GET", "/file", 200)
        tag = fields["etag"]
        assert body == pattern(3000)
        assert checked("GET", "/large", 200)[1] == pattern(16 << 20)
        passed("GET")
        fields, body = checked("HEAD", "/file", 200)
        assert (fields["content-length"], body or b"") == ("3000", b"")
        passed("HEAD")
        if (ask, version) == (niquests, "HTTP/3"):
            assert is_left_without_end(root, base + "/echo", TEXT)
            passed("POST without an end")
        else:
            assert checked("POST", "/echo", 200, None, TEXT)[1] == TEXT
            passed("POST")
        assert checked("GET", "/file", 206, {"range": "bytes=10-19"})[1] == pattern(20)[10:]
        passed("ranges")
        checked("GET", "/file", 304, {"if-none-match": tag})
        passed("conditions")
        fields, body = checked("GET", "/text.html", 200, {"accept-encoding": "gzip"})
        assert (fields["content-encoding"], body) == ("gzip", TEXT)
        passed("compression")


main()
