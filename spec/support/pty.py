"""Runs a program on a terminal: pty.py STEP... -- PROGRAM ARGUMENT...

Steps, done one after another: expect:TEXT waits until the program has written TEXT, send:TEXT types it (escapes as in
Python), size:COLUMNSxROWS gives the terminal another size, signal:NAME sends the program a signal. Then waits for the
end of the program. Prints what it wrote, and a line "status N, terminal MODES", where MODES are those of echo, icanon,
isig, blocking that the terminal is left in. Ends with 1 when a step takes longer than 30 seconds.
"""
import fcntl
import os
import select
import signal
import struct
import sys
import termios
import time

split = sys.argv.index("--")
steps, command = sys.argv[1:split], sys.argv[split + 1:]
master, slave = os.openpty()
pid = os.fork()
if pid == 0:
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for fd in range(3):
        os.dup2(slave, fd)
    os.closerange(3, 256)
    try:
        os.execvp(command[0], command)
    finally:
        os._exit(127)

output, seen, status = b"", 0, None


def pump():
    """Takes in what the program has written, and its end."""
    global output, status
    if select.select([master], [], [], 0.02)[0]:
        output += os.read(master, 65536)
    elif status is None:
        ended, how = os.waitpid(pid, os.WNOHANG)
        if ended:
            status = os.waitstatus_to_exitcode(how)


def wait_for(condition, what):
    deadline = time.monotonic() + 30
    while not condition():
        if status is not None or time.monotonic() > deadline:
            print("waited in vain for %s; so far: %r" % (what, output))
            if status is None:
                os.kill(pid, signal.SIGKILL)
            sys.exit(1)
        pump()


for step in steps:
    name, argument = step.split(":", 1)
    text = argument.encode().decode("unicode_escape").encode("latin1")
    if name == "expect":
        wait_for(lambda: text in output[seen:], step)
        seen = output.index(text, seen) + len(text)
    elif name == "send":
        os.write(master, text)
    elif name == "size":
        columns, rows = map(int, argument.split("x"))
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    elif name == "signal":
        os.kill(pid, getattr(signal, "SIG" + argument))
wait_for(lambda: status is not None, "the end")

modes = termios.tcgetattr(slave)[3]
left = [name for name, flag in (("echo", termios.ECHO), ("icanon", termios.ICANON), ("isig", termios.ISIG)) if modes & flag]
if not fcntl.fcntl(slave, fcntl.F_GETFL) & os.O_NONBLOCK:
    left.append("blocking")
sys.stdout.write(output.decode("latin1").replace("\r\n", "\n"))
print("status %d, terminal %s" % (status, " ".join(left)))
