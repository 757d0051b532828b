/*
 * Uploads of output and of recordings: what has ended and has a bucket waits in the store until it
 * is there, over restarts; a few threads of their own send it. What fails is tried again, ever
 * later: output until the configuration's time is over, and it never fails its command; recordings
 * for ever, and an alarm says so. While the storage cannot be reached at all, one attempt stands
 * for all.
 */
#ifndef HAWSER_CORE_UPLOADS_H
#define HAWSER_CORE_UPLOADS_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/log.h"
#include "relay/objects/place.h"

struct ledger;
struct outputs;
struct relay_config;
struct secret_key;
struct store;
struct uploads;

struct uploads_options {
	struct store *store;
	struct outputs *outputs;
	struct ledger *ledger;
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
/* A recording is complete, or will be in a moment. What is not in the store yet when the relay is
 * killed is found at the next start. Any thread; it never blocks for long; NULL is fine, and so is
 * a configuration without a bucket for recordings. */
void uploads_add_recording(struct uploads *u, const char *session_id);
/* Tries one of those whose time has come; false when there is none, or the storage is in trouble.
 */
bool uploads_run(struct uploads *u);

/* Where objects go, for their URLs. */
const struct s3_place *uploads_place(const struct uploads *u);

struct uploads_stats {
	uint64_t done, failed; /* invocations: uploaded, given up */
	uint64_t recordings, recordings_fetched;
	uint64_t attempts;	/* that did not work */
	int64_t recordings_due; /* complete, and not in their bucket; as of a few seconds ago */
	bool trouble;		/* the storage cannot be reached, or fails */
	bool alarm;		/* recordings have not been taken for a while */
};
void uploads_stats(struct uploads *u, struct uploads_stats *ret);

#endif
