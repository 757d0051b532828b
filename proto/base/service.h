/* Whether the machine's systemd is to start a program of ours, or whoever installed it starts it.
 */
#ifndef HAWSER_BASE_SERVICE_H
#define HAWSER_BASE_SERVICE_H

#include <stdbool.h>

/* Whether systemd runs this machine, has a unit `name` ("hawser-node"), and that one runs on `dir`:
 * units are for /var/lib/NAME. `root` is "" but in tests. */
bool service_runs(const char *root, const char *name, const char *dir);

#endif
