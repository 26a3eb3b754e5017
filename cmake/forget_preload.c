/* Loaded with the sanitizers' runtime (see scripts/sanitized.sh): takes LD_PRELOAD out of the environment once the process
 * is up, so that the programs it starts are not preloaded too. */
#include <stdlib.h>

__attribute__((constructor)) static void forget_preload(void) {
  unsetenv("LD_PRELOAD");
}
