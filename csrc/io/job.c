#include "io/job.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "base/error.h"

/* The registry holds the metatable of jobs, and what ends them with the state, under the addresses of these. */
static const char JOB = 0, JOBS = 0;

/* ---- life ---- */

static void free_job(lw_Job *job) {
  lw_list_remove(&job->loop->jobs, &job->all);
  free(job);
}

static void advance(lw_Lane *lane);

/* Nobody will ask it for more. */
static void release(lw_Job *job) {
  lw_Lane *lane = job->lane;
  if (job->released) return;
  job->released = 1;
  if (job->cls->release != NULL) job->cls->release(job);
  job->lane = NULL;
  if (lane != NULL && lane->current == job) {
    lane->current = NULL;
    advance(lane);
  }
}

/* The work is over. */
static void end(lw_Job *job) {
  if (job->cls->end != NULL) job->cls->end(job);
  job->stage = LW_JOB_DONE;
}

static void done(lw_Job *job) {
  job->stage = LW_JOB_DONE;
  if (job->request.task == NULL) release(job);
  if (job->dropped)
    free_job(job);
  else
    lw_request_done(job->loop, &job->request, job->status);
}

/* The same for one that was started. */
static void ended(lw_Job *job) {
  end(job);
  done(job);
}

static void on_done(uv_work_t *uv, int status) {
  lw_Job *job = uv->data;
  job->loop->in_uv--;
  if (status != 0) job->status = status;
  ended(job);
}

static void on_work(uv_work_t *uv) {
  lw_Job *job = uv->data;
  job->cls->work(job);
}

static int start(lw_Job *job) {
  int err;
  job->stage = LW_JOB_RUNNING;
  job->uv.data = job;
  if (job->cls->begin != NULL) job->cls->begin(job);
  err = uv_queue_work(job->loop->uv, &job->uv, on_work, on_done);
  if (err == 0)
    job->loop->in_uv++;
  else
    lw_job_called(job, "uv_queue_work", err);
  return err;
}

static void advance(lw_Lane *lane) {
  lw_Link *link;
  while (lane->current == NULL && (link = lw_list_pop(&lane->waiting)) != NULL) {
    lw_Job *job = LW_CONTAINER(link, lw_Job, link);
    lane->current = job;
    if (start(job) != 0) ended(job);
  }
}

lw_Job *lw_lane_close(lw_Lane *lane) {
  lw_Job *current = lane->current;
  lw_Link *link;
  if (current != NULL) current->lane = NULL;
  lane->current = NULL;
  while ((link = lw_list_pop(&lane->waiting)) != NULL) {
    lw_Job *job = LW_CONTAINER(link, lw_Job, link);
    job->lane = NULL;
    job->status = UV_ECANCELED;
    done(job);
  }
  return current;
}

static void abandon(lw_Job *job) {
  if (job->stage == LW_JOB_DONE) {
    release(job);
  } else if (!job->cls->stubborn) {
    atomic_store_explicit(&job->abandoned, 1, memory_order_relaxed);
    if (job->stage == LW_JOB_RUNNING) {
      uv_cancel((uv_req_t *)&job->uv);
    } else if (job->stage == LW_JOB_WAITING) {
      lw_list_remove(&job->lane->waiting, &job->link);
      job->stage = LW_JOB_DONE;
      release(job);
    }
  }
}

/* The userdata is gone. */
static void drop(lw_Job *job) {
  job->request.task = NULL;
  abandon(job);
  if (job->stage == LW_JOB_RUNNING || job->stage == LW_JOB_WAITING) {
    job->dropped = 1;
  } else {
    release(job);
    free_job(job);
  }
}

static int job_gc(lua_State *L) {
  lw_Job **box = lua_touserdata(L, 1), *job = *box;
  *box = NULL;
  if (job != NULL) drop(job);
  return 0;
}

/* The state is being closed. Lua loses a finalizer that it has no memory to call: jobs that were left that way go now.
 */
static int jobs_gc(lua_State *L) {
  lw_List *jobs = &lw_loop(L)->jobs;
  lw_Link *link, *next;
  for (link = jobs->first; link != NULL; link = next) {
    lw_Job *job = LW_CONTAINER(link, lw_Job, all);
    next = lw_list_next(jobs, link);
    if (!job->dropped) drop(job);
  }
  return 0;
}

/* ---- waiting ---- */

/* (A job that uv_cancel has stopped has nobody who waits.) */
static void push_error(lua_State *L, const lw_Job *job) {
  if (job->status == UV_ECANCELED) {
    lw_error_push(L, LW_RUNTIME_ERROR, "file is closed");
    return;
  }
  lw_error_push_os(L, job->status, job->call != NULL ? job->call : job->cls->what, "path", job->path);
  if (job->path2 != NULL) {
    lua_pushstring(L, job->path2);
    lua_setfield(L, -2, "path2");
  }
}

static int job_finish(lua_State *L, lw_Request *request) {
  lw_Job *job = LW_CONTAINER(request, lw_Job, request);
  int results;
  if (job->status < 0) {
    push_error(L, job);
    release(job);
    return lua_error(L);
  }
  results = job->cls->finish != NULL ? job->cls->finish(L, job) : 0;
  release(job);
  return results;
}

static void job_abandon(lw_Request *request) { abandon(LW_CONTAINER(request, lw_Job, request)); }

static void job_describe(lua_State *L, const lw_Request *request) {
  const lw_Job *job = LW_CONTAINER(request, lw_Job, request);
  lua_pushfstring(L, "%s %s", job->cls->what, job->path);
}

lw_Job *lw_job_new(lua_State *L, lw_Loop *loop, const lw_JobClass *cls, size_t size) {
  static const lw_RequestClass request_class = {job_finish, job_abandon, job_describe};
  lw_Job **box = lua_newuserdatauv(L, sizeof *box, 0), *job;
  *box = NULL;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &JOB);
  lua_setmetatable(L, -2);
  *box = job = calloc(1, size);
  if (job == NULL) luaL_error(L, "not enough memory");
  job->request.cls = &request_class;
  job->cls = cls;
  job->loop = loop;
  lw_list_push(&loop->jobs, &job->all);
  return job;
}

static int start_and_wait(lua_State *L, lw_Task *task, lw_Job *job) {
  if (start(job) == 0) return lw_request_wait(L, task, &job->request);
  end(job);
  release(job);
  push_error(L, job);
  return lua_error(L);
}

int lw_job_run(lua_State *L, lw_Task *task, lw_Job *job) {
  lw_Lane *lane = job->lane;
  if (lane != NULL && lane->current != NULL) {
    job->stage = LW_JOB_WAITING;
    lw_list_push(&lane->waiting, &job->link);
    return lw_request_wait(L, task, &job->request);
  }
  if (lane != NULL) lane->current = job;
  return start_and_wait(L, task, job);
}

int lw_job_again(lua_State *L, lw_Job *job) {
  job->request.done = 0;
  return start_and_wait(L, job->loop->current, job);
}

int lw_job_called(lw_Job *job, const char *call, int result) {
  if (result >= 0) return 1;
  job->status = result;
  job->call = call;
  return 0;
}

void lw_open_job(lua_State *L, int loop_index) {
  static const luaL_Reg meta[] = {{"__gc", job_gc}, {NULL, NULL}}, ending[] = {{"__gc", jobs_gc}, {NULL, NULL}};
  lw_class(L, loop_index, "Job", NULL, meta);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &JOB);
  lua_newuserdatauv(L, 0, 0);
  lw_class(L, loop_index, "Jobs", NULL, ending);
  lua_setmetatable(L, -2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &JOBS);
}
