/* Numbers in texts, as Lua's read("n") takes them. */
#ifndef LUAWAIT_IO_NUMERAL_H
#define LUAWAIT_IO_NUMERAL_H

#include <stddef.h>

enum { LW_NUMERAL = 200 }; /* longest */

/* So many of the `n` bytes are, or may begin, one number: all of them, if it may go on after these. */
size_t lw_numeral_length(const char *text, size_t n);

#endif
