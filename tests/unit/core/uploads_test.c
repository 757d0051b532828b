/* What becomes of an upload: against a storage that answers as the test says, on a clock of its
 * own. */
#include "relay/core/uploads.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "proto/base/arena.h"
#include "proto/schema/schema.h"
#include "relay/core/config.h"
#include "relay/core/outputs.h"
#include "relay/core/packed.h"
#include "relay/store/commands.h"
#include "relay/store/invocations.h"
#include "relay/store/store.h"
#include "relay/store/uploads.h"

#define COMMAND "11111111-2222-4333-8444-555555555555"
#define NODE	"mi-00000000000000001"
#define DAY	(86400 * USEC_PER_SEC)
#define NOON	(INT64_C(1800000000) * USEC_PER_SEC)

struct yard {
	char dir[64], path[96];
	struct fake_clock clock;
	struct secret_key master;
	struct relay_config config;
	struct log_ctx silent;
	struct store *store;
	struct outputs *outputs;
	struct uploads *uploads;
	struct arena *arena;
	struct hw_err err;
	int64_t ended;
	/* the storage */
	int listener;
	pthread_t thread;
	const char *answer; /* "409 Conflict", and its body */
	const char *body;
	void (*meanwhile)(struct yard *y); /* before it answers */
	int requests;
	struct upload_row row; /* of the last look at it */
};

/* --- the storage -------------------------------------------------------------------------------
 */

static size_t
body_length(const char *head)
{
	const char *at = strcasestr(head, "content-length:");

	return at != NULL ? strtoul(at + strlen("content-length:"), NULL, 10) : 0;
}

static void
read_request(int fd)
{
	char text[8192] = "", *end = NULL;
	size_t n = 0;
	ssize_t got;

	while (end == NULL && (got = read(fd, text + n, sizeof(text) - 1 - n)) > 0) {
		n += (size_t)got;
		text[n] = '\0';
		end = strstr(text, "\r\n\r\n");
	}
	if (end == NULL)
		return;
	size_t have = n - (size_t)(end + 4 - text), length = body_length(text);
	while (have < length && (got = read(fd, text, sizeof(text) - 1)) > 0)
		have += (size_t)got;
}

static void
answer(const struct yard *y, int fd)
{
	char text[1024];
	int n = snprintf(text, sizeof(text),
		"HTTP/1.1 %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s", y->answer,
		strlen(y->body), y->body);

	cr_assert(eq(sz, (size_t)write(fd, text, (size_t)n), (size_t)n));
}

/* Until the listener is shut down. */
static void *
serve(void *arg)
{
	struct yard *y = arg;
	int fd;

	while ((fd = accept(y->listener, NULL, NULL)) >= 0) {
		read_request(fd);
		y->requests++;
		if (y->meanwhile != NULL)
			y->meanwhile(y);
		answer(y, fd);
		close(fd);
	}
	return NULL;
}

static void
open_storage(struct yard *y)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(at);

	y->answer = "200 OK";
	y->body = "";
	y->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert(eq(int, bind(y->listener, (struct sockaddr *)&at, n), 0));
	cr_assert(eq(int, listen(y->listener, 8), 0));
	cr_assert(eq(int, getsockname(y->listener, (struct sockaddr *)&at, &n), 0));
	snprintf(y->config.s3_endpoint, sizeof(y->config.s3_endpoint), "http://127.0.0.1:%d",
		ntohs(at.sin_port));
	cr_assert(eq(int, pthread_create(&y->thread, NULL, serve, y), 0));
}

/* --- the relay's side --------------------------------------------------------------------------
 */

static int
write_ended(void *arg, struct db *db, struct hw_err *err)
{
	const struct command_body body = {"{}", "", ""};
	struct yard *y = arg;
	struct command_row command = {
		.live = true, .targets = 1, .status = INVOCATION_STATUS_SUCCESS, .id = COMMAND};
	struct invocation_row row = {.live = true,
		.status = INVOCATION_STATUS_PENDING,
		.change = 1,
		.command_id = COMMAND,
		.node_id = NODE};
	struct msg_invocation_step step = {
		.name = "one", .action = "aws:a", .status = INVOCATION_STATUS_SUCCESS};
	struct msg_invocation_steps steps = {
		.steps = {.v = &step, .n = 1}
	     };
	const char *text;
	int r;

	snprintf(command.s3_bucket, sizeof(command.s3_bucket), "logs");
	if ((r = packed_write(&text, y->arena, &y->master, MSG_ROW(invocation_steps), &steps, NULL,
		     err)) < 0 ||
		(r = command_insert(db, &command, &body, err)) < 0 ||
		(r = invocation_insert(db, &row, err)) < 0)
		return r;
	row.status = INVOCATION_STATUS_SUCCESS;
	row.stdout_bytes = 1;
	row.upload_at = row.ended = command.ended = y->ended;
	if ((r = invocation_finish(db, &row, text, "", NULL, err)) < 0)
		return r;
	return command_finish(db, &command, err);
}

static void
open_uploads(struct yard *y)
{
	const struct uploads_options o = {.store = y->store,
		.outputs = y->outputs,
		.config = &y->config,
		.dir = y->dir,
		.master = &y->master,
		.clock = &y->clock.clock,
		.log = &y->silent};

	cr_assert(eq(int, uploads_new(&y->uploads, &o, &y->err), 0), "%s", y->err.text);
}

static void
write_secret(const struct yard *y)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/s3.secret", y->dir);
	FILE *f = fopen(path, "we");
	cr_assert(f != NULL);
	fputs("of the storage\n", f);
	cr_assert(eq(int, fchmod(fileno(f), 0600), 0));
	fclose(f);
}

/* With one command that ended then, which wrote one byte. */
static struct yard *
yard_new(int64_t ended)
{
	const struct output_name name = {COMMAND, NODE, 0, OUTPUT_STREAM_STDOUT};
	struct yard *y = calloc(1, sizeof(*y));
	int64_t size;

	snprintf(y->dir, sizeof(y->dir), "/tmp/hawser-uploads-XXXXXX");
	cr_assert(mkdtemp(y->dir) != NULL);
	snprintf(y->path, sizeof(y->path), "%s/relay.db", y->dir);
	fake_clock_init(&y->clock, NOON);
	secret_key_random(&y->master);
	relay_config_default(&y->config);
	snprintf(y->config.s3_access_key_id, sizeof(y->config.s3_access_key_id), "AKID");
	y->arena = arena_new(1 << 20);
	y->ended = ended;
	write_secret(y);
	open_storage(y);
	const struct store_config sc = {.path = y->path, .clock = &y->clock.clock, .readers = 1};
	cr_assert(eq(int, store_open(&y->store, &sc, &y->err), 0), "%s", y->err.text);
	cr_assert(eq(int, outputs_new(&y->outputs, y->dir, &y->master, &y->err), 0));
	cr_assert(eq(int, outputs_append(y->outputs, &name, 0, "x", 1, &size, &y->err), 0));
	cr_assert(eq(int, store_write(y->store, write_ended, y, &y->err), 0), "%s", y->err.text);
	open_uploads(y);
	return y;
}

static void
yard_free(struct yard *y)
{
	char command[128];

	uploads_free(y->uploads);
	shutdown(y->listener, SHUT_RDWR);
	pthread_join(y->thread, NULL);
	close(y->listener);
	store_close(y->store);
	outputs_free(y->outputs);
	arena_free(y->arena);
	snprintf(command, sizeof(command), "rm -r %s", y->dir);
	cr_assert(eq(int, system(command), 0));
	free(y);
}

static int
read_row(void *arg, struct db *db, struct hw_err *err)
{
	struct yard *y = arg;

	return upload_get(db, COMMAND, NODE, &y->row, err);
}

/* Tries once, and says how it is then. */
static int
attempt(struct yard *y)
{
	int before = y->requests;

	cr_assert(uploads_run(y->uploads));
	cr_assert(gt(int, y->requests, before));
	cr_assert(eq(int, store_read(y->store, read_row, y, &y->err), 0), "%s", y->err.text);
	return y->row.status;
}

static bool
in_trouble(struct yard *y)
{
	struct uploads_stats st;

	uploads_stats(y->uploads, &st);
	return st.trouble;
}

/* --- what becomes of it ------------------------------------------------------------------------
 */

Test(uploads, what_is_taken_is_done)
{
	struct yard *y = yard_new(NOON);

	cr_assert(eq(int, attempt(y), UPLOAD_STATUS_SUCCESS));
	cr_assert_not(uploads_run(y->uploads));
	cr_assert_not(in_trouble(y));
	yard_free(y);
}

static int
write_gone(void *arg, struct db *db, struct hw_err *err)
{
	(void)arg;
	return command_set_output_gone(db, COMMAND, err);
}

static void
drop_output(struct yard *y)
{
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, store_write(y->store, write_gone, y, &err), 0), "%s", err.text);
	cr_assert(eq(int, outputs_drop(y->outputs, COMMAND, &err), 0), "%s", err.text);
}

Test(uploads, output_that_is_dropped_under_it_is_not_said_to_be_there)
{
	struct yard *y = yard_new(NOON);

	y->meanwhile = drop_output;
	cr_assert(eq(int, attempt(y), UPLOAD_STATUS_FAILED));
	cr_assert(ne(ptr, strstr(y->row.reason, "dropped before"), NULL), "%s", y->row.reason);
	yard_free(y);
}

/* And nobody else waits. */
Test(uploads, a_refusal_that_may_pass_is_tried_again)
{
	struct yard *y = yard_new(NOON);

	y->answer = "409 Conflict";
	y->body = "<Error><Code>OperationAborted</Code></Error>";
	cr_assert(eq(int, attempt(y), UPLOAD_STATUS_PENDING));
	cr_assert_not(in_trouble(y));
	y->answer = "307 Temporary Redirect";
	y->body = "";
	fake_clock_advance(&y->clock, y->row.next - NOON);
	cr_assert(eq(int, attempt(y), UPLOAD_STATUS_PENDING));
	cr_assert_not(in_trouble(y));
	y->answer = "400 Bad Request";
	y->body = "<Error><Code>EntityTooLarge</Code></Error>";
	fake_clock_advance(&y->clock, DAY / 2);
	cr_assert(eq(int, attempt(y), UPLOAD_STATUS_FAILED));
	cr_assert_not(in_trouble(y));
	yard_free(y);
}

/* A clock that was ahead is set right. */
Test(uploads, what_was_put_off_into_another_year_is_tried_again)
{
	struct yard *y = yard_new(NOON);

	y->answer = "409 Conflict";
	y->body = "<Error><Code>OperationAborted</Code></Error>";
	cr_assert(eq(int, attempt(y), UPLOAD_STATUS_PENDING));
	cr_assert_not(uploads_run(y->uploads));
	y->clock.now_wall -= 400 * DAY;
	cr_assert(eq(int, attempt(y), UPLOAD_STATUS_PENDING));
	cr_assert(le(i64, y->row.next, y->clock.now_wall + 10 * USEC_PER_SEC));
	yard_free(y);
}

Test(uploads, what_waited_while_the_relay_was_stopped_has_its_whole_time)
{
	struct yard *y = yard_new(NOON - 3 * DAY);

	y->answer = "403 Forbidden";
	cr_assert(eq(int, attempt(y), UPLOAD_STATUS_PENDING));
	fake_clock_advance(&y->clock, DAY - 1);
	cr_assert(eq(int, attempt(y), UPLOAD_STATUS_PENDING));
	fake_clock_advance(&y->clock, DAY);
	cr_assert(eq(int, attempt(y), UPLOAD_STATUS_FAILED));
	yard_free(y);
}
