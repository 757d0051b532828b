/*
 * What pace.h decides, done for one node's link: measures the way while somebody types there, and
 * lets the senders of its bulk wait for their parts, in turn. Loop thread only; the broker's own.
 */
#ifndef HAWSER_CORE_PACER_H
#define HAWSER_CORE_PACER_H

#include <sys/queue.h>

#include "proto/base/loop.h"
#include "relay/core/pace.h"

struct link;
struct paced;

struct pacer {
	struct pace pace;
	struct loop *loop;
	struct link *link;
	struct loop_timer timer;
	int64_t measured; /* when it was asked to be */
	TAILQ_HEAD(paced_list, paced) waiting[PACE_WAYS];
};

/* Measures the way of a link that has just come up, too, when nothing is before it. */
void pacer_init(struct pacer *p, struct loop *loop, struct link *link);
void pacer_fini(struct pacer *p); /* nobody waits any more, and nobody is called; a zeroed one is
				   * fine */

void pacer_typed(struct pacer *p);
void pacer_passed(struct pacer *p, enum pace_way way, size_t n);
uint64_t pacer_first(const struct pacer *p, uint64_t window);
void pacer_measured(struct pacer *p, int64_t usec); /* link_events.on_probed */

/* One stream through the node. */
struct paced {
	struct pacer *pacer;
	enum pace_way way;
	uint64_t allowed; /* the offset that its sender may go to */
	bool waits;
	void (*again)(void *arg, struct paced *d); /* there may be more for it: paced_allow() */
	void *arg;
	TAILQ_ENTRY(paced) entry;
};

void paced_open(struct paced *d, struct pacer *p, enum pace_way way, uint64_t allowed);
void paced_close(struct paced *d); /* again is not called any more */

/* How far its sender may go, of what its receiver allows; when that is less, again() follows. */
uint64_t paced_allow(struct paced *d, uint64_t limit);

#endif
