"""Runs a program on a terminal of its own: terminal.py STEP... -- PROGRAM ARGUMENT...

Steps, done one after another, TEXT with the escapes of Python: send:TEXT types it; expect:TEXT waits until the program
has written that, after what the last one waited for; interrupt:TEXT types Ctrl-C again and again until then;
size:COLUMNSxROWS gives the terminal another size; signal:NAME sends the program a signal; hangup: takes the terminal
away, as the last step. Then waits for the end of the program. What it wrote goes to stdout, and a line "status N,
terminal MODES" to stderr, where MODES are those of echo, icanon, isig, blocking that the terminal is left in. The exit status is the program's, 128 + a signal's number, or 99
when a step failed.
"""
import fcntl
import os
import select
import signal
import struct
import sys
import termios
import time

PATIENCE = 30  # seconds for a step
PAUSE = 0.3  # between two Ctrl-C
MODES = (("echo", termios.ECHO), ("icanon", termios.ICANON), ("isig", termios.ISIG))


class Terminal:
    def __init__(self, argv):
        self.master, self.slave = os.openpty()
        self.seen, self.at, self.status = b"", 0, None
        self.pid = os.fork()
        if self.pid == 0:
            self.become(argv)

    def become(self, argv):
        os.setsid()
        fcntl.ioctl(self.slave, termios.TIOCSCTTY, 0)
        for fd in range(3):
            os.dup2(self.slave, fd)
        os.closerange(3, 256)
        try:
            os.execvp(argv[0], argv)
        finally:
            os._exit(127)

    def take(self, seconds):
        """Takes what comes within this time; False when there is nothing."""
        if not select.select([self.master], [], [], seconds)[0]:
            return False
        self.seen += os.read(self.master, 65536)
        return True

    def pump(self):
        """Takes what has come, and the end of the program after all that it wrote."""
        if self.take(0.02):
            return
        ended, how = os.waitpid(self.pid, os.WNOHANG)
        if ended:
            self.status = os.WEXITSTATUS(how) if os.WIFEXITED(how) else 128 + os.WTERMSIG(how)
            while self.take(0):
                pass

    def wait_for(self, condition, seconds=PATIENCE):
        end = time.monotonic() + seconds
        while not condition() and self.status is None and time.monotonic() < end:
            self.pump()
        return condition()

    def expect(self, text, seconds=PATIENCE):
        if not self.wait_for(lambda: text in self.seen[self.at:], seconds):
            return False
        self.at = self.seen.index(text, self.at) + len(text)
        return True

    def interrupt(self, text):
        for _ in range(int(PATIENCE / PAUSE)):
            os.write(self.master, b"\x03")
            if self.expect(text, PAUSE):
                return True
        return False

    def step(self, name, argument):
        """Does a step; False if it failed."""
        text = argument.encode(errors="surrogateescape").decode("unicode_escape").encode("latin1")
        if name == "expect":
            return self.expect(text)
        if name == "interrupt":
            return self.interrupt(text)
        if name == "send":
            os.write(self.master, text)
        elif name == "hangup":
            os.dup2(os.pipe()[0], self.master)  # in its place something from which nothing comes
        elif name == "size":
            columns, rows = map(int, argument.split("x"))
            fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        else:
            os.kill(self.pid, getattr(signal, "SIG" + argument))
        return True

    def modes(self):
        try:
            flags = termios.tcgetattr(self.slave)[3]
        except termios.error:
            return "gone"
        left = [name for name, flag in MODES if flags & flag]
        if not fcntl.fcntl(self.slave, fcntl.F_GETFL) & os.O_NONBLOCK:
            left.append("blocking")
        return " ".join(left)


def play(terminal, steps):
    """None, or what went wrong."""
    for step in steps:
        if not terminal.step(*step.split(":", 1)):
            return "missing: " + step
    if not terminal.wait_for(lambda: terminal.status is not None):
        return "the program did not end"
    return None


def main():
    split = sys.argv.index("--")
    terminal = Terminal(sys.argv[split + 1:])
    failed = play(terminal, sys.argv[1:split])
    if failed and terminal.status is None:
        os.kill(terminal.pid, signal.SIGKILL)
    sys.stdout.buffer.write(terminal.seen)
    sys.stdout.flush()
    print(failed or "status %d, terminal %s" % (terminal.status, terminal.modes()), file=sys.stderr)
    sys.exit(99 if failed else terminal.status)


main()
