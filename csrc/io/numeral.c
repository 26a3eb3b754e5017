#include "io/numeral.h"

typedef struct Scanner {
  const char *text;
  size_t at, end;
} Scanner;

static int is_digit(char c, int hex) {
  char lower = (char)(c | 0x20);
  return (c >= '0' && c <= '9') || (hex && lower >= 'a' && lower <= 'f');
}

/* Skips one of two characters. */
static int skip(Scanner *scanner, char one, char other) {
  if (scanner->at == scanner->end) return 0;
  if (scanner->text[scanner->at] != one && scanner->text[scanner->at] != other) return 0;
  scanner->at++;
  return 1;
}

static size_t skip_digits(Scanner *scanner, int hex) {
  size_t start = scanner->at;
  while (scanner->at < scanner->end && is_digit(scanner->text[scanner->at], hex)) scanner->at++;
  return scanner->at - start;
}

size_t lw_numeral_length(const char *text, size_t n) {
  Scanner scanner = {text, 0, n < LW_NUMERAL ? n : LW_NUMERAL};
  size_t digits = 0;
  int hex = 0;
  skip(&scanner, '-', '+');
  if (skip(&scanner, '0', '0')) {
    hex = skip(&scanner, 'x', 'X');
    digits = !hex;
  }
  digits += skip_digits(&scanner, hex);
  if (skip(&scanner, '.', '.')) digits += skip_digits(&scanner, hex);
  if (digits > 0 && skip(&scanner, hex ? 'p' : 'e', hex ? 'P' : 'E')) {
    skip(&scanner, '-', '+');
    skip_digits(&scanner, 0);
  }
  return scanner.at;
}
