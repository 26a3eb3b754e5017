#!/usr/bin/env python3
"""Runs the conformance scenarios: NAME.lua must exit with 0 and print exactly what is in NAME.out.

    run.py [--filter PREFIX]... [--list] [--verbose] [--limit SECONDS] [command...]

The command runs one Lua file (default: $LUA, or lua5.4); LUA_PATH and LUA_CPATH come from the environment.
"""
import argparse
import difflib
import os
import pathlib
import shlex
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

HERE = pathlib.Path(__file__).resolve().parent
JOBS = 2
LIMIT = 20          # seconds for one scenario, unless --limit says otherwise
SHORT = 20          # lines of a diff


def run(command, script, limit):
    """The scenario's exit status (None: over the limit), stdout and stderr."""
    process = subprocess.Popen(
        [*command, str(script)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True)
    try:
        out, err = process.communicate(timeout=limit)
        status = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        status = None
    return status, out.decode(errors="replace"), err.decode(errors="replace")


def check(command, name, limit):
    """None if the scenario passes, else why not and the details, as lines."""
    expected = (HERE / f"{name}.out").read_text()
    status, out, err = run(command, HERE / f"{name}.lua", limit)
    if status == 0 and out == expected:
        return None
    reasons = []
    if out != expected:
        reasons.append("output differs")
    if status is None:
        reasons.append(f"over {limit:g} s")
    elif status != 0:
        reasons.append(f"exit status {status}")
    diff = list(difflib.unified_diff(expected.splitlines(), out.splitlines(), "expected", "got", lineterm="", n=1))
    if len(diff) > SHORT:
        diff[SHORT:] = [f"... {len(diff) - SHORT} more lines"]
    return ", ".join(reasons), diff + ["stderr: " + line for line in err.splitlines()[-5:]]


def main():
    parser = argparse.ArgumentParser(description="Runs the conformance scenarios of luawait.")
    parser.add_argument("command", nargs="*", default=[os.environ.get("LUA") or "lua5.4"],
                        help="what runs a Lua file (default: $LUA, or lua5.4)")
    parser.add_argument("--filter", action="append", metavar="PREFIX", help="only names that begin so; may be repeated")
    parser.add_argument("--list", action="store_true", help="print the names and run nothing")
    parser.add_argument("--verbose", action="store_true", help="show a short diff for each failure")
    parser.add_argument("--limit", type=float, default=LIMIT, metavar="SECONDS",
                        help=f"how long a scenario may take (default: {LIMIT})")
    options = parser.parse_args()
    command = shlex.split(options.command[0]) if len(options.command) == 1 else options.command

    names = sorted(path.stem for path in HERE.glob("*.lua"))
    if options.filter:
        names = [name for name in names if name.startswith(tuple(options.filter))]
    if not names:
        parser.error("no scenario has such a name")
    if options.list:
        print("\n".join(names))
        return 0

    failed = 0
    with ThreadPoolExecutor(JOBS) as pool:
        problems = pool.map(lambda name: check(command, name, options.limit), names)
        for name, problem in zip(names, problems):
            if problem is not None:
                failed += 1
                print(f"FAIL {name}: {problem[0]}", flush=True)
                if options.verbose:
                    print("".join(f"    {line}\n" for line in problem[1]), end="", flush=True)
    print(f"{len(names) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
