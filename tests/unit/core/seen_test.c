#include "relay/core/seen.h"

#include <stdio.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "proto/base/loop.h"
#include "relay/core/workers.h"
#include "relay/store/nodes.h"
#include "relay/store/store.h"
#include "tests/unit/core/court.h"

#define REST (250 * USEC_PER_MSEC)

/* The court's store, and a loop of its own whose time stands still. */
struct scene {
	struct court *court;
	struct fake_clock clock;
	struct loop *loop;
	struct workers *workers;
	struct seen *seen;
};

static int
write_nodes(void *arg, struct db *db, struct hw_err *err)
{
	const char *const ids[] = {COURT_IN, COURT_OUT};
	int r = 0;

	(void)arg;
	for (size_t i = 0; i < 2 && r == 0; i++) {
		struct node_row row = {.serial = "00", .registered = 1};

		snprintf(row.id, sizeof(row.id), "%s", ids[i]);
		r = node_insert(db, &row, err);
	}
	return r;
}

static void
begin(struct scene *s)
{
	struct log_ctx log;

	s->court = court_new();
	court_write(s->court, write_nodes, NULL);
	fake_clock_init(&s->clock, 0);
	s->loop = loop_new_fake(&s->clock);
	cr_assert(eq(int, workers_new(&s->workers, s->loop, 1, NULL), 0));
	log_ctx_init(&log, NULL);
	s->seen = seen_new(s->loop, s->workers, court_env(s->court)->store, &log);
	cr_assert(s->seen != NULL);
}

static void
end(struct scene *s)
{
	workers_free(s->workers);
	loop_settle(s->loop);
	seen_free(s->seen);
	loop_free(s->loop);
	court_free(s->court);
}

struct look {
	const char *id;
	struct node_row row;
};

static int
read_node(void *arg, struct db *db, struct hw_err *err)
{
	struct look *l = arg;

	return node_get(db, l->id, &l->row, err);
}

/* Once all that was begun is done. */
static int64_t
saved(struct scene *s, const char *id)
{
	struct look l = {.id = id};

	workers_drain(s->workers);
	loop_settle(s->loop);
	workers_drain(s->workers);
	cr_assert(eq(int, store_read(court_env(s->court)->store, read_node, &l, NULL), 0));
	return l.row.seen;
}

Test(seen, the_first_is_saved_at_once_and_the_next_ones_after_a_rest)
{
	struct scene s;

	begin(&s);
	seen_note(s.seen, COURT_IN, NULL, 1000);
	cr_assert(eq(i64, saved(&s, COURT_IN), 1000));
	seen_note(s.seen, COURT_IN, NULL, 2000);
	seen_note(s.seen, COURT_OUT, NULL, 2001);
	cr_assert(eq(i64, saved(&s, COURT_IN), 1000), "it rests");
	fake_clock_advance(&s.clock, REST);
	cr_assert(eq(i64, saved(&s, COURT_IN), 2000));
	cr_assert(eq(i64, saved(&s, COURT_OUT), 2001));
	fake_clock_advance(&s.clock, 10 * REST);
	loop_settle(s.loop);
	seen_note(s.seen, COURT_IN, NULL, 3000);
	cr_assert(eq(i64, saved(&s, COURT_IN), 3000), "long after the last");
	end(&s);
}

/* A copy of the old key gets in until then. */
Test(seen, who_shows_a_new_certificate_does_not_wait)
{
	struct scene s;

	begin(&s);
	seen_note(s.seen, COURT_IN, NULL, 1000);
	cr_assert(eq(i64, saved(&s, COURT_IN), 1000));
	seen_note(s.seen, COURT_OUT, NULL, 2000);
	seen_note(s.seen, COURT_IN, "0a", 2001);
	cr_assert(eq(i64, saved(&s, COURT_IN), 2001));
	cr_assert(eq(i64, saved(&s, COURT_OUT), 2000), "it goes along");
	end(&s);
}

Test(seen, nothing_is_gathered_when_the_relay_stops)
{
	struct scene s;

	begin(&s);
	seen_note(s.seen, COURT_IN, NULL, 1000);
	cr_assert(eq(i64, saved(&s, COURT_IN), 1000));
	seen_note(s.seen, COURT_IN, NULL, 2000);
	seen_hurry(s.seen);
	cr_assert(eq(i64, saved(&s, COURT_IN), 2000));
	seen_note(s.seen, COURT_OUT, NULL, 2001);
	cr_assert(eq(i64, saved(&s, COURT_OUT), 2001));
	end(&s);
}
