/*
 * Uploads of output: what has ended and has a bucket waits in the store until it is there, over
 * restarts; a few threads of their own send it. What fails is tried again, ever later, until the
 * configuration's time is over; it never fails the command. While the storage cannot be reached at
 * all, one attempt stands for all.
 */
#ifndef HAWSER_CORE_UPLOADS_H
#define HAWSER_CORE_UPLOADS_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/log.h"
#include "relay/objects/place.h"

struct outputs;
struct relay_config;
struct secret_key;
struct store;
struct uploads;

struct uploads_options {
	struct store *store;
	struct outputs *outputs;
	const struct relay_config *config; /* with an s3_endpoint */
	const char *dir;		   /* of the relay: its files are relative to it */
	const struct secret_key *master;
	const struct hw_clock *clock;
	const struct log_ctx *log;
	bool threaded; /* false: uploads_run() alone works */
};

/* HW_EVALIDATION, HW_EDENIED, HW_ENOTFOUND: a setting that is not good, which the error names. */
int uploads_new(struct uploads **ret, const struct uploads_options *o, struct hw_err *err);
/* Waits for the threads; what is under way is cut off, and done again after the next start. NULL is
 * fine. */
void uploads_free(struct uploads *u);

/* Something waits. Any thread; NULL is fine. */
void uploads_kick(struct uploads *u);
/* Tries one of those whose time has come; false when there is none, or the storage is in trouble.
 */
bool uploads_run(struct uploads *u);

/* Where objects go, for their URLs. */
const struct s3_place *uploads_place(const struct uploads *u);

struct uploads_stats {
	uint64_t done, failed; /* invocations: uploaded, given up */
	uint64_t attempts;     /* that did not work */
	bool trouble;	       /* the storage cannot be reached, or fails */
};
void uploads_stats(struct uploads *u, struct uploads_stats *ret);

#endif
