#include "node/sessions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/bridge.h"
#include "node/forward.h"
#include "node/roster.h"
#include "proto/base/list.h"
#include "proto/base/loop.h"
#include "proto/wire/channel.h"

#define SESSIONS_MAX	 1000 /* as many as HELLO lists */
#define CONNECTION_GRACE (75 * USEC_PER_SEC)

struct held {
	LIST_ENTRY(held) next;
	struct sessions *owner;
	struct bridge *bridge;
	bool adopting;
	bool left; /* for the next agent */
};

struct sessions {
	struct log_ctx log;
	struct sessions_config config;
	struct forwards *forwards;
	LIST_HEAD(, held) held;
	int count;
	int adopting; /* of them, and one more until all were asked */
	void (*on_done)(void *arg);
	void *arg;
	const char *ids[SESSIONS_MAX];
};

static void
adopted_one(struct sessions *ss)
{
	if (--ss->adopting == 0)
		ss->on_done(ss->arg);
}

/* Without its line the program is not taken over; that is all. */
static void
write_down(struct sessions *ss, const struct bridge *b)
{
	struct roster_line line = {.type = bridge_type(b)};
	struct hw_err err = HW_ERR_INIT;

	snprintf(line.run_as, sizeof(line.run_as), "%s", bridge_run_as(b));
	if (roster_add(ss->config.roster, bridge_id(b), &line, &err) < 0)
		log_warn(ss, "session.not_written_down", "session=%s why=%s", bridge_id(b),
			log_value(hw_err_text(&err)));
}

static void
on_open(void *arg, struct bridge *b)
{
	struct held *h = arg;
	struct sessions *ss = h->owner;

	if (h->adopting) {
		h->adopting = false;
		adopted_one(ss);
	} else if (ss->config.roster != NULL && bridge_can_stay(b)) {
		write_down(ss, b);
	}
}

static void
on_over(void *arg, struct bridge *b)
{
	struct held *h = arg;
	struct sessions *ss = h->owner;
	bool adopting = h->adopting;

	hw_assert(h->bridge == b);
	if (bridge_forwards(b))
		forwards_end(ss->forwards, bridge_id(b), "its forward has ended");
	if (ss->config.roster != NULL && !h->left)
		roster_remove(ss->config.roster, bridge_id(b));
	LIST_REMOVE(h, next);
	ss->count--;
	free(h);
	if (adopting)
		adopted_one(ss);
}

static struct bridge *
find(const struct sessions *ss, const char *id)
{
	const struct held *h;

	LIST_FOREACH(h, &ss->held, next)
		if (strcmp(bridge_id(h->bridge), id) == 0)
			return h->bridge;
	return NULL;
}

/* --- OPEN and RESUME -------------------------------------------------------------------------- */

static void
open_connection(struct sessions *ss, struct channel *ch, const struct msg_open *open)
{
	const struct bridge *b = find(ss, open->session_id);

	if (b != NULL && bridge_forwards(b))
		forwards_connect(ss->forwards, ch, open);
	else
		channel_reject(ch, HW_ENOSESSION, "this node has no such forward");
}

static struct held *
held_new(struct sessions *ss)
{
	struct held *h = ss->count < SESSIONS_MAX ? calloc(1, sizeof(*h)) : NULL;

	if (h != NULL)
		h->owner = ss;
	return h;
}

static struct bridge_config
config_of(struct held *h)
{
	const struct sessions_config *c = &h->owner->config;

	return (struct bridge_config){
		.loop = c->loop,
		.programs = c->programs,
		.log = &h->owner->log,
		.on_open = on_open,
		.on_over = on_over,
		.arg = h,
	};
}

/* False, and h is gone, when there is no bridge. */
static bool
held_add(struct held *h)
{
	if (h->bridge == NULL) {
		free(h);
		return false;
	}
	LIST_INSERT_HEAD(&h->owner->held, h, next);
	h->owner->count++;
	return true;
}

static void
open_session(struct sessions *ss, struct channel *ch, const struct msg_open *open)
{
	struct held *h = held_new(ss);

	if (h == NULL) {
		channel_reject(ch, HW_ELIMIT, "this node runs all the sessions that it can");
		return;
	}
	const struct bridge_config config = config_of(h);
	bridge_open(&h->bridge, &config, ch, open);
	held_add(h);
}

void
sessions_open(struct sessions *ss, struct channel *ch, const struct msg_open *open)
{
	if (open->type == CHANNEL_TYPE_CONNECTION)
		open_connection(ss, ch, open);
	else if (find(ss, open->session_id) != NULL)
		channel_reject(ch, HW_EEXISTS, "a session of this id runs already");
	else
		open_session(ss, ch, open);
}

void
sessions_resume(struct sessions *ss, struct channel *ch, const struct msg_resume *resume)
{
	struct bridge *b;

	if (resume->type == CHANNEL_TYPE_CONNECTION)
		forwards_resume(ss->forwards, ch, resume);
	else if ((b = find(ss, resume->session_id)) != NULL)
		bridge_resume(b, ch, resume);
	else
		channel_reject(ch, HW_ENOSESSION, "this node has no such session");
}

/* --- what an earlier agent left --------------------------------------------------------------- */

static void
adopt(void *arg, const char *id, const struct roster_line *line)
{
	struct sessions *ss = arg;
	struct held *h = held_new(ss);

	if (h == NULL)
		return; /* its holder ends it by itself */
	const struct bridge_config config = config_of(h);
	bridge_adopt(&h->bridge, &config, id, line->type, line->run_as);
	if (!held_add(h)) {
		roster_remove(ss->config.roster, id);
		return;
	}
	h->adopting = true;
	ss->adopting++;
}

void
sessions_adopt(struct sessions *ss, void (*on_done)(void *arg), void *arg)
{
	ss->on_done = on_done;
	ss->arg = arg;
	ss->adopting = 1;
	if (ss->config.roster != NULL)
		roster_each(ss->config.roster, adopt, ss);
	adopted_one(ss);
}

void
sessions_part(struct sessions *ss, const char *why)
{
	struct held *h, *next;

	for (h = LIST_FIRST(&ss->held); h != NULL; h = next) {
		next = LIST_NEXT(h, next);
		if (ss->config.roster == NULL || !bridge_can_stay(h->bridge))
			bridge_end(h->bridge, HW_ECLOSED, why);
	}
}

void
sessions_leave(struct sessions *ss)
{
	struct held *h, *next;

	for (h = LIST_FIRST(&ss->held); h != NULL; h = next) {
		next = LIST_NEXT(h, next);
		h->left = true;
		bridge_leave(h->bridge);
	}
}

/* --- ends ------------------------------------------------------------------------------------- */

void
sessions_end(struct sessions *ss, const char *id, int code, const char *why)
{
	struct held *h, *next;

	for (h = LIST_FIRST(&ss->held); h != NULL; h = next) {
		next = LIST_NEXT(h, next);
		if (id == NULL || strcmp(bridge_id(h->bridge), id) == 0)
			bridge_end(h->bridge, code, why);
	}
}

void
sessions_sweep(struct sessions *ss)
{
	int64_t now = clock_mono(loop_clock(ss->config.loop));
	struct held *h, *next;

	for (h = LIST_FIRST(&ss->held); h != NULL; h = next) {
		next = LIST_NEXT(h, next);
		if (bridge_is_due(h->bridge, now))
			bridge_end(h->bridge, HW_EUNAVAILABLE,
				"the relay did not come back for it");
	}
	forwards_expire(ss->forwards, now - CONNECTION_GRACE);
}

/* --- all of them ------------------------------------------------------------------------------ */

struct msg_strs
sessions_ids(struct sessions *ss)
{
	const struct held *h;
	size_t n = 0;

	LIST_FOREACH(h, &ss->held, next)
		if (bridge_is_open(h->bridge))
			ss->ids[n++] = bridge_id(h->bridge);
	return (struct msg_strs){.v = ss->ids, .n = n};
}

int
sessions_count(const struct sessions *ss)
{
	return ss->count;
}

struct sessions *
sessions_new(const struct sessions_config *config)
{
	struct sessions *ss = calloc(1, sizeof(*ss));

	if (ss == NULL)
		return NULL;
	ss->config = *config;
	ss->log = *config->log;
	LIST_INIT(&ss->held);
	ss->forwards = forwards_new(config->loop, config->log, config->dir);
	if (ss->forwards == NULL) {
		free(ss);
		return NULL;
	}
	return ss;
}

void
sessions_free(struct sessions *ss)
{
	if (ss == NULL)
		return;
	hw_assert(LIST_EMPTY(&ss->held));
	forwards_free(ss->forwards);
	free(ss);
}
