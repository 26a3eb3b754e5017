/* The C module `luawait.libedit`: libedit's line editor, fed a character at a time, for the prompt of the command. A
 * module of its own, built where libedit is, so that luawait.core needs libuv alone.
 *
 * This is libedit's own interface; the one that it shares with readline would get us readline's functions where the
 * interpreter is linked with those. */
#include <ctype.h>
#include <histedit.h>
#include <lauxlib.h>
#include <lua.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#if defined(__GNUC__)
#define LUAWAIT_API __attribute__((visibility("default")))
#else
#define LUAWAIT_API
#endif

static const char CLASS[] = "luawait.libedit.Editor";

enum { COMPLETER = 1, PROMPT, VALUES = PROMPT, HISTORY_LINES = 1000 };

/* The terminal of the process. User values: the completer, the prompt. */
typedef struct Editor {
  EditLine *el; /* NULL: closed */
  History *history;
  const char *prompt;
  lua_State *L; /* the one that called feed, while that is on the stack */
} Editor;

static Editor *check_editor(lua_State *L) {
  Editor *editor = luaL_checkudata(L, 1, CLASS);
  luaL_argcheck(L, editor->el != NULL, 1, "the editor is closed");
  return editor;
}

static Editor *editor_of(EditLine *el) {
  Editor *editor = NULL;
  el_get(el, EL_CLIENTDATA, (void **)&editor);
  return editor;
}

static char *show_prompt(EditLine *el) { return (char *)editor_of(el)->prompt; }

/* ---- completion ---- */

/* How many characters before the cursor belong to a word like a.b:c */
static size_t word_length(const LineInfo *info) {
  const char *at = info->cursor;
  while (at > info->buffer && (isalnum((unsigned char)at[-1]) || strchr("_.:", at[-1]) != NULL)) at--;
  return (size_t)(info->cursor - at);
}

/* For the Tab key: asks the completer, which returns what to insert, and what to show. libedit is between us and feed,
 * in whose frame this runs (the editor is at 1): nothing may be raised. */
static unsigned char complete(EditLine *el, wint_t key) {
  lua_State *L = editor_of(el)->L;
  const LineInfo *info = el_line(el);
  size_t length = word_length(info);
  int top = lua_gettop(L);
  unsigned char result = CC_ERROR;
  const char *text;
  (void)key;
  lua_getiuservalue(L, 1, COMPLETER);
  lua_pushlstring(L, info->cursor - length, length);
  if (lua_pcall(L, 1, 2, 0) == LUA_OK) {
    if ((text = lua_tostring(L, -2)) != NULL && *text != '\0' && el_insertstr(el, text) == 0) {
      result = CC_REFRESH;
    } else if ((text = lua_tostring(L, -1)) != NULL) {
      printf("\n%s\n", text);
      fflush(stdout);
      result = CC_REDISPLAY;
    }
  }
  lua_settop(L, top);
  return result;
}

/* ---- Lua-visible ---- */

/* editor:start(prompt): shows the prompt and begins a new line; the terminal gives single characters from now on. */
static int editor_start(lua_State *L) {
  Editor *editor = check_editor(L);
  editor->prompt = luaL_checkstring(L, 2);
  lua_settop(L, 2);
  lua_setiuservalue(L, 1, PROMPT);
  el_set(editor->el, EL_UNBUFFERED, 1);
  return 0;
}

static int hung_up(void) {
  struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
  return poll(&input, 1, 0) == 1 && (input.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0;
}

/* editor:feed(): reads a character, which must be there. Returns true when the line is complete, and its text, or nil
 * for the end of the input. The completer may be called. */
static int editor_feed(lua_State *L) {
  Editor *editor = check_editor(L);
  const char *text = NULL;
  int ends, n = 0;
  luaL_checkstack(L, LUA_MINSTACK, NULL); /* for complete */
  editor->L = L;
  if (!hung_up()) text = el_gets(editor->el, &n);
  editor->L = NULL;
  if (text == NULL) { /* nothing came (0), or the line is empty (-1) */
    lua_pushboolean(L, n == 0);
    return 1;
  }
  ends = text[n - 1] == '\n' || text[n - 1] == '\r';
  lua_pushboolean(L, ends || (n == 1 && iscntrl((unsigned char)*text))); /* Ctrl-D in an empty line stands for itself */
  if (!ends) return 1;
  lua_pushlstring(L, text, (size_t)n - 1);
  return 2;
}

/* editor:stop(): the terminal is as it was before start. */
static int editor_stop(lua_State *L) {
  Editor *editor = check_editor(L);
  el_set(editor->el, EL_UNBUFFERED, 0);
  return 0;
}

/* editor:remember(line): adds it to the history. */
static int editor_remember(lua_State *L) {
  HistEvent event;
  Editor *editor = check_editor(L);
  history(editor->history, &event, H_ENTER, luaL_checkstring(L, 2));
  return 0;
}

static int history_file(lua_State *L, int operation) {
  HistEvent event;
  Editor *editor = check_editor(L);
  lua_pushboolean(L, history(editor->history, &event, operation, luaL_checkstring(L, 2)) >= 0);
  return 1;
}

/* editor:load_history(path), editor:save_history(path): boolean, whether that went well. */
static int editor_load_history(lua_State *L) { return history_file(L, H_LOAD); }
static int editor_save_history(lua_State *L) { return history_file(L, H_SAVE); }

/* editor:close(), __gc */
static int editor_close(lua_State *L) {
  Editor *editor = luaL_checkudata(L, 1, CLASS);
  if (editor->el != NULL) el_end(editor->el);
  if (editor->history != NULL) history_end(editor->history);
  editor->el = NULL;
  editor->history = NULL;
  return 0;
}

static void set_up(Editor *editor) {
  HistEvent event;
  el_set(editor->el, EL_CLIENTDATA, editor);
  el_set(editor->el, EL_SIGNAL, 0); /* SIGINT is the loop's */
  el_set(editor->el, EL_PROMPT, show_prompt);
  el_set(editor->el, EL_EDITOR, "emacs");
  history(editor->history, &event, H_SETSIZE, HISTORY_LINES);
  history(editor->history, &event, H_SETUNIQUE, 1);
  el_set(editor->el, EL_HIST, history, editor->history);
  el_wset(editor->el, EL_ADDFN, L"luawait-complete", L"Complete a Lua name",
          complete); /* el_set would leak the names */
  el_set(editor->el, EL_BIND, "^I", "luawait-complete", NULL);
  el_source(editor->el, NULL); /* the user's .editrc */
}

/* open(completer): an Editor of the terminal that stdin and stdout are; nil where libedit can do nothing with it.
 * completer(word) returns what to insert behind the word at the cursor, or nil, and what to show if that is nothing; it
 * cannot wait. */
static int libedit_open(lua_State *L) {
  Editor *editor;
  luaL_checktype(L, 1, LUA_TFUNCTION);
  editor = lua_newuserdatauv(L, sizeof *editor, VALUES);
  *editor = (Editor){.prompt = ""};
  luaL_setmetatable(L, CLASS);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, COMPLETER);
  editor->el = el_init("luawait", stdin, stdout, stderr);
  editor->history = history_init();
  if (editor->el == NULL || editor->history == NULL) return 0;
  set_up(editor);
  return 1;
}

LUAWAIT_API int luaopen_luawait_libedit(lua_State *L) {
  static const luaL_Reg funcs[] = {{"open", libedit_open}, {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__gc", editor_close}, {"__index", NULL}, {NULL, NULL}};
  static const luaL_Reg methods[] = {{"start", editor_start},
                                     {"feed", editor_feed},
                                     {"stop", editor_stop},
                                     {"remember", editor_remember},
                                     {"load_history", editor_load_history},
                                     {"save_history", editor_save_history},
                                     {"close", editor_close},
                                     {NULL, NULL}};
  luaL_checkversion(L);
  luaL_newmetatable(L, CLASS);
  luaL_setfuncs(L, meta, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  luaL_newlib(L, funcs);
  return 1;
}
