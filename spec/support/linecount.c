/* lua -l linecount: notes which lines of Lua code run, in all coroutines, for scripts/coverage.sh. At the end of the
 * process they go to the file LUAWAIT_LINES.PID, one "path:line" each. Files outside lua/luawait are passed over. */
#include <lauxlib.h>
#include <lua.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_FILES = 64, MOST_LINES = 2048 };

typedef struct File {
  char path[256];
  unsigned char ran[MOST_LINES];
} File;

static File files[MOST_FILES];
static int file_count;

static File *find(const char *path) {
  int i;
  for (i = 0; i < file_count; i++)
    if (strcmp(files[i].path, path) == 0) return &files[i];
  if (file_count == MOST_FILES || strlen(path) >= sizeof files[0].path) return NULL;
  strcpy(files[file_count].path, path);
  return &files[file_count++];
}

static void on_line(lua_State *L, lua_Debug *ar) {
  File *file;
  lua_getinfo(L, "S", ar);
  if (ar->source[0] != '@' || strstr(ar->source, "/lua/luawait/") == NULL) return;
  file = find(ar->source + 1);
  if (file != NULL && ar->currentline < MOST_LINES) file->ran[ar->currentline] = 1;
}

static void write_lines(void) {
  char path[512];
  FILE *out;
  int i, line;
  if (getenv("LUAWAIT_LINES") == NULL) return;
  snprintf(path, sizeof path, "%s.%d", getenv("LUAWAIT_LINES"), (int)getpid());
  out = fopen(path, "a");
  if (out == NULL) return;
  for (i = 0; i < file_count; i++)
    for (line = 1; line < MOST_LINES; line++)
      if (files[i].ran[line]) fprintf(out, "%s:%d\n", files[i].path, line);
  fclose(out);
}

int luaopen_linecount(lua_State *L);
int luaopen_linecount(lua_State *L) {
  lua_sethook(L, on_line, LUA_MASKLINE, 0);
  atexit(write_lines);
  return 0;
}
