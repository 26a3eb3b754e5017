#!/usr/bin/env python3
"""Measures luawait beside the floor and, if asked, beside other libraries; prints one Markdown table.

README.md says what is measured and how to read the table.
"""

import argparse
import functools
import json
import os
import pathlib
import resource
import shutil
import socket
import subprocess
import sys
import time

import table
from table import WORKLOADS

BENCH = pathlib.Path(__file__).resolve().parent
ROOT = BENCH.parent

RUN_LIMIT = 40  # seconds after which a run is given up
SLOW_RUN = 15  # a run that took longer than this many seconds is not repeated


OTHERS = ["luv", "cqueues", "asyncio", "node"]
# the network workloads: what the server does, and what its load is
NETWORK = {"echo64": ("echo", "echo"), "echo1000": ("echo", "echo"), "bulk": ("bulk", "bulk"),
           "connections": ("echo", "idle")}
SPARE_DESCRIPTORS = 50  # of a server and its load, beside the connections


def say(*words):
    print(*words, file=sys.stderr, flush=True)


def fail(message):
    sys.exit(f"bench: {message}")


def output_of(*command):
    """The standard output of a command, or None when it cannot be run or fails."""
    try:
        run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return run.stdout.strip()


# ---- finding and building ----


def find_lua():
    """The Lua 5.4 of this machine, whatever its default `lua` is."""
    found = subprocess.run([ROOT / "scripts/find_lua.sh"], stdout=subprocess.PIPE, text=True)
    if found.returncode != 0:
        sys.exit(1)
    return found.stdout.strip()


def find_packages():
    """The pkg-config names of Lua 5.4 and libuv."""
    if not shutil.which("pkg-config"):
        fail("pkg-config is not installed")
    for name in ["lua5.4", "lua54", "lua-5.4", "lua"]:
        if (output_of("pkg-config", "--modversion", name) or "").startswith("5.4"):
            break
    else:
        fail("no development files of Lua 5.4 (Debian: liblua5.4-dev)")
    if not output_of("pkg-config", "--modversion", "libuv"):
        fail("no development files of libuv (Debian: libuv1-dev)")
    return [name, "libuv"]


def build_program(name, build):
    """Compiles bench/NAME.c into BUILD/bench unless that is newer; returns the program's path."""
    source, program = BENCH / f"{name}.c", build / "bench" / name
    if program.exists() and program.stat().st_mtime > source.stat().st_mtime:
        return str(program)
    program.parent.mkdir(parents=True, exist_ok=True)
    packages = find_packages()
    flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Wshadow"] + output_of("pkg-config", "--cflags", *packages).split()
    # exported, so that modules in C find the Lua functions in the program where Lua is linked statically
    libraries = ["-Wl,-E"] + output_of("pkg-config", "--libs", *packages).split() + ["-lm"]
    command = [os.environ.get("CC", "cc"), *flags, "-o", str(program), str(source), *libraries]
    if subprocess.run(command).returncode != 0:
        fail(f"cannot compile {source}")
    return str(program)


def lua_environment(build):
    """The environment in which Lua finds the checkout's modules first."""

    def join(kind, *own):
        given = os.environ.get(f"LUA_{kind}_5_4") or os.environ.get(f"LUA_{kind}") or ""
        return ";".join([*map(str, own), given, ";"])

    path = join("PATH", ROOT / "lua/?.lua", ROOT / "lua/?/init.lua", ROOT / "?.lua")
    environment = {**os.environ, "LUA_PATH_5_4": path, "LUA_CPATH_5_4": join("CPATH", build / "?.so")}
    for name in ("LUA_INIT", "LUA_INIT_5_4"):  # code of the user's own, in each interpreter
        environment.pop(name, None)
    return environment


class Competitors:
    """Who takes part, and the command that each runs for a workload."""

    def __init__(self, build, others):
        self.lua = find_lua()
        self.environment = lua_environment(build)
        self.floor = build_program("floor", build)
        self.server = build_program("uvserver", build)
        self.loadgen = build_program("loadgen", build)
        self.names = self.find_luawait() + ["floor"] + [name for name in others if self.is_installed(name)]

    def check(self, *command):
        return subprocess.run(command, env=self.environment, cwd=ROOT, capture_output=True, text=True)

    def find_luawait(self):
        found = self.check(self.lua, "-e", "require('luawait')")
        if found.returncode == 0:
            return ["luawait"]
        say("luawait cannot be loaded, only the others are measured:", gist(found.stderr))
        return []

    def is_installed(self, name):
        if name in ("luv", "cqueues"):
            found = self.check(self.lua, "-e", f"require '{name}'").returncode == 0
        else:
            found = name != "node" or shutil.which("node") is not None
        if not found:
            say(f"{name}: not installed, left out")
        return found

    def command(self, name, workload, *port):
        """None: this one does not have the workload."""
        scripts = {
            "luawait": [self.lua, str(BENCH / "luawait.lua")],
            "luv": [self.lua, str(BENCH / "peers/luv.lua")],
            "cqueues": [self.lua, str(BENCH / "peers/cqueues.lua")],
            "asyncio": [sys.executable, str(BENCH / "peers/asyncio_bench.py")],
            "node": ["node", str(BENCH / "peers/node.mjs")],
            "floor": [self.server if port else self.floor],
            "floor-co": [self.server],
        }
        if name == "floor" and workload == "processes":
            return None
        if name == "floor-co":
            return [self.server, workload, *port, "lua"] if port else None
        return [*scripts[name], workload, *port]

    def versions(self):
        yield f"{output_of(self.lua, '-v').split('  ')[0]}, libuv {output_of('pkg-config', '--modversion', 'libuv')}"
        if "cqueues" in self.names:
            yield "cqueues " + self.check(self.lua, "-e", "print(require('cqueues').VERSION)").stdout.strip()
        if "asyncio" in self.names:
            yield f"Python {sys.version.split()[0]}"
        if "node" in self.names:
            yield f"Node {output_of('node', '--version')}"


# ---- running ----


class RunError(Exception):
    pass


def gist(error):
    """The line of an error output that says what happened: Python's last one, elsewhere the first."""
    lines = error.strip().split("\n")
    return lines[-1 if lines[0].startswith("Traceback") else 0]


class Runner:
    """Runs one competitor on one workload, pinned to a core; a server and its load get a core each."""

    def __init__(self, competitors, echo_seconds, bulk_bytes):
        self.competitors, self.echo_seconds, self.bulk_bytes = competitors, echo_seconds, bulk_bytes
        cores = sorted(os.sched_getaffinity(0))
        self.server_core, self.core = cores[0], cores[-1]

    def start(self, command, core):
        pin = functools.partial(os.sched_setaffinity, 0, {core})
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        environment = self.competitors.environment
        return subprocess.Popen(command, env=environment, cwd=ROOT, preexec_fn=pin, text=True, **pipes)

    def finish(self, process):
        """The result that a process prints; raises RunError when it fails."""
        try:
            out, err = process.communicate(timeout=RUN_LIMIT)
        except subprocess.TimeoutExpired:
            raise RunError(f"not done after {RUN_LIMIT} s") from None
        finally:
            process.kill()
            process.wait()
        if process.returncode != 0 or not out.startswith("{"):
            raise RunError(f"failed with status {process.returncode}: {gist(err)}")
        return json.loads(out.split("\n")[0])

    def run(self, name, workload):
        """The numbers of one run; None when the competitor does not have this workload."""
        result = (self.run_network if workload in NETWORK else self.run_here)(name, workload)
        if result is None or result.get("skip"):
            return None
        result["rate"] = result["ops"] / result["seconds"]
        result["peak_mb"] = result["peak_kb"] * 1024 / 1e6
        if workload == "bulk":
            result["cpu_s_per_gib"] = result["cpu_s"] / result["ops"] * 2**30
        return result

    def run_here(self, name, workload):
        command = self.competitors.command(name, workload)
        if command is None:
            return None
        # a virtual machine may have handed its free pages back to its host, and then the first
        # touch costs several times what it costs later: fetch them before measuring
        bytearray(WORKLOADS[workload].touch_mib << 20)
        return self.finish(self.start(command, self.core))

    def run_network(self, name, workload):
        (kind, load_kind), port = NETWORK[workload], str(free_port())
        server = self.start(self.competitors.command(name, kind, port), self.server_core)
        try:
            load = [self.competitors.loadgen, load_kind, port, str(server.pid)]
            if load_kind == "bulk":
                load += [str(self.bulk_bytes)]
            else:
                load += [str(WORKLOADS[workload].connections)]
            if load_kind == "echo":
                load += [str(self.echo_seconds)]
            return self.finish(self.start(load, self.core))
        except RunError as error:
            if server.poll() is None:
                raise
            raise RunError(f"{error}; the server: {gist(server.stderr.read())}") from None
        finally:
            server.kill()
            server.communicate()

    def probe(self):
        return self.finish(self.start([self.competitors.floor, "probe"], self.core))["seconds"]


def allow_descriptors():
    """As many as the network workloads need, as far as the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(spec.connections for spec in WORKLOADS.values()) + SPARE_DESCRIPTORS
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def run_all(runner, names, workloads, repetitions):
    """Whole passes over everything, the competitors taking turns, so that noise hits all of them.

    Returns the runs, dictionaries with the numbers and rep, name, workload; `error` in place of the
    numbers for one that failed. One that failed, is not there or crawls is not repeated.
    """
    runs, left_out = [], set()
    for rep in range(1, repetitions + 1):
        for workload in workloads:
            turn = names[(rep - 1) % len(names) :] + names[: (rep - 1) % len(names)]
            for name in turn * WORKLOADS[workload].passes:
                if (name, workload) in left_out:
                    continue
                began = time.monotonic()
                try:
                    result = runner.run(name, workload)
                except RunError as error:
                    result = {"error": str(error)}
                if result is None or "error" in result or time.monotonic() - began > SLOW_RUN:
                    left_out.add((name, workload))
                if result is None:
                    continue
                runs.append({"rep": rep, "name": name, "workload": workload, **result})
                value = result.get("error") or table.number(result[WORKLOADS[workload].metric])
                say(f"[{rep}/{repetitions}] {workload} {name}: {value}")
    return runs


def machine():
    with open("/proc/cpuinfo") as f:
        models = [line.split(":")[1].strip() for line in f if line.startswith("model name")]
    system = os.uname()
    return f"{models[0] if models else system.machine}, {os.cpu_count()} cores, {system.sysname} {system.release}"


# ---- the command ----


def parse_arguments():
    def names_from(known):
        def parse(text):
            names = text.replace(",", " ").split()
            for name in names:
                if name not in known:
                    raise argparse.ArgumentTypeError(f"{name!r} is not one of {', '.join(known)}")
            return names

        return parse

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--reps", type=int, default=3, metavar="N", help="repetitions (3)")
    parser.add_argument("--workloads", type=names_from(list(WORKLOADS)), metavar="A,B", help="only these")
    parser.add_argument(
        "--peers", type=names_from([*OTHERS, "floor-co"]), nargs="?", const=OTHERS, default=[], metavar="A,B",
        help=f"also {', '.join(OTHERS)} where installed, or only those named (floor-co too)",
    )
    parser.add_argument("--quick", action="store_true", help="one repetition and short network runs: a smoke test")
    parser.add_argument("--json", metavar="FILE", help="writes every run and every row there")
    build = ROOT / os.environ.get("LUAWAIT_BUILD", "build")
    parser.add_argument("--build", type=pathlib.Path, default=build, metavar="DIR", help="the build (build/)")
    parser.add_argument("--allocs", action="store_true", help="counts the allocations of each kind of wait instead")
    arguments = parser.parse_args()
    if arguments.reps < 1:
        parser.error("--reps: at least 1")
    return arguments


def count_allocations(build):
    command = [build_program("alloc_host", build), str(BENCH / "wait_allocs.lua")]
    sys.exit(subprocess.run(command, env=lua_environment(build)).returncode)


def main():
    arguments = parse_arguments()
    build = arguments.build.resolve()
    if not sys.platform.startswith("linux"):
        fail("the measurements read /proc and pin cores: they need Linux")
    if arguments.allocs:
        count_allocations(build)
    allow_descriptors()
    competitors = Competitors(build, arguments.peers)
    workloads = arguments.workloads or list(WORKLOADS)
    echo_seconds, bulk_bytes = (1.0, 2**28) if arguments.quick else (2.5, 2**30)
    runner = Runner(competitors, echo_seconds, bulk_bytes)
    repetitions = 1 if arguments.quick else arguments.reps
    runner.probe()  # wakes the core up
    began, before = time.monotonic(), runner.probe()
    runs = run_all(runner, competitors.names, workloads, repetitions)
    probes = [before, runner.probe()]
    kept = table.set_aside_disturbed(runs)
    failed = [run for run in runs if "error" in run]
    facts = [machine(), *competitors.versions()]
    facts.append(
        f"repetitions: {repetitions}, {time.monotonic() - began:.0f} s; {len(runs) - len(failed) - len(kept)} "
        f"of {len(runs)} runs set aside; noise probe {probes[0] * 1e3:.0f} ms before, {probes[1] * 1e3:.0f} ms after"
    )
    rows = [table.Row(workload, kept) for workload in workloads]
    table.print_table(rows, competitors.names)
    print("\n" + "\n".join(f"- {fact}" for fact in facts))
    for run in failed:
        print(f"- {run['workload']}, {run['name']}: {run['error']}")
    if arguments.json:
        medians = {row.workload: {name: row.median(name) for name in competitors.names} for row in rows}
        everything = {"facts": facts, "medians": medians, "runs": runs}
        pathlib.Path(arguments.json).write_text(json.dumps(everything, indent=1))
    if "luawait" not in competitors.names or any(run["name"] in ("luawait", "floor") for run in failed):
        sys.exit(1)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
