/* floor.c - what a workload costs on the bare Lua C API.
 *
 *   floor WORKLOAD     spawn switch timers idle queue semaphore lock condition barrier event files: prints one
 *                      JSON line
 *   floor probe        a fixed amount of C work: shows how noisy the machine is
 *
 * For files it is a loop that opens, reads and closes one after another.
 *
 * There are no task objects, no cancellation, no tracebacks and no errors here: only coroutines and
 * what the workload itself needs (a ready queue, a binary heap, a list of waiters). A scheduler with
 * features comes out ahead of it only by doing less work per operation, say by reusing coroutines.
 *
 * A task is a coroutine, anchored in one table at its number; when it ends, its result takes its
 * place there. The number lives in the extra space of the coroutine. The collector is the
 * generational one, as in the standalone interpreter that runs the Lua competitors.
 */
#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
  SPAWNED = 200000,
  SWITCHERS = 1000,
  SWITCHES = 1000,
  SLEEPERS = 100000,
  SAMPLE_EVERY = 1000,
  ITEMS = 1000000,
  QUEUE_SIZE = 128, /* a power of two */
  HOLDERS = 1000,
  HOLDS = 100,
  PERMITS = 10,
  TURNS = 100,
  PARTIES = 100,
  ROUNDS = 1000,
  WAITERS = 100000,
  FILES = 10000,
  FILE_SIZE = 1000,
  PROBE_STEPS = 50000000
};

static lua_State *M; /* main state, does every lua_resume */
static int tasks;    /* index in M of the table of tasks */
static long live;    /* tasks that have not ended */

static void fail(const char *what) {
  fprintf(stderr, "floor: %s\n", what);
  exit(1);
}

static void *grow(void *block, size_t size) {
  void *bigger = realloc(block, size);
  if (!bigger) fail("out of memory");
  return bigger;
}

/* ---- measuring ---- */

static struct { double wall, cpu; } mark, spent;

static double seconds(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double now(void) { return seconds(CLOCK_MONOTONIC); }

static void start(void) {
  mark.wall = now();
  mark.cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
}

static void stop(void) {
  spent.wall = now() - mark.wall;
  spent.cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - mark.cpu;
}

/* a line of /proc/self/status, in KiB: VmRSS is the memory now, VmHWM its peak */
static long status_kb(const char *key) {
  char line[256];
  long kb = 0;
  FILE *f = fopen("/proc/self/status", "r");
  if (!f) fail("no /proc/self/status");
  while (fgets(line, sizeof line, f))
    if (!strncmp(line, key, strlen(key))) kb = strtol(line + strlen(key) + 1, NULL, 10);
  fclose(f);
  return kb;
}

/* more: further members of the JSON object, with a comma in front */
static void report(long ops, const char *more) {
  printf("{\"ops\":%ld,\"seconds\":%.6f,\"cpu_s\":%.6f,\"peak_kb\":%ld%s}\n", ops, spent.wall, spent.cpu,
         status_kb("VmHWM"), more);
}

/* ---- queues of coroutines ---- */

struct fifo {
  lua_State **slots; /* a ring, its size is a power of two */
  size_t size, head, tail;
};

static struct fifo ready, waiting;

static int is_empty(const struct fifo *q) { return q->head == q->tail; }

static void push(struct fifo *q, lua_State *co) {
  if (q->tail - q->head == q->size) {
    size_t size = q->size ? 2 * q->size : 1024, n = 0;
    lua_State **slots = grow(NULL, size * sizeof *slots);
    for (size_t i = q->head; i != q->tail; i++) slots[n++] = q->slots[i & (q->size - 1)];
    free(q->slots);
    *q = (struct fifo){slots, size, 0, n};
  }
  q->slots[q->tail++ & (q->size - 1)] = co;
}

static lua_State *pop(struct fifo *q) { return q->slots[q->head++ & (q->size - 1)]; }

/* ---- tasks ---- */

static lua_Integer *number_of(lua_State *co) { return lua_getextraspace(co); }

/* a new task for the function at index fn of M; the caller pushes its one argument */
static lua_State *spawn(int fn, lua_Integer number) {
  lua_State *co = lua_newthread(M);
  *number_of(co) = number;
  lua_pushvalue(M, fn);
  lua_xmove(M, co, 1);
  lua_rawseti(M, tasks, number);
  live++;
  push(&ready, co);
  return co;
}

static void spawn_all(int fn, int n, lua_Integer arg) {
  for (int i = 1; i <= n; i++) lua_pushinteger(spawn(fn, i), arg);
}

static void resume(lua_State *co) {
  int nargs = lua_status(co) == LUA_YIELD ? 0 : 1, nresults;
  int status = lua_resume(co, M, nargs, &nresults);
  if (status == LUA_YIELD) return;
  if (status != LUA_OK) fail(lua_tostring(co, -1));
  if (nresults == 1)
    lua_xmove(co, M, 1);
  else
    lua_pushnil(M);
  lua_rawseti(M, tasks, *number_of(co));
  live--;
}

static void run_ready(void) {
  while (!is_empty(&ready)) resume(pop(&ready));
}

static void check_all_ended(void) {
  if (live) fail("tasks left");
}

static void check_sum(int n) {
  lua_Integer sum = 0;
  for (int i = 1; i <= n; i++) {
    lua_rawgeti(M, tasks, i);
    sum += lua_tointeger(M, -1);
    lua_pop(M, 1);
  }
  if (sum != (lua_Integer)n * (n + 1) / 2) fail("wrong sum");
}

/* ---- sleeping: a binary heap of deadlines, rounded up to whole milliseconds ---- */

struct sleeper {
  double at;
  lua_State *co;
};

static struct sleeper *heap;
static size_t heap_size, heap_room;
static double early, late; /* worst of the sampled sleeps, in seconds */

static void heap_push(struct sleeper s) {
  if (heap_size == heap_room) {
    heap_room = heap_room ? 2 * heap_room : 1024;
    heap = grow(heap, heap_room * sizeof *heap);
  }
  size_t i = heap_size++;
  for (size_t up; i && heap[up = (i - 1) / 2].at > s.at; i = up) heap[i] = heap[up];
  heap[i] = s;
}

static lua_State *heap_pop(void) {
  lua_State *first = heap[0].co;
  struct sleeper last = heap[--heap_size];
  size_t i = 0, down;
  while ((down = 2 * i + 1) < heap_size) {
    if (down + 1 < heap_size && heap[down + 1].at < heap[down].at) down++;
    if (last.at <= heap[down].at) break;
    heap[i] = heap[down];
    i = down;
  }
  heap[i] = last;
  return first;
}

static int l_sleep(lua_State *L) {
  heap_push((struct sleeper){ceil((now() + lua_tonumber(L, 1)) * 1e3) * 1e-3, L});
  return lua_yield(L, 0);
}

static int l_clock(lua_State *L) {
  lua_pushnumber(L, now());
  return 1;
}

/* sample(t, d): a sleep of d seconds that began at t has ended */
static int l_sample(lua_State *L) {
  double error = now() - lua_tonumber(L, 1) - lua_tonumber(L, 2);
  if (-error > early) early = -error;
  if (error > late) late = error;
  return 0;
}

static void run_sleepers(void) {
  while (heap_size) {
    double left = heap[0].at - now();
    if (left > 0) {
      time_t whole = (time_t)left;
      nanosleep(&(struct timespec){whole, (long)((left - (double)whole) * 1e9)}, NULL);
    }
    for (double at = now(); heap_size && heap[0].at <= at;) resume(heap_pop());
  }
}

/* ---- yielding, and the primitives ---- */

static int l_yield(lua_State *L) {
  push(&ready, L);
  return lua_yield(L, 0);
}

static int permits, inside, most_inside;

static int enter(lua_State *L, int status, lua_KContext ctx) {
  (void)L, (void)status, (void)ctx;
  if (++inside > most_inside) most_inside = inside;
  return 0;
}

static int l_acquire(lua_State *L) {
  if (permits > 0) {
    permits--;
    return enter(L, LUA_OK, 0);
  }
  push(&waiting, L);
  return lua_yieldk(L, 0, 0, enter);
}

/* hands the permit to the oldest waiter */
static int l_release(lua_State *L) {
  (void)L;
  inside--;
  if (is_empty(&waiting))
    permits++;
  else
    push(&ready, pop(&waiting));
  return 0;
}

/* a condition without its lock, which is never contended here: the tasks notify one another in turn */
static int l_wait_turn(lua_State *L) {
  push(&waiting, L);
  return lua_yield(L, 0);
}

static int l_notify(lua_State *L) {
  (void)L;
  if (!is_empty(&waiting)) push(&ready, pop(&waiting));
  return 0;
}

static int arrived;

static int l_meet(lua_State *L) {
  if (++arrived < PARTIES) return l_wait_turn(L);
  arrived = 0;
  while (!is_empty(&waiting)) push(&ready, pop(&waiting));
  return 0;
}

static int event_is_set;

static int l_wait(lua_State *L) {
  if (event_is_set) return 0;
  push(&waiting, L);
  return lua_yield(L, 0);
}

/* a queue of any values: a Lua table (upvalue 1) as a ring, one waiter on each side */
static lua_Integer queued, put_count, got_count;
static lua_State *putter, *getter;

static void wake(lua_State **waiter) {
  if (*waiter) push(&ready, *waiter);
  *waiter = NULL;
}

static int put_more(lua_State *L, int status, lua_KContext ctx) {
  (void)status, (void)ctx;
  if (queued == QUEUE_SIZE) {
    putter = L;
    return lua_yieldk(L, 0, 0, put_more);
  }
  lua_pushvalue(L, 1);
  lua_rawseti(L, lua_upvalueindex(1), (put_count++ & (QUEUE_SIZE - 1)) + 1);
  queued++;
  wake(&getter);
  return 0;
}

static int get_more(lua_State *L, int status, lua_KContext ctx) {
  (void)status, (void)ctx;
  if (queued == 0) {
    getter = L;
    return lua_yieldk(L, 0, 0, get_more);
  }
  lua_Integer slot = (got_count++ & (QUEUE_SIZE - 1)) + 1;
  lua_rawgeti(L, lua_upvalueindex(1), slot);
  lua_pushnil(L);
  lua_rawseti(L, lua_upvalueindex(1), slot);
  queued--;
  wake(&putter);
  return 1;
}

static int l_put(lua_State *L) { return put_more(L, LUA_OK, 0); }
static int l_get(lua_State *L) { return get_more(L, LUA_OK, 0); }

/* ---- the workloads ---- */

/* the index in M of the function that the chunk returns */
static int compile(const char *chunk) {
  if (luaL_dostring(M, chunk)) fail(lua_tostring(M, -1));
  return lua_gettop(M);
}

static void run_spawn(void) {
  int fn = compile("return function(i) return i end");
  start();
  for (int i = 1; i <= SPAWNED; i++) {
    lua_pushinteger(spawn(fn, i), i);
    run_ready();
  }
  stop();
  check_sum(SPAWNED);
  report(SPAWNED, "");
}

static void run_switch(void) {
  int fn = compile(
      "local yield = yield "
      "return function(n) for _ = 1, n do yield() end end");
  start();
  spawn_all(fn, SWITCHERS, SWITCHES);
  run_ready();
  stop();
  check_all_ended();
  report((long)SWITCHERS * SWITCHES, "");
}

/* the same pseudo-random delays in [0, 1) for every competitor */
static double next_delay(void) {
  static unsigned x = 42;
  x = (x * 1103515245u + 12345u) & 0x7fffffffu;
  return (double)x / 2147483648.0;
}

static void run_timers(void) {
  char more[64];
  lua_pushinteger(M, SAMPLE_EVERY);
  lua_setglobal(M, "every");
  int fn = compile(
      "local sleep, clock, sample, every, n = sleep, clock, sample, every, 0 "
      "return function(d) n = n + 1 "
      "  if n % every ~= 0 then sleep(d) return end "
      "  local t = clock() sleep(d) sample(t, d) end");
  start();
  for (int i = 1; i <= SLEEPERS; i++) lua_pushnumber(spawn(fn, i), next_delay());
  run_ready();
  run_sleepers();
  stop();
  check_all_ended();
  snprintf(more, sizeof more, ",\"early_ms\":%.3f,\"late_ms\":%.3f", early * 1e3, late * 1e3);
  report(SLEEPERS, more);
}

static void run_idle(void) {
  char more[64];
  int fn = compile("local sleep = sleep return function(d) sleep(d) end");
  long before = status_kb("VmRSS");
  start();
  spawn_all(fn, SLEEPERS, 3600);
  run_ready();
  stop();
  double kb = (double)(status_kb("VmRSS") - before);
  if (live != SLEEPERS) fail("tasks ended early");
  snprintf(more, sizeof more, ",\"bytes_per_task\":%.1f", kb * 1024 / SLEEPERS);
  report(SLEEPERS, more);
}

static void run_queue(void) {
  int produce = compile(
      "local put = put "
      "return function(n) for i = 1, n do put(i) end end");
  int consume = compile(
      "local get = get "
      "return function(n) local s = 0 for _ = 1, n do s = s + get() end return s end");
  start();
  lua_pushinteger(spawn(produce, 1), ITEMS);
  lua_pushinteger(spawn(consume, 2), ITEMS);
  run_ready();
  stop();
  lua_rawgeti(M, tasks, 2);
  if (lua_tointeger(M, -1) != (lua_Integer)ITEMS * (ITEMS + 1) / 2) fail("wrong sum");
  report(ITEMS, "");
}

static void run_permits(int n) {
  int fn = compile(
      "local acquire, release, yield = acquire, release, yield "
      "return function(n) for _ = 1, n do acquire() yield() release() end end");
  permits = n;
  start();
  spawn_all(fn, HOLDERS, HOLDS);
  run_ready();
  stop();
  check_all_ended();
  if (permits != n || most_inside != n) fail("wrong number of permits");
  report((long)HOLDERS * HOLDS, "");
}

static void run_semaphore(void) { run_permits(PERMITS); }

static void run_lock(void) { run_permits(1); }

static void run_condition(void) {
  int fn = compile(
      "local wait, notify = wait_turn, notify "
      "return function(n) for _ = 1, n do wait() notify() end end");
  start();
  spawn_all(fn, HOLDERS, TURNS);
  run_ready();
  l_notify(M);
  run_ready();
  stop();
  check_all_ended();
  report((long)HOLDERS * TURNS, "");
}

static void run_barrier(void) {
  int fn = compile(
      "local meet = meet "
      "return function(n) for _ = 1, n do meet() end end");
  start();
  spawn_all(fn, PARTIES, ROUNDS);
  run_ready();
  stop();
  check_all_ended();
  report((long)PARTIES * ROUNDS, "");
}

static void run_event(void) {
  int fn = compile("local wait = wait return function(i) wait() return i end");
  start();
  for (int i = 1; i <= WAITERS; i++) lua_pushinteger(spawn(fn, i), i);
  run_ready();
  event_is_set = 1;
  while (!is_empty(&waiting)) push(&ready, pop(&waiting));
  run_ready();
  stop();
  check_all_ended();
  check_sum(WAITERS);
  report(WAITERS, "");
}

static void make_files(char *path, size_t size, const char *folder) {
  char data[FILE_SIZE];
  memset(data, 'x', sizeof data);
  for (int i = 1; i <= FILES; i++) {
    FILE *f;
    snprintf(path, size, "%s/%d", folder, i);
    f = fopen(path, "w");
    if (!f || fwrite(data, 1, sizeof data, f) != sizeof data || fclose(f) != 0) fail("cannot write a file");
  }
}

static long read_file(const char *path) {
  char data[FILE_SIZE + 1];
  long total = 0;
  ssize_t n;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail("cannot open a file");
  while ((n = read(fd, data, sizeof data)) > 0) {
    lua_pushlstring(M, data, (size_t)n);
    total += (long)lua_rawlen(M, -1);
    lua_pop(M, 1);
  }
  close(fd);
  return total;
}

static void run_files(void) {
  char folder[] = "/tmp/luawait-bench-XXXXXX", path[64];
  long total = 0;
  if (!mkdtemp(folder)) fail("no directory for files");
  make_files(path, sizeof path, folder);
  start();
  for (int i = 1; i <= FILES; i++) {
    snprintf(path, sizeof path, "%s/%d", folder, i);
    total += read_file(path);
  }
  stop();
  for (int i = 1; i <= FILES; i++) {
    snprintf(path, sizeof path, "%s/%d", folder, i);
    unlink(path);
  }
  rmdir(folder);
  if (total != (long)FILES * FILE_SIZE) fail("wrong files");
  report(FILES, "");
}

static void run_probe(void) {
  volatile unsigned x = 1;
  start();
  for (long i = 0; i < PROBE_STEPS; i++) x = x * 1103515245u + 12345u;
  stop();
  report(PROBE_STEPS, "");
}

static void open_state(void) {
  static const luaL_Reg functions[] = {{"sleep", l_sleep},
                                       {"clock", l_clock},
                                       {"sample", l_sample},
                                       {"yield", l_yield},
                                       {"wait", l_wait},
                                       {"acquire", l_acquire},
                                       {"release", l_release},
                                       {"wait_turn", l_wait_turn},
                                       {"notify", l_notify},
                                       {"meet", l_meet},
                                       {NULL, NULL}};
  static const luaL_Reg queue[] = {{"put", l_put}, {"get", l_get}, {NULL, NULL}};
  M = luaL_newstate();
  if (!M) fail("out of memory");
  luaL_openlibs(M);
  lua_gc(M, LUA_GCGEN, 0, 0);
  lua_pushglobaltable(M);
  luaL_setfuncs(M, functions, 0);
  lua_newtable(M);
  luaL_setfuncs(M, queue, 1);
  lua_settop(M, 0);
  lua_newtable(M);
  tasks = lua_gettop(M);
}

int main(int argc, char **argv) {
  static const struct {
    const char *name;
    void (*run)(void);
  } workloads[] = {{"spawn", run_spawn}, {"switch", run_switch},       {"timers", run_timers},
                   {"idle", run_idle},   {"queue", run_queue},         {"semaphore", run_semaphore},
                   {"lock", run_lock},   {"condition", run_condition}, {"barrier", run_barrier},
                   {"event", run_event}, {"files", run_files},         {"probe", run_probe}};
  for (size_t i = 0; argc == 2 && i < sizeof workloads / sizeof *workloads; i++) {
    if (strcmp(argv[1], workloads[i].name)) continue;
    open_state();
    workloads[i].run();
    return 0; /* the state is not closed: that is not what is measured */
  }
  fprintf(stderr, "usage: floor WORKLOAD\n");
  return 2;
}
