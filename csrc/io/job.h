/* Jobs for libuv's thread pool: what would block, such as the calls of the file system. A job may make several calls,
 * so that reading a whole file is one trip to a thread and back.
 *
 * Its block holds copies of all that the thread reads, and is shared by a userdata, which stands in the frame of the
 * function that waits, and libuv: freed by the one that is done with it last. A cancelled job that no thread has taken
 * up yet is not done at all. One that is under way ends on its own, earlier where it looks at lw_job_abandoned; then
 * what it got is given back. */
#ifndef LUAWAIT_IO_JOB_H
#define LUAWAIT_IO_JOB_H

#include <stdatomic.h>

#include "io/request.h"

typedef struct lw_Job lw_Job;

typedef struct lw_JobClass {
  const char *what;          /* the call, for errors and waiting_on(): "stat" */
  void (*work)(lw_Job *job); /* in a thread: touches the block, and nothing of Lua's or the loop's */
  /* In the task, where work did not fail: pushes the results. NULL: there are none. */
  int (*finish)(lua_State *L, lw_Job *job);
  /* Once, when nobody will ask for more: gives back what `finish` has not taken. NULL: nothing to do. */
  void (*release)(lw_Job *job);
  /* For what the jobs of a lane share: on the loop, just before the work, and just after it. NULL: nothing to do. */
  void (*begin)(lw_Job *job);
  void (*end)(lw_Job *job);
  int stubborn; /* is done also when the task was cancelled */
} lw_JobClass;

/* Jobs of one lane are done one after another, in the order in which they came. The next one begins when the results of
 * the one before were taken. */
typedef struct lw_Lane {
  lw_List waiting; /* jobs */
  lw_Job *current;
} lw_Lane;

typedef enum lw_JobStage {
  LW_JOB_NEW,
  LW_JOB_WAITING, /* in its lane */
  LW_JOB_RUNNING, /* libuv has it */
  LW_JOB_DONE
} lw_JobStage;

struct lw_Job {
  lw_Request request;
  uv_work_t uv;
  const lw_JobClass *cls;
  lw_Loop *loop;
  lw_Lane *lane;            /* or NULL */
  lw_Link link, all;        /* in the lane, and in the loop's list of jobs */
  const char *path, *path2; /* what it is about, for errors; path2 may be NULL. In the block, or static */
  const char *call;         /* the call that failed; NULL: that of the class */
  int status;               /* set by `work`: 0, or an error of libuv's */
  uint8_t stage;            /* lw_JobStage */
  uint8_t released;
  uint8_t dropped; /* the userdata is gone */
  _Atomic(int) abandoned;
};

/* Pushes a job: a zeroed block of `size` bytes. May raise. */
lw_Job *lw_job_new(lua_State *L, lw_Loop *loop, const lw_JobClass *cls, size_t size);

/* Hands it to a thread, or to its lane, and waits. The job must be the last thing pushed. Raises OSError. Call as
 * `return lw_job_run(...)`. */
int lw_job_run(lua_State *L, lw_Task *task, lw_Job *job);

/* A job that is done is handed to a thread once more: for `finish`. Call as `return lw_job_again(...)`. */
int lw_job_again(lua_State *L, lw_Job *job);

/* For `work`: what this call came to, a number of libuv's that is an error below 0. Returns whether it went well. */
int lw_job_called(lw_Job *job, const char *call, int result);

/* For `work`: does nobody wait for it any more? */
static inline int lw_job_abandoned(lw_Job *job) { return atomic_load_explicit(&job->abandoned, memory_order_relaxed); }

/* The file that the lane belongs to is going: the jobs that wait in it fail with RuntimeError, the current one
 * (returned, or NULL) belongs to no lane any more. */
lw_Job *lw_lane_close(lw_Lane *lane);

void lw_open_job(lua_State *L, int loop_index);

#endif
