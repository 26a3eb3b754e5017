"""Starts the web servers that the specs fetch from, each on a free port of 127.0.0.1: servers.py TREE WORK

nginx and `python3 -m http.server` serve the directory TREE, and rude_server what it likes. WORK/ready then says on which
ports, one "NAME PORT" a line, or "error: ..." when a server cannot be had. All of them are ended when standard input
ends, which it does even when the spec dies, and after LIFE seconds at the latest.
"""

import contextlib
import os
import pathlib
import select
import shutil
import socket
import subprocess
import sys
import time

import rude_server

LIFE = 600          # seconds
START = 20          # seconds that a server may take to start
TRIES = 5           # somebody else may take the free port first

# /plain/ says the length, /chunked/ sends chunks, /until-close/ neither: the SSI filter forgets the length.
NGINX = """
daemon off;
master_process off;
pid {work}/nginx.pid;
error_log {work}/nginx.log;
events {{ worker_connections 256; }}
http {{
  access_log off;
  gzip off;
  keepalive_timeout 60;
  default_type application/octet-stream;
  client_body_temp_path {work}/client_body;
  proxy_temp_path {work}/proxy;
  fastcgi_temp_path {work}/fastcgi;
  uwsgi_temp_path {work}/uwsgi;
  scgi_temp_path {work}/scgi;
  server {{
    listen 127.0.0.1:{port} backlog=256;
    location /plain/ {{ alias {tree}/; }}
    location /chunked/ {{ alias {tree}/; ssi on; ssi_types *; }}
    location /until-close/ {{ alias {tree}/; ssi on; ssi_types *; chunked_transfer_encoding off; }}
  }}
}}
"""


class Failure(Exception):
    pass


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def nginx_command(port, tree, work):
    nginx = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin")
    if not nginx:
        raise Failure("nginx is not installed; `make setup` installs it")
    config = work / "nginx.conf"
    config.write_text(NGINX.format(port=port, tree=tree, work=work))
    return [nginx, "-p", str(work), "-c", str(config)]


def files_command(port, tree, work):
    return [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(tree)]


def end(process):
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def start(stack, command, tree, work, log):
    """Starts one, which is ended with the stack, and returns its port."""
    for _ in range(TRIES):
        port = free_port()
        process = subprocess.Popen(command(port, tree, work), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        stack.callback(end, process)
        deadline = time.monotonic() + START
        while process.poll() is None and time.monotonic() < deadline:
            if accepts(port):
                return port
            time.sleep(0.02)
    raise Failure(f"{command.__name__} does not start, see {log.name}: {pathlib.Path(log.name).read_text()}")


def write_ready(work, text):
    part = work / "ready.part"
    part.write_text(text)
    part.rename(work / "ready")


def main():
    tree, work = (pathlib.Path(name).resolve() for name in sys.argv[1:])
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(open(work / "servers.log", "w", encoding="utf-8"))
        try:
            ports = {
                "nginx": start(stack, nginx_command, tree, work, log),
                "files": start(stack, files_command, tree, work, log),
                "rude": rude_server.start(),
                "closed": free_port(),
            }
        except Failure as failure:
            write_ready(work, f"error: {failure}\n")
            return 1
        write_ready(work, "".join(f"{name} {port}\n" for name, port in ports.items()))
        select.select([sys.stdin], [], [], LIFE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
