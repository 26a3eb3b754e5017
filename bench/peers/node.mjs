// Node.js: async functions, promises, and sockets in their usual callback form. Its core has no queue of
// tasks and no semaphore: the queue is a stream of objects, the semaphore is left out, an event is a
// promise that many functions await.
//
// usage: node.mjs WORKLOAD [PORT]
// Prints one JSON line; for echo and bulk it serves 127.0.0.1:PORT until it is killed. The sizes of the
// workloads are those of measure.lua.
import { readFileSync } from 'node:fs';
import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import net from 'node:net';

const SPAWNED = 200000;
const SWITCHERS = 1000, SWITCHES = 1000;
const SLEEPERS = 100000, SAMPLE_EVERY = 1000;
const ITEMS = 1000000, QUEUE_SIZE = 128;
const WAITERS = 100000;

const [name, port] = process.argv.slice(2);
const clock = () => Number(process.hrtime.bigint()) / 1e9;

const statusKb = (key) => Number(readFileSync('/proc/self/status', 'utf8').match(`${key}:\\s*(\\d+)`)[1]);

// starts measuring; returns the function that stops and prints the result
function start() {
  const cpu = process.cpuUsage();
  const wall = clock();
  return (ops, more) => {
    const seconds = clock() - wall;
    const { user, system } = process.cpuUsage(cpu);
    const result = { ops, seconds, cpu_s: (user + system) / 1e6, peak_kb: statusKb('VmHWM') };
    console.log(JSON.stringify({ ...result, ...more }));
  };
}

function check(condition) {
  if (!condition) throw new Error('wrong results');
}

const checkSum = (results, n) => check(results.reduce((a, b) => a + b, 0) === n * (n + 1) / 2);

const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
const pause = () => new Promise((resolve) => setImmediate(resolve));

// [fn(1), ..., fn(n)]
function times(n, fn) {
  const list = new Array(n);
  for (let i = 0; i < n; i++) list[i] = fn(i + 1);
  return list;
}

// the same pseudo-random delays in [0, 1) for every competitor
let x = 42;
const nextDelay = () => (x = (Math.imul(x, 1103515245) + 12345) & 0x7fffffff) / 2147483648;

const workloads = {
  async spawn() {
    const stop = start();
    const results = await Promise.all(times(SPAWNED, async (i) => i));
    stop(SPAWNED);
    checkSum(results, SPAWNED);
  },

  async switch() {
    const stop = start();
    await Promise.all(times(SWITCHERS, async () => { for (let i = 0; i < SWITCHES; i++) await pause(); }));
    stop(SWITCHERS * SWITCHES);
  },

  async timers() {
    let early = 0, late = 0;
    const stop = start();
    await Promise.all(times(SLEEPERS, async (i) => {
      const delay = nextDelay();
      if (i % SAMPLE_EVERY) return sleep(delay);
      const began = clock();
      await sleep(delay);
      const error = clock() - began - delay;
      early = Math.max(early, -error);
      late = Math.max(late, error);
    }));
    stop(SLEEPERS, { early_ms: early * 1e3, late_ms: late * 1e3 });
  },

  async idle() {
    const before = statusKb('VmRSS');
    const stop = start();
    const tasks = times(SLEEPERS, async () => { await sleep(3600); });
    await pause();
    stop(tasks.length, { bytes_per_task: (statusKb('VmRSS') - before) * 1024 / SLEEPERS });
    process.exit(0);
  },

  async queue() {
    const queue = new PassThrough({ objectMode: true, highWaterMark: QUEUE_SIZE });
    const produce = async () => {
      for (let i = 1; i <= ITEMS; i++) if (!queue.write(i)) await once(queue, 'drain');
      queue.end();
    };
    const consume = async () => {
      let sum = 0;
      for await (const item of queue) sum += item;
      return sum;
    };
    const stop = start();
    const [, sum] = await Promise.all([produce(), consume()]);
    stop(ITEMS);
    check(sum === ITEMS * (ITEMS + 1) / 2);
  },

  async event() {
    let set;
    const event = new Promise((resolve) => { set = resolve; });
    const stop = start();
    setImmediate(() => set());
    const results = await Promise.all(times(WAITERS, async (i) => {
      await event;
      return i;
    }));
    stop(WAITERS);
    checkSum(results, WAITERS);
  },

  echo() {
    net.createServer({ noDelay: true }, (socket) => {
      socket.on('error', () => {});
      socket.on('data', (data) => socket.write(data));
    }).listen(Number(port), '127.0.0.1', 1024);
  },

  bulk() {
    net.createServer((socket) => {
      socket.on('data', () => {});
      socket.on('end', () => socket.end());
    }).listen(Number(port), '127.0.0.1');
  },
};

if (workloads[name]) workloads[name]();
else console.log('{"skip":true}');
