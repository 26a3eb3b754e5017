"""An HTTP server that misbehaves, one way for each path. It is written with bare sockets, so that it can."""

import collections
import itertools
import socket
import socketserver
import struct
import threading
import time

PATIENCE = 60       # seconds after which a hanging reply gives up
OK = b"HTTP/1.1 200 OK\r\n"

# Whole replies, after which the connection ends.
REPLIES = {
    "/fine": OK + b"Content-Length: 4\r\n\r\nfine",
    "/nothing": b"",
    "/truncated": OK + b"Content-Length: 1000\r\n\r\n0123456789",
    "/truncated-head": OK + b"Content-Type: text/pl",
    "/truncated-chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n10\r\nonly this",
    "/no-last-chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n",
    "/bad-chunk": OK + b"Transfer-Encoding: chunked\r\n\r\nfour\r\nfour\r\n0\r\n\r\n",
    "/long-chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nfour\r\n0\r\n\r\n",
    "/other-coding": OK + b"Transfer-Encoding: gzip\r\n\r\nfour",
    "/bad-length": OK + b"Content-Length: ten\r\n\r\n0123456789",
    "/two-lengths": OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nfives",
    "/bad-header": OK + b"no colon here\r\n\r\n",
    "/garbage": b"220 mail.example ESMTP ready\r\n",
    "/binary": bytes(range(1, 10)) + bytes(range(11, 256)) * 100,
    "/long-line": OK + b"Name: " + b"x" * 100000 + b"\r\n\r\n",
    "/many-lines": OK + b"Name: value\r\n" * 10000 + b"\r\n",
    "/to-https": b"HTTP/1.1 301 Moved\r\nLocation: https://example.invalid/\r\n\r\n",
    "/loop": b"HTTP/1.1 302 Found\r\nLocation: /loop\r\n\r\n",
    "/deep/relative": b"HTTP/1.1 302 Found\r\nLocation: ../fine?and=more\r\nContent-Length: 100\r\n\r\n",
    "/control": b"HTTP/1.1 404 \x1b[31mred\x07 \xff \"quoted\" \\ \xc3\xa9\r\nContent-Length: 0\r\n\r\n",
    "/until-close": OK + b"\r\nuntil the end",
    "/line-feeds": b"HTTP/1.1 200 OK\nContent-Length: 4\n\nfine",
    "/no-reason": b"HTTP/1.1 200\r\nContent-Length: 4\r\n\r\nfine",
    "/interim": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK
                + b"Content-Length: 4\r\n\r\nfine",
    "/same-lengths": OK + b"Content-Length: 4\r\nContent-Length: 4\r\n\r\nfine",
}

# Replies, or beginnings, after which the server waits until the client closes the connection.
HELD = {
    "/hang": b"",
    "/hang-head": OK + b"Content-Le",
    "/hang-body": OK + b"Content-Length: 10\r\n\r\nhalf",
    "/held": OK + b"Content-Length: 4\r\n\r\nfine",
    "/held-chunked": OK + b"Transfer-Encoding: chunked\r\n\r\n4;name=\"value\"\r\nfine\r\n0\r\nTrailer: yes\r\n\r\n",
    "/held-no-content": b"HTTP/1.1 204 No Content\r\n\r\n",
}


class Handler(socketserver.StreamRequestHandler):
    timeout = PATIENCE

    def handle(self):
        try:
            path = self.read_request()
            self.answer(path)
        except OSError:
            pass                    # the client went away

    def read_request(self):
        line = self.rfile.readline(65536).decode("latin-1")
        while self.rfile.readline(65536) not in (b"\r\n", b"\n", b""):
            pass
        return line.split(" ")[1] if line.count(" ") == 2 else "/garbage"

    def answer(self, path):
        plain = path.partition("?")[0]
        if plain in REPLIES:
            self.wfile.write(REPLIES[plain])
        elif plain in HELD:
            self.wfile.write(HELD[plain])
            self.rfile.read()
        else:
            getattr(self, "page_" + plain.split("/")[1], self.missing)(plain)

    def missing(self, path):
        self.wfile.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    def reply(self, body, status=b"200 OK"):
        self.wfile.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))

    def page_flaky(self, path):
        """/flaky/TIMES/NAME: 503 that many times."""
        with self.server.lock:
            self.server.calls[path] += 1
            call = self.server.calls[path]
        if call <= int(path.split("/")[2]):
            self.reply(b"not now", b"503 Service Unavailable")
        else:
            self.reply(b"call %d" % call)

    def page_gauge(self, path):
        """How many of these are at work now."""
        with self.server.lock:
            self.server.busy += 1
            busy = self.server.busy
        time.sleep(0.1)
        with self.server.lock:
            self.server.busy -= 1
        self.reply(b"%d" % busy)

    def page_reset(self, path):
        self.wfile.write(OK + b"Content-Length: 10\r\n\r\nhalf")
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def page_drip(self, path):
        """A good chunked reply that comes a few bytes at a time."""
        reply = OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(
            b"%X\r\n%s\r\n" % (size, b"x" * size) for size in (1, 2, 16, 17, 100)) + b"0\r\nA: b\r\nC: d\r\n\r\n"
        position = 0
        for size in itertools.cycle((1, 2, 3, 5, 8)):
            if position >= len(reply):
                return
            self.wfile.write(reply[position:position + size])
            position += size
            time.sleep(0.001)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.calls = collections.Counter()
        self.busy = 0


def start():
    """Starts the server in a thread of its own and returns its port."""
    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]
