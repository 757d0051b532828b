/* A session's struct, for session.c and the broker's lists. */
#ifndef HAWSER_CORE_SESSION_PRIVATE_H
#define HAWSER_CORE_SESSION_PRIVATE_H

#include "proto/base/arena.h"
#include "proto/base/id.h"
#include "proto/base/log.h"
#include "proto/schema/schema.h"
#include "relay/core/broker_private.h"
#include "relay/core/lane.h"
#include "relay/core/session.h"
#include "relay/store/sessions.h"

enum session_state {
	SESSION_REDEEMING, /* its ticket is with a worker */
	SESSION_OPENING,   /* the node was asked */
	SESSION_LIVE,
	SESSION_DRAINING, /* the program ended; its user still gets what it wrote */
	SESSION_OVER,	  /* waits for the end of the turn */
};

struct session {
	struct log_ctx log;
	struct broker *broker;
	struct arena *arena; /* what lives as long as the session */
	enum session_state state;
	char id[ID_SESSION_MAX + 1];
	uint64_t number; /* in the journal */
	const struct channel_row *kind;
	struct session_row *row;    /* from the store; NULL while redeeming */
	const struct msg_open *asked; /* the user's OPEN */
	char ticket[2 * SHA256_LEN + 1]; /* hash */
	struct hw_err redeemed;		 /* the worker's result */
	struct peer *user, *node;
	struct channel *to_user, *to_node;
	struct lane lanes[STREAMS]; /* STREAM_IN towards the node, the others towards the user */
	uint64_t echoed;	    /* input below it has its echo mark */
	uint64_t bytes_in, bytes_out;
	uint64_t skipped; /* output that a stalled terminal was not shown */
	bool skipping, frozen, recorded, counted;
	int64_t frozen_at;
	struct msg_close ending; /* how the program ended; texts in the arena */
	int end_code;		 /* and the session; set while redeeming: it was ended meanwhile */
	char details[256];
	struct loop_task reap;
	UT_hash_handle hh; /* the broker's sessions, by id */
};

#endif
