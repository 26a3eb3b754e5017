"""Runs a program in a terminal of its own: terminal.py STEPS PROGRAM [ARGS...]

STEPS is a list of pairs: ("send", text) types it; ("expect", text) waits until the program has written that, after what
the last one waited for; ("interrupt", text) types Ctrl-C again and again until then. At the end the terminal is closed.
What came is written to stdout; the exit status is the program's, 128 + a signal's number, or 99 when a step failed.
"""
import ast
import os
import pty
import select
import signal
import sys
import time

PATIENCE = 30  # seconds for a step
PAUSE = 0.3  # between two Ctrl-C


class Terminal:
    def __init__(self, argv):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvp(argv[0], argv)
        self.seen = b""
        self.at = 0

    def read(self, seconds):
        """Takes what comes within this time; False at the end."""
        if not select.select([self.fd], [], [], max(0, seconds))[0]:
            return True
        try:
            data = os.read(self.fd, 4096)
        except OSError:  # Linux's way to say that nobody has the other end open
            return False
        self.seen += data
        return bool(data)

    def found(self, text):
        index = self.seen.find(text, self.at)
        if index >= 0:
            self.at = index + len(text)
        return index >= 0

    def expect(self, text, seconds=PATIENCE):
        end = time.monotonic() + seconds
        while not self.found(text):
            if time.monotonic() > end:
                return False
            if not self.read(end - time.monotonic()):
                return self.found(text)
        return True

    def interrupt(self, text):
        for _ in range(int(PATIENCE / PAUSE)):
            os.write(self.fd, b"\x03")
            if self.expect(text, PAUSE):
                return True
        return False

    def finish(self):
        """Waits for the end of the program; its exit status."""
        end = time.monotonic() + PATIENCE
        while self.read(0.1) and time.monotonic() < end:
            pass
        while time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
            time.sleep(0.01)
        os.kill(self.pid, signal.SIGKILL)
        print("the program did not end", file=sys.stderr)
        return 99


def main():
    terminal = Terminal(sys.argv[2:])
    status = 0
    for kind, text in ast.literal_eval(sys.argv[1]):
        data = text.encode()
        if kind == "send":
            os.write(terminal.fd, data)
        elif not (terminal.interrupt if kind == "interrupt" else terminal.expect)(data):
            print("missing: " + repr(text), file=sys.stderr)
            os.kill(terminal.pid, signal.SIGKILL)
            status = 99
            break
    status = max(status, terminal.finish())
    sys.stdout.buffer.write(terminal.seen)
    sys.exit(status)


main()
