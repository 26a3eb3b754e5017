/* Helpers for userdata and metatables, and for messages about wrong arguments.
 *
 * Every Lua-visible function of the module is a closure: upvalue 1 is the loop (a full userdata), and
 * for methods upvalue 2 is the metatable of their class, so that `self` is checked without a look-up. */
#ifndef LUAWAIT_BASE_UDATA_H
#define LUAWAIT_BASE_UDATA_H

#include <lauxlib.h>
#include <lua.h>
#include <stdint.h>

struct lw_Loop;

enum { LW_MAX_ARGS = 60000 }; /* that an object can keep for later: Lua allows 65,534 user values */

#if defined(__GNUC__)
#define LW_LIKELY(x) __builtin_expect(!!(x), 1)
#define LW_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define LW_APART __attribute__((noinline)) /* what calls it, and is fast, need not save registers for it */
#define LW_INLINE inline __attribute__((always_inline))
#define LW_PREFETCH(p) \
  __builtin_prefetch(p) /* only in LW_INLINE functions: gcc drops calls that do no more than this */
#else
#define LW_LIKELY(x) (x)
#define LW_UNLIKELY(x) (x)
#define LW_APART
#define LW_INLINE inline
#define LW_PREFETCH(p) ((void)(p))
#endif

/* Makes a class: pushes a metatable called `name` whose __index is a table of `methods`, and which also holds
 * `meta` (both may be NULL). The loop userdata must stand at the absolute index `loop`. */
void lw_class(lua_State *L, int loop, const char *name, const luaL_Reg *methods, const luaL_Reg *meta);

/* Adds methods to the class whose metatable is on the top. */
void lw_add_methods(lua_State *L, int loop, const luaL_Reg *methods);

/* Adds a function that makes objects of the class whose metatable is on the top, to the table below that. */
void lw_add_constructor(lua_State *L, int loop, const char *name, lua_CFunction fn);

/* Puts the table of methods of the class whose metatable is on the top into the table below that, as `key`: the Lua
 * side of the module adds to it. */
void lw_export_methods(lua_State *L, const char *key);

/* As luaL_setfuncs with the loop as upvalue, into the table on the top. */
void lw_setfuncs(lua_State *L, int loop, const luaL_Reg *funcs);

/* Is the value at `arg` a userdata with exactly this metatable (as lua_topointer tells it)? Its block, or NULL. */
void *lw_test(lua_State *L, int arg, const void *metatable);

/* `self` of a method: argument 1, an object of the class in upvalue 2; an argument error otherwise. */
void *lw_self(lua_State *L);

/* What an object begins with whose methods are called often: by this a method knows its object, and its loop, without
 * asking Lua for a metatable and an upvalue. The class is the address of the array that holds its name. */
typedef struct lw_Head {
  const char *class;
  struct lw_Loop *loop;
} lw_Head;

/* Pushes a new object of the class in upvalue 2, for its constructor: `size` bytes, which are 0 behind the head. */
void *lw_new_object(lua_State *L, const char *class, size_t size, int uservalues);

/* For its __gc: the memory may come to be somebody else's userdata. */
static inline void lw_end_object(lw_Head *head) { head->class = NULL; }

/* As lw_self, for a method of such a class. Nothing is read of a userdata that has not this size. */
static inline void *lw_self_of(lua_State *L, const char *class, size_t size) {
  const lw_Head *head = lua_touserdata(L, 1);
  if (LW_LIKELY(head != NULL && lua_rawlen(L, 1) == size && head->class == class)) return (void *)head;
  return lw_self(L);
}

/* As luaL_argerror and its kin, but the function always goes by its short name ('sleep'), also when it was called by
 * pcall. */
int lw_argerror(lua_State *L, int arg, const char *complaint);
int lw_typeerror(lua_State *L, int arg, const char *expected);
const char *lw_type_name(lua_State *L, int arg); /* may leave it on the stack */
void lw_check_any(lua_State *L, int arg);
void lw_check_type(lua_State *L, int arg, int type);
lua_Number lw_check_number(lua_State *L, int arg);
lua_Integer lw_check_integer(lua_State *L, int arg);
const char *lw_check_string(lua_State *L, int arg, size_t *length);
const char *lw_check_text(lua_State *L, int arg, size_t *length); /* for C to read: without a zero in it */

/* Pops a function; pushes its name in the loaded modules, as "table.sort". Returns 0, and pushes nothing, if it is in
 * none. */
int lw_push_global_name(lua_State *L);

/* The optional table of options at `arg`: an argument error for anything but nil and tables, and for a key that is not
 * among `known`, which ends with NULL. Comes before anything is started. */
void lw_check_options(lua_State *L, int arg, const char *const known[]);

/* Pushes what the options at `arg` hold under `key` (nil without options) and returns its type; an argument error when
 * it is neither nil nor of the Lua type `type`. */
int lw_option(lua_State *L, int arg, const char *key, int type);

/* Pushes "name@file.lua:12" for the function at `index`; `name` may be NULL. */
void lw_push_function_name(lua_State *L, int index, const char *name);

/* Is the value at `arg` something that can be called? */
int lw_callable(lua_State *L, int arg);

#endif
