/* The monitor's log: lines in the form of the uplink's, on stderr. Who reads them may hang, and
 * what holds root for all sessions waits for nobody: a line that is not taken at once is dropped,
 * and counted in the next one that is. */
#ifndef HAWSER_MONITOR_LOGGER_H
#define HAWSER_MONITOR_LOGGER_H

#include <stdbool.h>

struct logger {
	int fd;
	bool socket;
	bool waits; /* writing to it may */
	unsigned lost;
};

/* Nothing is done before this, and nothing can fail: what is no socket and cannot be opened anew is
 * looked at before each line. */
void logger_init(struct logger *l);
/* The same on stderr alone, for a process that is to become another. */
void logger_init_plain(struct logger *l);

void logger_say(struct logger *l, const char *level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#define LOGGER_QUOTED_MAX 320 /* a sentence with its quotes */

/* A sentence as one value of a line, whatever is in it. Returns `out`. */
const char *logger_quote(char out[LOGGER_QUOTED_MAX], const char *text);

#endif
