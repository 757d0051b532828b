/* How long commands that have ended are kept, and how much of what they wrote. */
#ifndef HAWSER_CORE_RETENTION_H
#define HAWSER_CORE_RETENTION_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/err.h"

struct outputs;
struct relay_config;
struct store;

struct retention_env {
	struct store *store;
	struct outputs *outputs;
	const struct relay_config *config;
	int64_t now;
	bool is_doubtful; /* now: none goes for its age */
	bool refused;	  /* some output was, for want of room */
};

/* Forgets what is older than the configuration says, and the output of the oldest while all of them
 * together have too much, or some was refused; never the output of what ended within the last hour.
 * Some at a time, so that it is called again and again. Never on the loop's thread. */
int retention_run(const struct retention_env *env, struct hw_err *err);

#endif
