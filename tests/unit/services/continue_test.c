/* Reading that goes on page by page: for which request a token is good. */
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "proto/wire/codec.h"
#include "relay/services/continue.h"
#include "tests/unit/services/desk.h"

/* The beginnings of these two requests' SHA-256, 48 bits of them, are the same. */
#define QUIET "a20f99a470fa"
#define LOUD  "9f07fde53a3b"

static struct op
search_op(struct desk *d)
{
	struct op op = {
		.env = &d->env,
		.row = &op_rows[OP_search_recordings],
		.arena = d->arena,
		.who = d->who,
		.now = clock_wall(&d->clock.clock),
	};

	snprintf(op.arn, sizeof(op.arn), "%s", d->arn);
	return op;
}

/* The token of a page that ends somewhere. */
static const char *
token_for(struct desk *d, const struct msg_search_recordings_request *req)
{
	struct op op = search_op(d);
	struct going_on g;
	const char *token = NULL;

	cr_assert(eq(int, continue_read(&g, &op, req, NULL), 0), "%s", op.err.text);
	cr_assert_not(g.begun);
	cr_assert_not(op.goes_on);
	snprintf(g.place, sizeof(g.place), "P here");
	g.number = 17;
	cr_assert(eq(int, continue_token(&token, &op, &g), 0), "%s", op.err.text);
	return token;
}

static int
go_on(struct desk *d, struct op *op, struct going_on *g,
	const struct msg_search_recordings_request *req, const char *token)
{
	*op = search_op(d);
	return continue_read(g, op, req, token);
}

Test(continuing, a_token_is_good_for_its_request_and_an_hour_without_an_entry)
{
	struct desk *d = desk_new(false);
	struct msg_search_recordings_request req = {.pattern = "drop table"};
	const char *token = token_for(d, &req);
	struct going_on g;
	struct op op;

	cr_assert(eq(int, go_on(d, &op, &g, &req, token), 0));
	cr_assert(g.begun);
	cr_assert(op.goes_on);
	cr_assert(eq(i64, g.number, 17));
	cr_assert_str_eq(g.place, "P here");
	fake_clock_advance(&d->clock, 3600 * USEC_PER_SEC);
	cr_assert(eq(int, go_on(d, &op, &g, &req, token), 0));
	cr_assert_not(op.goes_on);
	req.ignore_case = true;
	cr_assert(eq(int, go_on(d, &op, &g, &req, token), HW_ENEXTTOKEN));
	desk_free(d);
}

/* Who has the entry tell of one search must not go on in another. */
Test(continuing, two_requests_of_the_same_hash_are_still_two)
{
	struct desk *d = desk_new(false);
	struct msg_search_recordings_request quiet = {.pattern = QUIET}, loud = {.pattern = LOUD};
	struct buf bytes[2];
	uint8_t hash[2][SHA256_LEN];
	struct going_on g;
	struct op op;

	for (int i = 0; i < 2; i++) {
		buf_init(&bytes[i], 1024);
		cr_assert(eq(int,
			msg_encode(&bytes[i], MSG_ROW(search_recordings_request),
				i == 0 ? &quiet : &loud, NULL),
			0));
		sha256(hash[i], buf_data(&bytes[i]), bytes[i].len);
		buf_fini(&bytes[i]);
	}
	cr_assert(eq(int, memcmp(hash[0], hash[1], 6), 0), "the two must begin alike");
	cr_assert(eq(int, go_on(d, &op, &g, &loud, token_for(d, &quiet)), HW_ENEXTTOKEN));
	desk_free(d);
}
