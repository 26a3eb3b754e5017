/* What the functions of luawait.fs share. */
#ifndef LUAWAIT_IO_PATHS_H
#define LUAWAIT_IO_PATHS_H

#include "io/job.h"

/* The option `key` at `arg`, an integer from `least` to `most`; `otherwise` if it is not given. */
lua_Integer lw_integer_option(lua_State *L, int arg, const char *key, lua_Integer least, lua_Integer most,
                              lua_Integer otherwise);

/* The option `key` at `arg`, a boolean. */
int lw_boolean_option(lua_State *L, int arg, const char *key);

/* Pushes the table that stat gives. */
void lw_push_stat(lua_State *L, const uv_stat_t *stat);

/* "file", "directory", "link", ... for the file type in a mode. */
const char *lw_file_type(uint64_t mode);

#endif
