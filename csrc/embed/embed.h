/* The C API's own part of each Lua state. What the functions do stands in csrc/luawait.h. */
#ifndef LUAWAIT_EMBED_EMBED_H
#define LUAWAIT_EMBED_EMBED_H

#include "core/loop.h"
#include "luawait.h"

typedef struct lw_Meter {
  unsigned long instructions; /* the limits; 0: none */
  size_t memory;
  int closing;   /* the program closes the loop: scripts run outside of its turns */
  uint32_t step; /* the loop's count when `used` was 0 */
  unsigned long used;
  const lua_State *last; /* that the hook ran in */
  lua_Alloc alloc;       /* the program's, which ours stands in for; NULL: ours is not installed */
  void *alloc_ud;
  size_t bytes;  /* in use */
  void *refused; /* block and size of the last request that was refused: Lua asks twice */
  size_t refused_size;
} lw_Meter;

typedef struct lw_Embed {
  lw_Loop *loop;
  lua_State *main; /* the main coroutine */
  lua_State *L;    /* what turns a loop that luawait_open has opened; a value of the userdata */
  int opened;      /* by luawait_open */
  int closing;
  uv_timer_t timer;     /* of luawait_step; initialised while `opened` */
  lw_List dones;        /* Done: tasks whose end is to be told */
  luawait_Port *port;   /* of the loop that is open, once somebody has asked for it */
  lw_Node inbox;        /* in the ready queue while the port's queue is not empty */
  struct lw_Call *call; /* that is running */
  lw_Meter meter;
  int errors[2]; /* references to the errors of the limits */
} lw_Embed;

/* That of this state; NULL where the module was not opened, or there is no room on the stack. */
lw_Embed *lw_embed_of(lua_State *L);

/* The same where a loop is open; else NULL and why in `*status`. */
lw_Embed *lw_open_embed_of(lua_State *L, int *status);

/* Calls fn(arg, the `nargs` values on the top) protected: LUAWAIT_OK and `nresults` results, or LUAWAIT_ERROR. */
int lw_protect(lua_State *L, lua_CFunction fn, void *arg, int nargs, int nresults);

/* Pops an error, and reports it with `message`: as lw_report_error, but outside of any protected call. */
void lw_tell_error(lua_State *L, const char *message);

/* A task for the function below `nargs` arguments on the top: see luawait_spawn. */
int lw_spawn(lua_State *L, lw_Embed *embed, int nargs, luawait_DoneFn done, void *ud);

/* Tells the ends that have not been told, of tasks that have ended; without a Lua state to do it in, of all. */
void lw_tell_ends(lw_Embed *embed, lua_State *L);

/* Calls in the queue of the port are dropped, and it takes no more. */
void lw_close_port(lw_Embed *embed);

/* Whether the error at `index` is that of a limit; the limits go with the loop. */
int lw_is_stop(lua_State *L, const lw_Embed *embed, int index);
void lw_end_limits(lw_Embed *embed);

/* Replaces functions of the script's through which code could run without a hook. */
void lw_guard(lua_State *L);

/* The class of `inbox`. */
void lw_open_port(lw_Loop *loop);

/* Makes the lw_Embed, and registers the table of functions. Nothing is added to the table on the top. */
void lw_open_embed(lua_State *L, int loop_index, lw_Loop *loop);

#endif
