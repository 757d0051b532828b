/* What the name service needs of a process in a sandbox: code that is loaded before, and files. */
#ifndef HAWSER_SANDBOX_NAMES_H
#define HAWSER_SANDBOX_NAMES_H

#include "proto/sandbox/sandbox.h"

#define NAMES_PATHS_MAX 12

/* Before it is entered: inside, no code is loaded any more. */
void names_load(void);
/* What is read for it; returns how many paths these are. */
size_t names_paths(struct sandbox_path paths[NAMES_PATHS_MAX]);

#endif
