/* The event loop of a Lua state: a uv_loop, the ready queue, and what anchors the living.
 *
 * How a wait becomes a wake-up: whatever ends a wait (a timer, a finished future, a read) puts the node that waits into
 * the ready queue; prepare and check callbacks of libuv drain the queue in turn order; draining runs each node's class.
 */
#ifndef LUAWAIT_CORE_LOOP_H
#define LUAWAIT_CORE_LOOP_H

#include <lua.h>
#include <stdatomic.h>
#include <uv.h>

#include "base/heap.h"
#include "base/list.h"
#include "base/udata.h"

typedef struct lw_Loop lw_Loop;
typedef struct lw_Future lw_Future;
typedef struct lw_Task lw_Task;

/* What a node is part of; the index of its lw_NodeClass. */
typedef enum lw_NodeType {
  LW_TASK,   /* a task: core/task.h */
  LW_FUTURE, /* a plain future: never queued, never timed */
  LW_HANDLE, /* a callback of call_soon, call_later, add_done_callback: core/handle.h */
  LW_SCOPE,  /* a timeout scope: core/scope.h */
  LW_CHILD,  /* one of the futures that a fan watches: core/fan.h */
  LW_POSTED, /* the calls that other threads have posted: embed/port.c */
  LW_NODE_TYPES
} lw_NodeType;

/* The states of a task, a future (LW_WAITING until it is finished) and a handle (LW_WAITING, LW_DONE, LW_CANCELLED). */
typedef enum lw_State {
  LW_CREATED, /* a task whose body has not begun */
  LW_READY,   /* woken: in the ready queue */
  LW_RUNNING,
  LW_WAITING,
  LW_DONE, /* from here on: finished */
  LW_FAILED,
  LW_CANCELLED
} lw_State;

/* What can stand in the ready queue or in the list of a primitive. Packed to 24 bytes: it is part of every task. */
typedef struct lw_Node {
  lw_Link link;
  uint8_t type;  /* lw_NodeType */
  uint8_t state; /* lw_State */
  uint8_t flags; /* its owner's */
  uint8_t wait;  /* of a parked task: lw_WaitKind */
  uint32_t slot; /* where the loop anchors it, 0: it does not; of a LW_CHILD: its number */
} lw_Node;

/* A node that can have a deadline. */
typedef struct lw_Timed {
  lw_Node node;
  lw_HeapNode timer;
} lw_Timed;

/* What each type of node does. The tables are set when the module is opened, so that core/loop knows none of them. */
typedef struct lw_NodeClass {
  void (*run)(lw_Loop *loop, lw_Node *node);                         /* its turn in the ready queue */
  void (*abort)(lw_Loop *loop, lw_Node *node);                       /* a memory error has cut `run` short */
  void (*due)(lw_Loop *loop, lw_Timed *timed);                       /* its deadline has come */
  void (*notify)(lw_Loop *loop, lw_Node *node, lw_Future *finished); /* the future in whose list it stood is done */
} lw_NodeClass;

/* References into the registry. */
typedef enum lw_Ref {
  LW_REF_ANCHORS,         /* slot -> task or handle that the loop keeps alive; free slots hold the next free one */
  LW_REF_POOL,            /* lua_States of tasks that ended well, to be used again */
  LW_REF_NOTES,           /* task or future -> table of what few of them have (name, traceback, ...); weak keys */
  LW_REF_FAILURES,        /* failures nobody has retrieved -> their order; weak keys */
  LW_REF_TRACEBACKS,      /* coroutine -> traceback of the error that is on its way out of it; weak keys */
  LW_REF_NAMES,           /* function -> the name by which its async function was first called; weak keys */
  LW_REF_HANDLER,         /* the exception handler of this run, or nil */
  LW_REF_DEFAULT_HANDLER, /* the one that was set outside a run, or nil */
  LW_REF_AWAIT,           /* async.await */
  LW_REF_TASK,            /* metatables */
  LW_REF_FUTURE,
  LW_REF_COROUTINE,
  LW_REF_USED_COROUTINE,
  LW_REF_FAILURE,
  LW_REF_HANDLE,
  LW_REF_ERROR,
  LW_REF_NO_MEMORY, /* the Failure of a task for whose end there was no memory */
  LW_REFS
} lw_Ref;

enum { LW_POOL_SIZE = 256, LW_WAIT_CLASSES = 32 };

typedef enum lw_Stop {
  LW_STOP_DONE = 1,    /* what run() waited for has ended */
  LW_STOP_INTERRUPTED, /* a KeyboardInterrupt was raised outside the main task, or SIGINT came again */
  LW_STOP_TIMEOUT,     /* shutting down took too long */
  LW_STOP_ERROR        /* the loop itself cannot go on, for the error LW_REF_ERROR */
} lw_Stop;

/* As last_ending: the loop stops when no task is left. */
#define LW_ALL_TASKS UINT32_MAX

struct lw_WaitClass;
struct lw_Monitor;
struct lw_Testing;
struct lw_Faults;
struct lw_Luv;

struct lw_Loop {
  uv_loop_t *uv; /* apart, since it must outlive the loop's userdata when the state is closed from inside a run */
  uv_prepare_t prepare; /* drains before a poll */
  uv_check_t check;     /* drains after it */
  uv_idle_t idle;       /* active while the ready queue is not empty: keeps the poll from blocking */
  uv_timer_t timer;     /* wakes the poll for the earliest deadline */
  uv_timer_t shutdown;  /* runs while the tasks are being ended: how long that may take */
  int open;             /* are the handles above initialised? */
  int foreign;          /* `uv` is the program's: only what is ours in it may be closed */
  uint32_t in_uv;       /* handles of ours that libuv knows, and requests that belong to none: closing waits for them */
  lw_List jobs;         /* of io/job: all whose blocks are not freed yet */
  lw_List handles;      /* of the io, open: by what they are linked in, only close_handle knows */
  uint32_t polls;       /* counts them */
  void *owner;          /* the Runner that opened it, or the lw_Embed */
  uint64_t armed;       /* millisecond for which `timer` is set; 0: it is not */

  /* What core/testing replaces until the loop is closed. */
  struct lw_Testing *testing; /* NULL: no test runs */
  struct lw_Faults *faults;   /* core/faults': lives as long as the Lua state */
  const uint64_t *clock;      /* a virtual one; NULL: the system's */
  lua_CFunction drain;        /* under lua_pcall, with the loop and the anchors: runs what is ready */
  void (*arm)(lw_Loop *loop); /* before a poll: sees to it that the poll ends for the earliest deadline */

  int turning;         /* uv_run is on the stack */
  lua_State *L;        /* the state that turns the loop; NULL while nobody does */
  lw_List ready;       /* lw_Node */
  lw_Heap timers;      /* lw_Timed */
  lw_Task *current;    /* the running task */
  lw_Node *stepping;   /* the node whose turn it is */
  uint64_t turn_start; /* of this go at the ready queue */
  uint32_t turn_steps; /* that may be made before the clock is looked at again */
  int failed;          /* set by the step that just ended: its result is an error */
  int passing;         /* set by a wait in a coroutine of the user's: the yield is on its way to the task */
  int draining;
  uint64_t turn_end;    /* no step begins after this; 0: none is so punctual */
  uint32_t last_ending; /* while tasks are being ended: the id up to which, 0 at other times; or LW_ALL_TASKS */
  uint32_t ending;      /* and how many of these are left; with the last one the loop stops */
  uint32_t failures;    /* made so far: the order of the reports */
  lua_State *bridged;   /* the user's coroutine that std.coroutine is resuming, if a wait in it can reach the task */

  uint32_t coroutines; /* those that nobody has awaited, and that were not collected */
  uint32_t last_id;    /* of the newest task */
  uint32_t slots;      /* size of the anchor table */
  uint32_t free_slot;  /* head of the list of free slots; 0: none */
  uint32_t unfinished; /* tasks */
  lua_State *pool[LW_POOL_SIZE];
  int pooled;

  lw_Task *main;                  /* the task that run() waits for */
  int stop;                       /* lw_Stop: why uv_run shall end, or 0 */
  uint32_t sigints;               /* that the loop has seen */
  _Atomic(uint32_t) sigints_over; /* how many of them do not count: they came before this run, or were the program's */
  _Atomic(int) sigint_watches;    /* of the program's own: while there are any, SIGINT is its affair */
  int stopping;                   /* a limit was exceeded, and the step has to end: see embed/limits.c */
  int guarded;                    /* there are limits: what is a script's is not to run where Lua calls no hooks */
  int debug;                      /* opts.debug */
  int quiet;                      /* closing for nobody: a Runner was dropped open */
  double slow_callback;           /* seconds */
  uint64_t step_wall, step_cpu;   /* in debug mode: when the step began */

  struct lw_Monitor *monitor;  /* helper thread for the watchdog and for the second SIGINT, or NULL */
  _Atomic(lua_State *) active; /* what that thread may set a hook on: the state in which user code runs now */
  _Atomic(uint32_t) steps;     /* counts turns, so that it can tell whether the loop moves */
  _Atomic(int) pause;          /* it asks the loop to wait for it before the next step */

  lw_NodeClass classes[LW_NODE_TYPES];
  const struct lw_WaitClass *waits[LW_WAIT_CLASSES];
  lw_List passing_on; /* what lw_cancel has still to pass the request on to: a list of sync/fan's */
  void (*pass_on)(lua_State *L, lw_Loop *loop, lw_Link *link);
  uint32_t cancellation;               /* counts calls of lw_cancel */
  int cancelling_all;                  /* each task has its own call, so that none has to be passed on to another */
  uint32_t interruptions;              /* counts waits that were interrupted and futures that were cancelled */
  void (*close_handle)(lw_Link *link); /* io/handle's: closes one of `handles`, which takes it out of the list */
  /* And tells what any handle of the uv_loop is for the program; NULL: nothing. */
  const char *(*handle_name)(const lw_Loop *loop, const uv_handle_t *handle);
  struct lw_Embed *embed;              /* the C API's */
  void (*leave)(lw_Loop *loop);        /* its: the loop is about to be closed */
  struct lw_Luv *luv;                  /* io/luv's; NULL: luv is not in use */
  void (*move_luv)(lw_Loop *loop);     /* its, if there is one: `uv` was opened, or closed (NULL) */
  void (*halted)(lw_Loop *loop);       /* its: `stop` was set, while the program itself turns its uv_loop */
  void (*stop_monitor)(lw_Loop *loop); /* core/monitor's */
  void (*free_monitor)(lw_Loop *loop);
  int refs[LW_REFS];
  const void *metatables[LW_REFS]; /* identities of the metatables among the refs */
};

/* The loop of the running C function (its upvalue 1). */
static inline lw_Loop *lw_loop(lua_State *L) { return (lw_Loop *)lua_touserdata(L, lua_upvalueindex(1)); }

/* The loop of this Lua state, from anywhere. */
lw_Loop *lw_loop_of(lua_State *L);

/* As lw_loop, but raises RuntimeError unless somebody turns the loop. */
lw_Loop *lw_running_loop(lua_State *L);

static inline void lw_push_ref(lua_State *L, const lw_Loop *loop, lw_Ref ref) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, loop->refs[ref]);
}

/* Nanoseconds of the loop's monotonic clock. */
uint64_t lw_now(const lw_Loop *loop);

/* Nanoseconds in milliseconds, which libuv's timers and polls take, rounded up: none ends early. */
uint64_t lw_ms(uint64_t ns);

/* The loop goes on until its next turn, and the poll before that does not block. */
void lw_keep_awake(lw_Loop *loop);

/* Puts a node that is in no list at the end of the ready queue. Never fails. */
void lw_ready(lw_Loop *loop, lw_Node *node);

/* A node class's `run` finds the table of anchors at this index of loop->L's frame: most steps want it. */
enum { LW_ANCHORS = 2 };

/* Keeps the value at the absolute index `index` alive; returns its slot. May raise a memory error. */
uint32_t lw_anchor(lua_State *L, lw_Loop *loop, int index);
void lw_unanchor(lua_State *L, lw_Loop *loop, uint32_t slot);
void lw_push_anchored(lua_State *L, const lw_Loop *loop, uint32_t slot);

/* Deadlines. Starting fails (-1) only without memory; one that is running is moved. */
int lw_timer_start(lw_Loop *loop, lw_Timed *timed, uint64_t deadline);
void lw_timer_stop(lw_Loop *loop, lw_Timed *timed);

/* The `arm` of a loop on the system's clock. */
void lw_arm(lw_Loop *loop);

/* Opens the uv_loop of a loop that is closed, and closes it; `uv` is one that the program has, or NULL. Opening raises
 * OSError. Closing closes every handle of ours that is still open and runs their close callbacks; no Lua code runs in
 * it. */
void lw_loop_open(lua_State *L, lw_Loop *loop, uv_loop_t *uv);
void lw_loop_close(lw_Loop *loop);

/* Before a uv_loop is opened. Where the program was started without stdin, stdout or stderr, /dev/null takes the place:
 * a socket that came to stand there would be taken for it by others, and libuv aborts when it closes such a descriptor
 * of its own. */
void lw_fill_stdio(void);

/* For a handle that stands in the loop or beside it, with `data` pointing to the loop: counts it, closes it. */
void lw_own_handle(lw_Loop *loop, uv_handle_t *handle);
void lw_close_own_handle(lw_Loop *loop, uv_handle_t *handle);

/* Runs what is ready until the queue is empty or the time for one go is up, then sets the timer. Callable only where
 * libuv could call: never from inside a step. */
void lw_loop_turn(lw_Loop *loop);

/* Lets libuv deliver what has come by now; no step is made. From the same places. */
void lw_loop_poll(lw_Loop *loop);

/* Hands a report to the exception handler: pops a table {message=, error=, ...}. Never raises (but for want of memory).
 */
void lw_report(lua_State *L, lw_Loop *loop);

/* Message handler for lua_pcall: leaves the error value as it is, and keeps the traceback aside for the coroutine. */
int lw_traceback(lua_State *L);

/* Pushes the traceback (or nil) that lw_traceback kept aside for the coroutine `co`, and forgets it. */
void lw_take_traceback(lua_State *L, lw_Loop *loop, lua_State *co);

/* Pops an error that lua_pcall caught in L with lw_traceback, and reports it with `message`. */
void lw_report_error(lua_State *L, lw_Loop *loop, const char *message);

/* The notes of the task or future at `index`: set pops a value, get pushes it (nil if there is none) and returns its
 * type. Numbers, and not names, because looking for a name may take memory: to read a note never fails. */
typedef enum lw_Note { LW_NOTE_NAME = 1, LW_NOTE_CREATED_AT, LW_NOTE_CANCELLED_AT, LW_NOTE_CANCEL_MESSAGE } lw_Note;
void lw_note_set(lua_State *L, lw_Loop *loop, int index, lw_Note note);
int lw_note_get(lua_State *L, lw_Loop *loop, int index, lw_Note note);

/* Makes the loop userdata of this state, pushes it. */
lw_Loop *lw_open_loop(lua_State *L);

/* Takes the node whose turn it is out of the ready queue; NULL when this go is over, or it is of another type. A `run`
 * may go on with the next one of its own type: that saves a return, which the processor foresees badly after a longjmp
 * like that of a yield. */
int lw_may_go_on(lw_Loop *loop); /* slow path */
static inline lw_Node *lw_next_step(lw_Loop *loop, lw_NodeType type) {
  lw_Link *link = loop->ready.first;
  if (link == NULL || loop->stop != 0 || LW_CONTAINER(link, lw_Node, link)->type != type) return NULL;
  if (LW_UNLIKELY(loop->turn_steps == 0 && !lw_may_go_on(loop))) return NULL;
  loop->turn_steps--;
  lw_list_remove(&loop->ready, link);
  return loop->stepping = LW_CONTAINER(link, lw_Node, link);
}

/* How many times SIGINT has interrupted this run. */
static inline int lw_interrupts(lw_Loop *loop) { return (int)(loop->sigints - atomic_load(&loop->sigints_over)); }

/* Slow paths of the two below. */
void lw_debug_begin_step(lw_Loop *loop);
void lw_debug_end_step(lw_Loop *loop);
void lw_wait_for_monitor(lw_Loop *loop);

/* Every call of user code from the loop stands between these two: `L` is the state that it runs in. */
static inline void lw_begin_step(lw_Loop *loop, lua_State *L) {
  atomic_store_explicit(&loop->steps, atomic_load_explicit(&loop->steps, memory_order_relaxed) + 1,
                        memory_order_relaxed);
  atomic_store_explicit(&loop->active, L, memory_order_release); /* with it the monitor sees loop->current */
  if (LW_UNLIKELY(loop->debug)) lw_debug_begin_step(loop);
}

/* After this the state may be freed, so the monitor, if it is about to touch it, is waited for. */
static inline void lw_end_step(lw_Loop *loop) {
  if (LW_UNLIKELY(loop->debug)) lw_debug_end_step(loop);
  atomic_store_explicit(&loop->active, NULL, memory_order_relaxed);
  if (LW_UNLIKELY(atomic_load_explicit(&loop->pause, memory_order_acquire))) lw_wait_for_monitor(loop);
}

/* A metatable becomes the class `ref`: pops it. */
void lw_set_metatable_ref(lua_State *L, lw_Loop *loop, lw_Ref ref);
void lw_set_ref(lua_State *L, lw_Loop *loop, lw_Ref ref);

#endif
