"""Runs a command with a time limit, for specs: run_bounded.py [OPTION]... DIR COMMAND...

Its output goes to DIR/stdout and DIR/stderr. Prints the exit status (negative: the signal that ended it), or "late"
when it was killed, with all that it started, because it took longer than the limit.
"""

import argparse
import os
import pty
import select
import signal
import subprocess
import sys
import time


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--limit", type=float, default=60, help="seconds")
    parser.add_argument("--stdin", default=os.devnull, help="a file")
    parser.add_argument("--terminal", action="store_true", help="stderr is a terminal")
    parser.add_argument("--interrupt-at", metavar="TEXT", help="SIGINT, once, when this came on that terminal")
    parser.add_argument("--interrupt-when", metavar="FILE", help="SIGINT, once, when this exists")
    parser.add_argument("directory")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    return parser.parse_args()


def read_terminal(descriptor, seconds):
    """What came within that time; None at the end."""
    if not select.select([descriptor], [], [], seconds)[0]:
        return b""
    try:
        return os.read(descriptor, 65536) or None
    except OSError:                 # Linux: the other side is closed
        return None


def watch_terminal(process, terminal, log, text, deadline):
    """Copies the terminal's output into the log until it ends, and interrupts the command when the text was there."""
    seen = b""
    while time.monotonic() < deadline:
        data = read_terminal(terminal, 0.1)
        if data is None:
            return
        log.write(data)
        seen += data
        if text and text.encode() in seen:
            text = None
            os.killpg(process.pid, signal.SIGINT)


def watch_file(process, path, deadline):
    """Interrupts the command when the file is there."""
    while time.monotonic() < deadline and process.poll() is None:
        if os.path.exists(path):
            os.killpg(process.pid, signal.SIGINT)
            return
        time.sleep(0.02)


def run(options, out, err):
    terminal, inner = pty.openpty() if options.terminal else (None, None)
    deadline = time.monotonic() + options.limit
    with open(options.stdin, "rb") as stdin:
        process = subprocess.Popen(options.command, stdin=stdin, stdout=out, stderr=inner if terminal else err,
                                   start_new_session=True)
    try:
        if terminal:
            os.close(inner)
            watch_terminal(process, terminal, err, options.interrupt_at, deadline)
        if options.interrupt_when:
            watch_file(process, options.interrupt_when, deadline)
        return process.wait(max(0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return "late"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def main():
    options = parse()
    with open(os.path.join(options.directory, "stdout"), "wb") as out, \
            open(os.path.join(options.directory, "stderr"), "wb") as err:
        print(run(options, out, err))
    return 0


if __name__ == "__main__":
    sys.exit(main())
