/* Plays a tape: what was shown, when it was shown, through the filter that keeps the terminal safe.
 */
#ifndef HAWSER_CLIENT_PLAYER_H
#define HAWSER_CLIENT_PLAYER_H

#include <stdint.h>

#include "proto/base/err.h"

struct client;
struct event;
struct tape;

struct player_config {
	double speed;	   /* 0: at once */
	int64_t skip_idle; /* a pause lasts so long at most; 0: as it was */
	int64_t at;	   /* what comes before is shown at once */
};

/* The clock of a replay, pure: how long to wait before an event is shown, in microseconds. */
struct player_clock {
	struct player_config config;
	int64_t last; /* time of the event before, since the session's start */
};
int64_t player_clock_step(struct player_clock *clock, int64_t event_time);

/* Plays to stdout until its end, q or Ctrl-C. */
int player_play(struct client *c, struct tape *tape, const struct player_config *config,
	struct hw_err *err);

#endif
