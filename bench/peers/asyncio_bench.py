"""asyncio of the standard library: tasks, streams, primitives.

usage: asyncio_bench.py WORKLOAD [PORT]

Prints one JSON line; for echo and bulk it serves 127.0.0.1:PORT until it is killed. The sizes of the
workloads are those of measure.lua.
"""

import asyncio
import json
import os
import pathlib
import sys
import tempfile
import time

SPAWNED = 200000
SWITCHERS, SWITCHES = 1000, 1000
SLEEPERS, SAMPLE_EVERY = 100000, 1000
ITEMS, QUEUE_SIZE = 1000000, 128
HOLDERS, HOLDS, PERMITS = 1000, 100, 10
WAITERS = 100000
FILES, FILE_SIZE = 10000, 1000
PROCESSES, PROCESSES_AT_ONCE = 500, 50

clock = time.perf_counter


def status_kb(key):
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith(key + ":"):
                return int(line.split()[1])
    raise RuntimeError(f"no {key} in /proc/self/status")


def start():
    """Starts measuring; returns the function that stops and prints the result."""
    wall, cpu = clock(), time.process_time()

    def stop(ops, **more):
        result = {"ops": ops, "seconds": clock() - wall, "cpu_s": time.process_time() - cpu}
        print(json.dumps({**result, "peak_kb": status_kb("VmHWM"), **more}), flush=True)

    return stop


async def spawn():
    async def job(i):
        return i

    stop = start()
    results = await asyncio.gather(*[job(i) for i in range(1, SPAWNED + 1)])
    stop(SPAWNED)
    assert sum(results) == SPAWNED * (SPAWNED + 1) // 2


async def switch():
    async def job():
        for _ in range(SWITCHES):
            await asyncio.sleep(0)

    stop = start()
    await asyncio.gather(*[job() for _ in range(SWITCHERS)])
    stop(SWITCHERS * SWITCHES)


def delays():
    """The same pseudo-random delays in [0, 1) for every competitor."""
    x = 42
    while True:
        x = (x * 1103515245 + 12345) & 0x7FFFFFFF
        yield x / 2147483648.0


async def timers():
    early = late = 0.0

    async def sleeper(delay):
        await asyncio.sleep(delay)

    async def sampled(delay):
        nonlocal early, late
        began = clock()
        await asyncio.sleep(delay)
        error = clock() - began - delay
        early, late = max(early, -error), max(late, error)

    delay = delays()
    stop = start()
    await asyncio.gather(
        *[(sleeper if i % SAMPLE_EVERY else sampled)(next(delay)) for i in range(1, SLEEPERS + 1)]
    )
    stop(SLEEPERS, early_ms=early * 1e3, late_ms=late * 1e3)


async def idle():
    before = status_kb("VmRSS")
    stop = start()
    tasks = [asyncio.create_task(asyncio.sleep(3600)) for _ in range(SLEEPERS)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    stop(len(tasks), bytes_per_task=(status_kb("VmRSS") - before) * 1024 / SLEEPERS)
    os._exit(0)


async def queue():
    items = asyncio.Queue(QUEUE_SIZE)

    async def produce():
        for i in range(1, ITEMS + 1):
            await items.put(i)

    async def consume():
        total = 0
        for _ in range(ITEMS):
            total += await items.get()
        return total

    stop = start()
    _, total = await asyncio.gather(produce(), consume())
    stop(ITEMS)
    assert total == ITEMS * (ITEMS + 1) // 2


async def semaphore():
    permits = asyncio.Semaphore(PERMITS)
    inside = most = 0

    async def hold():
        for _ in range(HOLDS):
            await permits.acquire()
            await asyncio.sleep(0)
            permits.release()

    async def hold_counted():
        nonlocal inside, most
        await permits.acquire()
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0)
        inside -= 1
        permits.release()

    stop = start()
    await asyncio.gather(*[hold() for _ in range(HOLDERS)])
    stop(HOLDERS * HOLDS)
    await asyncio.gather(*[hold_counted() for _ in range(HOLDERS)])
    assert most == PERMITS and inside == 0


async def event():
    gate = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def job(i):
        await gate.wait()
        return i

    stop = start()
    loop.call_later(0, loop.call_soon, gate.set)
    results = await asyncio.gather(*[job(i) for i in range(1, WAITERS + 1)])
    stop(WAITERS)
    assert sum(results) == WAITERS * (WAITERS + 1) // 2


async def files():
    with tempfile.TemporaryDirectory() as folder:
        paths = [pathlib.Path(folder, str(i)) for i in range(1, FILES + 1)]
        for path in paths:
            path.write_bytes(b"x" * FILE_SIZE)
        stop = start()
        contents = await asyncio.gather(*[asyncio.to_thread(path.read_bytes) for path in paths])
        stop(FILES)
    assert sum(map(len, contents)) == FILES * FILE_SIZE


async def processes():
    slots = asyncio.Semaphore(PROCESSES_AT_ONCE)
    pipe = asyncio.subprocess.PIPE

    async def job():
        async with slots:
            process = await asyncio.create_subprocess_exec("true", stdout=pipe, stderr=pipe)
            out, err = await process.communicate()
            return process.returncode == 0 and out == err == b""

    stop = start()
    good = await asyncio.gather(*[job() for _ in range(PROCESSES)])
    stop(PROCESSES)
    assert all(good)


async def serve(handler):
    async def on_connection(reader, writer):
        try:
            await handler(reader, writer)
        except ConnectionError:
            pass
        writer.close()

    server = await asyncio.start_server(on_connection, "127.0.0.1", int(sys.argv[2]), backlog=1024)
    await server.serve_forever()


async def echo():
    async def handler(reader, writer):
        while data := await reader.read(4096):
            writer.write(data)
            await writer.drain()

    await serve(handler)


async def bulk():
    async def handler(reader, _):
        while await reader.read(65536):
            pass

    await serve(handler)


WORKLOADS = {f.__name__: f for f in (spawn, switch, timers, idle, queue, semaphore, event, files, processes, echo, bulk)}

if sys.argv[1] in WORKLOADS:
    asyncio.run(WORKLOADS[sys.argv[1]]())
else:
    print('{"skip":true}')
