#include "tests/unit/node/desk.h"

#include <sys/stat.h>

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/programs_monitor.h"
#include "proto/base/arena.h"
#include "proto/base/loop.h"
#include "proto/wire/codec.h"
#include "proto/wire/link.h"
#include "tests/world/pair.h"

#define PATIENCE   (30 * USEC_PER_SEC)
#define LOOK_EVERY (20 * USEC_PER_MSEC)

/* --- the relay's side ---------------------------------------------------------------------------
 */

static struct desk_record *
find(struct desk *d, const char *id)
{
	for (size_t i = 0; i < d->n; i++)
		if (strcmp(d->records[i]->id, id) == 0)
			return d->records[i];
	cr_assert_fail("nobody ordered %s", id);
	return NULL;
}

static int64_t
wall(struct desk *d)
{
	return clock_wall(loop_clock(d->loop));
}

static struct msg_invocation_order
order_of(struct desk *d, struct desk_record *r)
{
	r->orders++;
	return (struct msg_invocation_order){
		.command_id = r->id,
		.document_name = r->document,
		.content = r->content,
		.parameters = r->parameters,
		.run_as = r->run_as,
		.deliver_before =
			r->deliver_before ? r->deliver_before : wall(d) + 3600 * USEC_PER_SEC,
		.output_max = r->output_max,
	};
}

static void
answer_ask(struct desk *d, struct link *l, uint64_t id,
	const struct msg_get_pending_invocations_request *ask)
{
	static struct msg_invocation_order orders[4];
	static const char *cancel[DESK_RECORDS], *forget[DESK_RECORDS];
	struct msg_get_pending_invocations_reply reply = {
		.invocations = {.v = orders}, .cancel = {.v = cancel}, .forget = {.v = forget}};

	d->asks++;
	for (size_t i = 0; i < ask->held.n; i++) {
		struct desk_record *r = find(d, ask->held.v[i]);
		if (r->taken || r->unknown)
			forget[reply.forget.n++] = r->id;
		else if (r->cancel)
			cancel[reply.cancel.n++] = r->id;
	}
	for (size_t i = 0; i < d->n; i++) {
		struct desk_record *r = d->records[i];
		if ((r->heard && !r->says_again) || r->unknown)
			continue;
		if (reply.invocations.n == 4) {
			reply.more = true;
			break;
		}
		orders[reply.invocations.n++] = order_of(d, r);
		r->says_again = false;
	}
	link_respond(l, id, 0, NULL, MSG_ROW(get_pending_invocations_reply), &reply);
}

static void
take_output(struct desk_record *r, const struct msg_invocation_output *o)
{
	cr_assert_lt(o->step, DESK_STEPS);
	struct buf *b = &r->steps[o->step].out[o->stream == OUTPUT_STREAM_STDERR];
	cr_assert_leq((size_t)o->offset, b->len, "a gap in the output");
	size_t again = b->len - (size_t)o->offset;
	again = again < o->data.n ? again : o->data.n;
	cr_assert_eq(memcmp(buf_data(b) + o->offset, o->data.p, again), 0,
		"other bytes came again");
	cr_assert_eq(buf_append(b, o->data.p + again, o->data.n - again), 0);
}

static void
take_steps(struct desk_record *r, const struct msg_update_invocation_request *m)
{
	cr_assert_leq(m->steps.n, DESK_STEPS);
	r->n = m->steps.n > r->n ? m->steps.n : r->n;
	for (size_t i = 0; i < m->steps.n; i++) {
		const struct msg_invocation_step *s = &m->steps.v[i];
		snprintf(r->steps[i].name, sizeof(r->steps[i].name), "%s", s->name);
		snprintf(r->steps[i].details, sizeof(r->steps[i].details), "%s", s->status_details);
		r->steps[i].status = s->status;
		r->steps[i].code = (int)s->response_code;
		r->steps[i].dropped[0] = s->stdout_dropped;
		r->steps[i].dropped[1] = s->stderr_dropped;
	}
}

static bool
is_whole(const struct desk_record *r, const struct msg_update_invocation_request *m)
{
	for (size_t i = 0; i < m->steps.n; i++)
		if ((size_t)m->steps.v[i].stdout_bytes != r->steps[i].out[0].len ||
			(size_t)m->steps.v[i].stderr_bytes != r->steps[i].out[1].len)
			return false;
	return true;
}

static size_t
say_offsets(struct msg_invocation_offset *out, struct desk_record *r, size_t n)
{
	size_t k = 0;

	for (size_t i = 0; i < n; i++)
		for (int s = 0; s < 2; s++)
			out[k++] = (struct msg_invocation_offset){
				.step = (int64_t)i,
				.stream = s == 0 ? OUTPUT_STREAM_STDOUT : OUTPUT_STREAM_STDERR,
				.offset = (int64_t)r->steps[i].out[s].len,
			};
	return k;
}

static void
answer_update(struct desk *d, struct link *l, uint64_t id,
	const struct msg_update_invocation_request *m)
{
	struct desk_record *r = find(d, m->command_id);
	struct msg_invocation_offset offsets[2 * DESK_STEPS];
	struct msg_update_invocation_reply reply = {.offsets = {.v = offsets}, .cancel = r->cancel};

	r->updates++;
	if (d->refuse_code != 0 || r->unknown) {
		link_respond(l, id, r->unknown ? HW_ECOMMAND : d->refuse_code, "no", NULL, NULL);
		return;
	}
	if (r->taken && m->status == INVOCATION_STATUS_IN_PROGRESS) { /* the answer was lost */
		reply.taken = true;
		link_respond(l, id, 0, NULL, MSG_ROW(update_invocation_reply), &reply);
		return;
	}
	r->heard = true;
	take_steps(r, m);
	for (size_t i = 0; i < m->outputs.n; i++)
		take_output(r, &m->outputs.v[i]);
	reply.offsets.n = say_offsets(offsets, r, m->steps.n);
	r->status = m->status;
	r->code = (int)m->response_code;
	snprintf(r->details, sizeof(r->details), "%s", m->status_details);
	snprintf(r->reason, sizeof(r->reason), "%s", m->reason ? m->reason : "");
	if (m->status != INVOCATION_STATUS_IN_PROGRESS) {
		r->taken = reply.taken = !d->deaf && is_whole(r, m);
		cr_assert(d->deaf || reply.taken, "an end came before its output");
	}
	link_respond(l, id, 0, NULL, MSG_ROW(update_invocation_reply), &reply);
}

static void
answer_document(struct desk *d, struct link *l, uint64_t id,
	const struct msg_get_invocation_document_request *m)
{
	struct msg_get_invocation_document_reply reply = {
		.name = m->name,
		.document_version = m->document_version != NULL ? m->document_version : "1",
		.document_format = DOCUMENT_FORMAT_JSON,
	};

	find(d, m->command_id);
	d->documents_asked++;
	if (d->documents_to_fail > 0) {
		d->documents_to_fail--;
		link_respond(l, id, HW_EFULL, "too much to do", NULL, NULL);
		return;
	}
	for (size_t i = 0; i < d->n_documents; i++)
		if (strcmp(d->documents[i].name, m->name) == 0)
			reply.content = d->documents[i].content;
	if (reply.content == NULL)
		link_respond(l, id, HW_EDOCUMENT, "there is no such document", NULL, NULL);
	else
		link_respond(l, id, 0, NULL, MSG_ROW(get_invocation_document_reply), &reply);
}

void
desk_document(struct desk *d, const char *name, const char *content)
{
	cr_assert_lt(d->n_documents, 8);
	d->documents[d->n_documents].name = name;
	d->documents[d->n_documents++].content = content;
}

static void
on_request(void *arg, struct link *l, uint64_t id, const char *op, const void *body, size_t n)
{
	struct desk *d = arg;
	struct arena *a = arena_new(4 << 20);
	struct hw_err err = HW_ERR_INIT;
	bool ask = strcmp(op, "GetPendingInvocations") == 0;
	bool document = strcmp(op, "GetInvocationDocument") == 0;
	void *m;

	cr_assert(ask || document || strcmp(op, "UpdateInvocation") == 0);
	cr_assert_eq(msg_decode(&m, a,
			     ask		? MSG_ROW(get_pending_invocations_request)
				     : document ? MSG_ROW(get_invocation_document_request)
						: MSG_ROW(update_invocation_request),
			     body, n, &err),
		0, "%s", hw_err_text(&err));
	if (ask && d->asks_to_fail > 0) {
		d->asks_to_fail--;
		link_respond(l, id, HW_EFULL, "too much to do", NULL, NULL);
	} else if (ask) {
		answer_ask(d, l, id, m);
	} else if (document) {
		answer_document(d, l, id, m);
	} else {
		answer_update(d, l, id, m);
	}
	arena_free(a);
	loop_stop(d->loop);
}

static void
on_up(void *arg, struct link *l, const struct msg_hello *hello)
{
	struct desk *d = arg;

	(void)hello;
	if (l == d->node && d->commands != NULL)
		commands_link_up(d->commands, l);
	d->up = link_is_up(d->relay) && link_is_up(d->node);
	if (d->up)
		loop_stop(d->loop);
}

static void
on_down(void *arg, struct link *l, int code, const char *why)
{
	struct desk *d = arg;

	(void)code, (void)why;
	if (l != d->node)
		return;
	d->up = false;
	if (d->commands != NULL)
		commands_link_down(d->commands);
	loop_stop(d->loop);
}

static void
on_control(void *arg, struct link *l, const struct msg_control *control)
{
	struct desk *d = arg;

	if (l == d->node && control->type == CONTROL_COMMANDS && d->commands != NULL)
		commands_ask(d->commands);
}

static const struct link_events link_events = {.on_up = on_up,
	.on_down = on_down,
	.on_request = on_request,
	.on_control = on_control};

static struct link *
make_link(struct desk *d, int side)
{
	struct link_config config = {
		.loop = d->loop,
		.log = &d->log,
		.events = &link_events,
		.arg = d,
		.transport = pair_transport(d->pair, side),
		.hello = {.version_min = 1,
			  .version_max = 1,
			  .role = side == PAIR_A ? ROLE_RELAY : ROLE_NODE,
			  .id = "mi-0123456789abcdef0",
			  .software = "test/1",
			  .frame_max = 262144},
		.peer_role = side == PAIR_A ? ROLE_NODE : ROLE_RELAY,
		.opens = side == PAIR_A,
	};
	struct link *l = link_new(&config);

	cr_assert_not_null(l);
	pair_attach(d->pair, side, l);
	return l;
}

/* --- time
 * ------------------------------------------------------------------------------------------ */

static void
on_patience(void *arg)
{
	(void)arg;
	cr_assert_fail("nothing more happens");
}

static void
look_again(void *arg)
{
	loop_stop(arg);
}

void
desk_until(struct desk *d, bool (*holds)(struct desk *d, struct desk_record *r),
	struct desk_record *r)
{
	struct loop_timer look = {.fn = look_again, .arg = d->loop};

	loop_timer_start(d->loop, d->patience, PATIENCE);
	while (!holds(d, r)) {
		loop_timer_start(d->loop, &look, LOOK_EVERY);
		cr_assert_eq(loop_run(d->loop, NULL), 0);
	}
	loop_timer_stop(d->loop, &look);
	loop_timer_stop(d->loop, d->patience);
}

static bool
is_up(struct desk *d, struct desk_record *r)
{
	(void)r;
	return d->up;
}

static bool
is_down(struct desk *d, struct desk_record *r)
{
	(void)r;
	return !d->up;
}

static bool
is_taken(struct desk *d, struct desk_record *r)
{
	(void)d;
	return r->taken;
}

static bool
is_heard(struct desk *d, struct desk_record *r)
{
	(void)d;
	return r->heard;
}

void
desk_until_taken(struct desk *d, struct desk_record *r)
{
	desk_until(d, is_taken, r);
}

void
desk_until_heard(struct desk *d, struct desk_record *r)
{
	desk_until(d, is_heard, r);
}

void
desk_until_out(struct desk *d, struct desk_record *r, const char *text)
{
	loop_timer_start(d->loop, d->patience, PATIENCE);
	while (strstr(desk_out(r, 0, 0), text) == NULL)
		cr_assert_eq(loop_run(d->loop, NULL), 0);
	loop_timer_stop(d->loop, d->patience);
}

/* --- orders
 * ------------------------------------------------------------------------------------------ */

struct desk_record *
desk_order(struct desk *d, const char *content)
{
	struct desk_record *r = calloc(1, sizeof(*r));

	cr_assert_lt(d->n, DESK_RECORDS);
	id_uuid(r->id);
	r->content = strdup(content);
	r->document = "AWS-RunShellScript";
	for (int i = 0; i < DESK_STEPS; i++)
		for (int s = 0; s < 2; s++)
			buf_init(&r->steps[i].out[s], 256 << 20);
	d->records[d->n++] = r;
	return r;
}

struct desk_record *
desk_script(struct desk *d, const char *lines, const char *inputs)
{
	char *content = malloc(strlen(lines) + strlen(inputs) + 256);

	sprintf(content,
		"{\"schemaVersion\":\"2.2\",\"mainSteps\":[{\"action\":\"aws:runShellScript\",\"name\":"
		"\"one\",\"inputs\":{\"runCommand\":[%s]%s}}]}",
		lines, inputs);
	struct desk_record *r = desk_order(d, content);
	free(content);
	return r;
}

void
desk_tell(struct desk *d)
{
	const struct msg_control control = {.type = CONTROL_COMMANDS};

	link_send_control(d->relay, 0, &control);
}

void
desk_run(struct desk *d, struct desk_record *r)
{
	desk_tell(d);
	desk_until_taken(d, r);
}

const char *
desk_out(struct desk_record *r, size_t step, int stream)
{
	return buf_str(&r->steps[step].out[stream]);
}

void
desk_expect(struct desk_record *r, const char *status, const char *details, int code)
{
	cr_assert_str_eq(enum_text(&enum_INVOCATION_STATUS, r->status), status, "%s; %s; %s",
		r->details, r->reason, desk_out(r, 0, 1));
	cr_assert_str_eq(r->details, details);
	cr_assert_eq(r->code, code, "code %d", r->code);
}

void
desk_expect_step(struct desk_record *r, size_t i, const char *details, int code)
{
	cr_assert_lt(i, r->n);
	cr_assert_str_eq(r->steps[i].details, details, "step %zu: %s", i, r->steps[i].details);
	cr_assert_eq(r->steps[i].code, code, "step %zu: %d", i, r->steps[i].code);
}

/* --- life
 * --------------------------------------------------------------------------------------------- */

void
desk_cut_link(struct desk *d)
{
	pair_drop(d->pair, "cut");
	desk_until(d, is_down, NULL);
	loop_settle(d->loop);
	pair_free(d->pair);
	d->pair = NULL;
	d->relay = d->node = NULL;
}

void
desk_new_link(struct desk *d)
{
	d->pair = pair_new(d->loop);
	d->relay = make_link(d, PAIR_A);
	d->node = make_link(d, PAIR_B);
	desk_until(d, is_up, NULL);
}

static void
on_gone(void *arg)
{
	(void)arg;
}

void
desk_new_agent(struct desk *d)
{
	struct hw_err err = HW_ERR_INIT;

	cr_assert_eq(programs_monitor_new(&d->programs, d->loop, &d->log, d->dir,
			     d->rig->monitor_fd, on_gone, d, &err),
		0, "%s", hw_err_text(&err));
	d->config.programs = d->programs;
	cr_assert_eq(commands_new(&d->commands, &d->config, &err), 0, "%s", hw_err_text(&err));
	commands_resume(d->commands);
	if (d->up)
		commands_link_up(d->commands, d->node);
}

void
desk_kill_agent(struct desk *d)
{
	if (d->pair != NULL)
		desk_cut_link(d);
	commands_leave(d->commands);
	loop_settle(d->loop);
	commands_stop(d->commands); /* an agent's end has both; the first one says how it is */
	commands_free(d->commands);
	d->commands = NULL;
	loop_settle(d->loop);
	programs_monitor_free(d->programs);
	d->programs = NULL;
}

/* As after an agent's first command: what is killed and goes on here, does so in the slot. */
static void
make_slot(int dir)
{
	static const char zeros[16 * 1024];

	cr_assert_eq(mkdirat(dir, "commands", 0700), 0);
	cr_assert_eq(file_write(dir, "commands/slot", zeros, sizeof(zeros), 0600, NULL), 0);
}

struct desk *
desk_new_with(struct commands_config config, struct rig_options options)
{
	struct desk *d = calloc(1, sizeof(*d));

	d->rig = rig_new_with(options);
	d->dir = open(d->rig->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert_eq(loop_new(&d->loop, NULL), 0);
	log_ctx_init(&d->log, NULL);
	d->patience = calloc(1, sizeof(*d->patience));
	*d->patience = (struct loop_timer){.fn = on_patience, .arg = d};
	strcpy(d->boot, "boot-1");
	d->config = config;
	d->config.loop = d->loop;
	d->config.log = &d->log;
	d->config.dir = d->dir;
	d->config.node_id = "mi-0123456789abcdef0";
	d->config.boot_id = d->boot;
	d->config.fetch = HAWSER_FETCH;
	snprintf(d->work, sizeof(d->work), "%s/work", d->rig->dir);
	cr_assert_eq(mkdir(d->work, 01777), 0);
	d->config.work = d->work;
	make_slot(d->dir);
	desk_new_agent(d);
	desk_new_link(d);
	return d;
}

static bool
slot_is_empty(int dir)
{
	int fd = openat(dir, "slot", O_RDONLY | O_CLOEXEC);
	char byte = 0;

	while (byte == 0 && read(fd, &byte, 1) == 1)
		;
	close(fd);
	return byte == 0;
}

static void
remove_commands(struct desk *d)
{
	int fd = openat(d->dir, "commands", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fdopendir(fd);
	struct dirent *e;

	while ((e = readdir(dir)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		cr_assert(strcmp(e->d_name, "ended") == 0 || strcmp(e->d_name, "spare") == 0 ||
				(strcmp(e->d_name, "slot") == 0 && slot_is_empty(fd)),
			"a file of a command is left: %s", e->d_name);
		unlinkat(fd, e->d_name, 0);
	}
	closedir(dir);
	cr_assert_eq(unlinkat(d->dir, "commands", AT_REMOVEDIR), 0);
	cr_assert_eq(rmdir(d->work), 0, "a directory of a command is left");
}

static bool
is_idle(struct desk *d, struct desk_record *r)
{
	struct commands_count n = commands_count(d->commands);

	(void)r;
	return n.running + n.waiting + n.ended == 0;
}

void
desk_free(struct desk *d)
{
	desk_until(d, is_idle, NULL);
	desk_kill_agent(d);
	remove_commands(d);
	loop_settle(d->loop);
	loop_free(d->loop);
	rig_until_no_socket(d->rig);
	rig_free(d->rig);
	close(d->dir);
	for (size_t i = 0; i < d->n; i++) {
		for (int k = 0; k < DESK_STEPS; k++)
			for (int s = 0; s < 2; s++)
				buf_fini(&d->records[i]->steps[k].out[s]);
		free(d->records[i]->content);
		free(d->records[i]);
	}
	free(d->patience);
	free(d);
}
