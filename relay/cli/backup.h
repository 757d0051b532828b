/* What `backup` and `restore` show while they work. */
#ifndef HAWSER_RELAY_CLI_BACKUP_H
#define HAWSER_RELAY_CLI_BACKUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct progress {
	bool shown;	      /* stderr is a terminal */
	uint64_t done, total; /* bytes; a total of 0 is not known */
	int64_t begun, said;  /* on the monotonic clock */
};

/* SIGINT, SIGTERM and SIGHUP wait from here on, until progress_stopped() is asked. */
void progress_catch_signals(void);
bool progress_stopped(const struct progress *p);

/* A child, as fork(), and its exit status once it has ended, -1 when it was killed. Meanwhile it is
 * sent what waits here. */
pid_t progress_fork(void);
int progress_wait(pid_t child);

void progress_begin(struct progress *p, uint64_t total);
void progress_step(void *progress, uint64_t bytes);
void progress_end(struct progress *p); /* the line goes */

/* "1.2 GiB". */
void progress_size(char *out, size_t room, uint64_t bytes);

#endif
