/* Error classes and error objects.
 *
 * A class is a table that is the metatable of its instances; an instance is a table with `message` and whatever fields
 * its maker gave it, and finds `name` in its class. Classes are told apart by identity, never by name. */
#ifndef LUAWAIT_BASE_ERROR_H
#define LUAWAIT_BASE_ERROR_H

#include <lua.h>

typedef enum lw_Error {
  LW_BASE_ERROR = 1,
  LW_CANCELLED_ERROR,
  LW_KEYBOARD_INTERRUPT,
  LW_ERROR,
  LW_TIMEOUT_ERROR,
  LW_RUNTIME_ERROR,
  LW_VALUE_ERROR,
  LW_INVALID_STATE_ERROR,
  LW_DEADLOCK_ERROR,
  LW_QUEUE_EMPTY,
  LW_QUEUE_FULL,
  LW_QUEUE_SHUT_DOWN,
  LW_BROKEN_BARRIER_ERROR,
  LW_EXCEPTION_GROUP,
  LW_OS_ERROR,
  LW_INCOMPLETE_READ_ERROR,
  LW_LIMIT_OVERRUN_ERROR,
  LW_PROCESS_ERROR
} lw_Error;

/* Pushes a new instance of a built-in class; the message is made as by lua_pushfstring. May raise a memory error. */
void lw_error_push(lua_State *L, lw_Error cls, const char *format, ...);

/* Raises one. */
int lw_error_raise(lua_State *L, lw_Error cls, const char *format, ...);

/* Pushes an OSError for a libuv error code: message "SYSCALL DETAIL: reason", fields code, errno, syscall, and, where
 * `field` is not NULL, that field ("address" or "path") holding `detail`. */
void lw_error_push_os(lua_State *L, int uverr, const char *syscall, const char *field, const char *detail);

/* Is the value at `index` an instance of the class or of one of its children? Never raises, runs no metamethod. */
int lw_error_is(lua_State *L, int index, lw_Error cls);

/* Pushes what a report says of any error value: its tostring, or, where that fails itself, what it is. */
void lw_error_text(lua_State *L, int index);

/* Makes the classes and pushes the table `errors` (class, is, and the built-in classes). */
int lw_open_errors(lua_State *L);

#endif
