/* What is done to a relay that runs: it takes its settings and its certificate anew, and it drains.
 */
#ifndef HAWSER_CORE_TEND_H
#define HAWSER_CORE_TEND_H

#include <stdbool.h>
#include <stdint.h>

#include "relay/core/config.h"

struct op;
struct relay;

struct reload {
	struct config_changes settings;
	bool certificate; /* another one is shown */
	int64_t expires;  /* the one that is; 0: none is */
};

/* All of it or nothing: what is wrong leaves the relay as it is, and is said. The loop's thread. */
int tend_reload(struct relay *r, struct reload *ret, struct hw_err *err);
/* The same from a worker, which waits for the loop. */
int tend_reload_wait(struct relay *r, struct reload *ret, struct hw_err *err);

/* The relay's own key is another one, and relay.crt is for it: into log and ledger. The loop's
 * thread. */
void tend_tell_key(struct relay *r);

/* --- draining: any thread -----------------------------------------------------------------------
 */

/* Sessions and commands that run go on, and none is begun, until that time of the wall clock: 0
 * ends it, INT64_MAX is until it is ended. A restart ends it, too. */
void tend_drain(struct relay *r, int64_t until);
bool tend_draining(const struct relay *r);
int64_t tend_drain_until(const struct relay *r);
/* What a handler that begins something asks first: HW_EDRAINING. */
int tend_may_begin(struct op *op);

#endif
