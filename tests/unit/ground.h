/* Where tests put what they write. */
#ifndef HW_TESTS_UNIT_GROUND_H
#define HW_TESTS_UNIT_GROUND_H

#include <stddef.h>

/* A new folder, which the caller removes: in memory where there is room, for no test loses its
 * power, and what is written through to a disk waits for it. Its path is short enough to have a
 * socket in it. */
void ground_new(char *path, size_t size, const char *name);

#endif
