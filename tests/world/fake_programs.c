#include "tests/world/fake_programs.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/holder/protocol.h"
#include "proto/base/buf.h"
#include "proto/base/list.h"
#include "proto/base/loop.h"
#include "proto/schema/schema.h"
#include "proto/wire/frame.h"

#define OUTPUT_MAX (64 << 20)
#define PIECE	   16384
#define SHOWN	   1000 /* bytes of output on a screen, and in a part of it */
#define PART	   100

struct fake_programs {
	struct programs base;
	struct loop *loop;
	LIST_HEAD(, job) left; /* jobs of an agent that is no more */
	struct fake_count count;
	int refuse;
	bool refuse_later;
	bool old;
	char why[128];
};

struct script;

struct stream_state {
	struct buf held; /* written by the script, not yet consumed */
	uint64_t start, consumed, taken, limit;
	bool end, told;
};

struct job {
	struct fake_programs *owner;
	const struct script *script;
	const struct program_events *events;
	void *arg;
	struct loop_task work;
	bool starting, adopted, closed, over;
	bool left; /* nobody hears it */
	bool paints, repaint, painting;
	uint64_t painted, at, until; /* of the screen under way: its offset, and what is told */
	uint64_t wrote;		     /* in all; its last bytes: */
	uint8_t last[SHOWN];
	char session_id[97];
	uint64_t received, read; /* input: from the agent, and by the script */
	LIST_ENTRY(job) entry;
	char run_as[65];
	uint64_t number; /* of the command */

	struct buf input;
	bool input_end;
	int echo;	 /* of the input that the script takes */
	struct buf line; /* typed so far */
	struct stream_state out[STREAMS];
	bool exited;
	struct program_exit exit;
};

struct script {
	const char *name;
	void (*begin)(struct job *j);
	void (*input)(struct job *j, const uint8_t *p, size_t n); /* NULL: takes none */
	void (*input_end)(struct job *j);
};

uint8_t
fake_program_byte(uint64_t offset)
{
	return (uint8_t)(offset % 251);
}

/* --- what scripts do ------------------------------------------------------------------------ */

static void
say_bytes(struct job *j, int stream, const void *p, size_t n)
{
	hw_assert(buf_append(&j->out[stream].held, p, n) == 0);
	for (size_t i = 0; i < n && stream == STREAM_OUT; i++)
		j->last[j->wrote++ % SHOWN] = ((const uint8_t *)p)[i];
}

static void
say(struct job *j, int stream, const char *text)
{
	say_bytes(j, stream, text, strlen(text));
}

static void
leave(struct job *j, int status)
{
	j->exited = true;
	j->exit.status = status & 255;
	for (int s = STREAM_OUT; s < STREAMS; s++)
		j->out[s].end = true;
}

static void
shell_begin(struct job *j)
{
	say(j, STREAM_OUT, "$ ");
}

static void
shell_line(struct job *j)
{
	const char *line = buf_str(&j->line);
	int status;

	say(j, STREAM_OUT, "\r\n");
	if (sscanf(line, "exit %d", &status) == 1)
		leave(j, status);
	else
		say(j, STREAM_OUT, "$ ");
	buf_reset(&j->line);
}

static void
shell_input(struct job *j, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n && !j->exited; i++) {
		if (p[i] == '\n' || p[i] == '\r') {
			shell_line(j);
		} else {
			say_bytes(j, STREAM_OUT, p + i, 1);
			hw_assert(buf_append_byte(&j->line, p[i]) == 0);
		}
	}
}

static void
leave_well(struct job *j)
{
	leave(j, 0);
}

static void
cat_input(struct job *j, const uint8_t *p, size_t n)
{
	say_bytes(j, STREAM_OUT, p, n);
}

static void
print_begin(struct job *j)
{
	for (uint64_t i = 0; i < j->number; i++) {
		uint8_t byte = fake_program_byte(i);
		say_bytes(j, STREAM_OUT, &byte, 1);
	}
	leave(j, 0);
}

static void
exit_begin(struct job *j)
{
	leave(j, (int)j->number);
}

static void
password_begin(struct job *j)
{
	j->echo = ECHO_HIDDEN;
	say(j, STREAM_OUT, "Password: ");
}

static void
password_input(struct job *j, const uint8_t *p, size_t n)
{
	if (memchr(p, '\n', n) == NULL && memchr(p, '\r', n) == NULL)
		return;
	say(j, STREAM_OUT, "\r\nok\r\n");
	leave(j, 0);
}

static void
split_begin(struct job *j)
{
	say(j, STREAM_OUT, "out");
	say(j, STREAM_ERR, "err");
	leave(j, 3);
}

static const struct script scripts[] = {
	{"",	     shell_begin,	  shell_input,    leave_well},
	{"cat",	NULL,	      cat_input,	 leave_well},
	{"print",	  print_begin,    NULL,	     NULL	 },
	{"exit",	 exit_begin,     NULL,	   NULL      },
	{"password", password_begin, password_input, leave_well},
	{"stall",	  NULL,		NULL,	      NULL	  },
	{"split",	  split_begin,    NULL,	     NULL	 },
	{"paint",	  NULL,		NULL,	      NULL	  },
	{"blank",	  NULL,		NULL,	      NULL	  },
	{"sleep",	  NULL,		NULL,	      NULL	  },
	{"restart",  leave_well,	NULL,	      NULL	  },
};

/* --- the job -------------------------------------------------------------------------------- */

static void
free_job(struct job *j)
{
	for (int s = 0; s < STREAMS; s++)
		buf_fini(&j->out[s].held);
	buf_fini(&j->input);
	buf_fini(&j->line);
	free(j);
}

static void
take_input(struct job *j)
{
	size_t n = j->input.len;

	if (j->exited || j->script->input == NULL)
		return;
	if (n > 0) {
		int echo = j->echo;
		j->script->input(j, buf_data(&j->input), n);
		buf_consume(&j->input, n);
		j->read += n;
		if (!j->left)
			j->events->on_consumed(j->arg, n, echo);
	}
	if (j->input_end && !j->exited && !j->closed && j->script->input_end != NULL)
		j->script->input_end(j);
}

/* What is consumed is kept no longer. */
static void
trim(struct stream_state *st)
{
	hw_assert(st->consumed >= st->start && st->consumed <= st->taken);
	buf_consume(&st->held, (size_t)(st->consumed - st->start));
	st->start = st->consumed;
}

static uint64_t
end_of(const struct stream_state *st)
{
	return st->start + st->held.len;
}

static void
give_output(struct job *j, int s)
{
	struct stream_state *st = &j->out[s];

	trim(st);
	while (!j->closed && st->taken < end_of(st) && st->taken < st->limit) {
		uint64_t end = end_of(st) < st->limit ? end_of(st) : st->limit;
		size_t n = end - st->taken < PIECE ? (size_t)(end - st->taken) : PIECE;
		size_t taken = j->events->on_output(j->arg, s,
			buf_data(&st->held) + (st->taken - st->start), n);
		if (j->closed)
			return;
		st->taken += taken;
		if (taken < n)
			return; /* until more() */
	}
	if (j->closed || st->taken < end_of(st) || !st->end || st->told)
		return;
	st->told = true;
	j->events->on_output_end(j->arg, s);
}

static bool
is_blank(const struct job *j)
{
	return strcmp(j->script->name, "blank") == 0;
}

static bool
paints_at_length(const struct job *j)
{
	return strcmp(j->script->name, "paint") == 0 || is_blank(j);
}

static void
begin_screen(struct job *j)
{
	j->repaint = false;
	j->painting = true;
	j->painted = j->wrote;
	j->until = paints_at_length(j) ? j->number : j->wrote;
	j->at = j->until > SHOWN && !paints_at_length(j) ? j->until - SHOWN : 0;
}

/* A part in each turn. */
static void
tell_screen(struct job *j)
{
	uint8_t part[PART] = "\033c";
	size_t n = 0, most = is_blank(j) ? 0 : PART;

	if (!j->painting) {
		begin_screen(j);
		n = most > 0 ? 2 : 0;
	}
	j->at += is_blank(j);
	while (n < most && j->at < j->until)
		part[n++] = j->last[j->at++ % SHOWN];
	j->painting = j->at < j->until;
	if (j->painting || j->repaint)
		loop_defer(j->owner->loop, &j->work);
	j->events->on_screen(j->arg, j->painted, part, n, j->painting);
}

static void
tell_state(struct job *j)
{
	struct program_state state = {.received = j->received, .consumed = j->read};

	j->adopted = false;
	for (int s = STREAM_OUT; s < STREAMS; s++) {
		state.start[s] = j->out[s].start;
		state.end[s] = end_of(&j->out[s]);
	}
	j->events->on_adopted(j->arg, &state);
}

static void
begin(struct job *j)
{
	j->starting = false;
	if (j->owner->refuse != 0) {
		j->over = true;
		j->events->on_failed(j->arg, j->owner->refuse, j->owner->why);
		return;
	}
	j->events->on_started(j->arg, j->run_as, 4711);
	if (!j->closed && j->script->begin != NULL)
		j->script->begin(j);
}

static void
work(void *arg)
{
	struct job *j = arg;

	if (!j->closed && j->starting)
		begin(j);
	if (!j->closed && j->adopted)
		tell_state(j);
	if (!j->closed && !j->over)
		take_input(j);
	if (!j->closed && !j->left && (j->repaint || j->painting) &&
		strcmp(j->script->name, "stall") != 0)
		tell_screen(j);
	for (int s = STREAM_OUT; s < STREAMS && !j->over && !j->left; s++)
		give_output(j, s);
	if (!j->closed && !j->over && !j->left && j->exited && j->out[STREAM_OUT].told &&
		j->out[STREAM_ERR].told) {
		j->over = true;
		j->events->on_exit(j->arg, HW_OK, NULL, &j->exit);
	}
	if (!j->closed)
		return;
	loop_undefer(j->owner->loop, &j->work); /* an event closed it just now */
	free_job(j);
}

static void
go_on(struct job *j)
{
	loop_defer(j->owner->loop, &j->work);
}

static void
fake_write(struct job *j, const void *p, size_t n)
{
	hw_assert(!j->closed && buf_append(&j->input, p, n) == 0);
	j->received += n;
	go_on(j);
}

static void
fake_end_input(struct job *j)
{
	j->input_end = true;
	go_on(j);
}

static void
fake_credit(struct job *j, int stream, uint64_t consumed, uint64_t limit)
{
	struct stream_state *st = &j->out[stream];

	hw_assert(!j->closed && consumed >= st->consumed && limit >= st->limit);
	st->consumed = consumed;
	st->limit = limit;
	go_on(j);
}

static void
fake_resize(struct job *j, int cols, int rows)
{
	j->owner->count.resizes++;
	j->owner->count.cols = cols;
	j->owner->count.rows = rows;
}

static void
fake_signal(struct job *j, int signo)
{
	j->owner->count.signals++;
	j->owner->count.last_signal = signo;
	if (!j->exited) {
		leave(j, 128 + signo);
		j->exit.signal = signo;
	}
	go_on(j);
}

static bool
fake_repaint(struct job *j)
{
	if (!j->paints)
		return false;
	j->owner->count.repaints++;
	j->repaint = true;
	go_on(j);
	return true;
}

static void
fake_close(struct job *j)
{
	hw_assert(!j->closed);
	j->closed = true;
	j->owner->count.live--;
	go_on(j);
}

static void
fake_leave(struct job *j)
{
	hw_assert(!j->closed && !j->left);
	j->left = true;
	j->adopted = false;
	LIST_INSERT_HEAD(&j->owner->left, j, entry);
}

static int
fake_adopt(struct job **ret, struct programs *base, const char *session_id,
	const struct program_events *events, void *arg, struct hw_err *err)
{
	struct fake_programs *f = container_of(base, struct fake_programs, base);
	struct job *j;

	LIST_FOREACH(j, &f->left, entry)
		if (strcmp(j->session_id, session_id) == 0)
			break;
	if (j == NULL)
		return hw_err_set(err, HW_ENOSESSION, "no process holds it");
	LIST_REMOVE(j, entry);
	j->left = j->over = false;
	j->adopted = true;
	j->paints = !f->old;
	j->repaint = j->painting = false;
	j->events = events;
	j->arg = arg;
	for (int s = STREAM_OUT; s < STREAMS; s++) {
		struct stream_state *st = &j->out[s];
		trim(st);
		st->taken = st->limit = st->start;
		st->told = false;
	}
	go_on(j);
	*ret = j;
	return 0;
}

static const struct script *
find_script(const char *command, uint64_t *number)
{
	char name[32] = "";
	unsigned long long n = 0;

	if (command != NULL)
		sscanf(command, "%31s %llu", name, &n);
	*number = n;
	for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++)
		if (strcmp(scripts[i].name, name) == 0)
			return &scripts[i];
	return NULL;
}

static const char *
text(const char *s)
{
	return s != NULL ? s : "";
}

static void
note_start(struct fake_count *c, const struct program_spec *spec)
{
	c->started++;
	c->live++;
	c->cols = spec->cols;
	c->rows = spec->rows;
	snprintf(c->run_as, sizeof(c->run_as), "%s", text(spec->run_as));
	snprintf(c->session_id, sizeof(c->session_id), "%s", text(spec->session_id));
	snprintf(c->document, sizeof(c->document), "%s", text(spec->document));
	snprintf(c->command, sizeof(c->command), "%s", text(spec->command));
	snprintf(c->term, sizeof(c->term), "%s", text(spec->term));
}

static int
fake_start(struct job **ret, struct programs *base, const struct program_spec *spec,
	const struct program_events *events, void *arg, struct hw_err *err)
{
	struct fake_programs *f = container_of(base, struct fake_programs, base);
	uint64_t number;
	const struct script *script = find_script(spec->command, &number);

	if (f->refuse != 0 && !f->refuse_later)
		return hw_err_set(err, f->refuse, "%s", f->why);
	if (script == NULL)
		return hw_err_set(err, HW_ESPAWN, "no such script");
	struct job *j = calloc(1, sizeof(*j));
	hw_assert(j != NULL);
	*j = (struct job){
		.owner = f,
		.script = script,
		.events = events,
		.arg = arg,
		.work = {.fn = work, .arg = j},
		.starting = true,
		.paints = true,
		.number = number,
		.echo = ECHO_SHOWN,
	};
	snprintf(j->session_id, sizeof(j->session_id), "%s", spec->session_id);
	snprintf(j->run_as, sizeof(j->run_as), "%s", *text(spec->run_as) ? spec->run_as : "hawser");
	buf_init(&j->input, OUTPUT_MAX);
	buf_init(&j->line, PIECE);
	for (int s = 0; s < STREAMS; s++) {
		buf_init(&j->out[s].held, OUTPUT_MAX);
		j->out[s].limit = spec->script ? HOLDER_RING_MAX : 0;
	}
	/* A terminal has one stream of output. */
	if (spec->type == CHANNEL_TYPE_PTY)
		j->out[STREAM_ERR].told = true;
	note_start(&f->count, spec);
	loop_defer(f->loop, &j->work);
	*ret = j;
	return 0;
}

static const struct programs_ops fake_ops = {
	.start = fake_start,
	.adopt = fake_adopt,
	.write = fake_write,
	.end_input = fake_end_input,
	.credit = fake_credit,
	.more = go_on,
	.resize = fake_resize,
	.signal = fake_signal,
	.repaint = fake_repaint,
	.close = fake_close,
	.leave = fake_leave,
};

struct fake_programs *
fake_programs_new(struct loop *loop)
{
	struct fake_programs *f = calloc(1, sizeof(*f));

	hw_assert(f != NULL);
	f->base.ops = &fake_ops;
	f->loop = loop;
	return f;
}

void
fake_programs_free(struct fake_programs *f)
{
	hw_assert(f == NULL || f->count.live == 0);
	free(f);
}

struct programs *
fake_programs_base(struct fake_programs *f)
{
	return &f->base;
}

void
fake_programs_refuse(struct fake_programs *f, int code, const char *why, int later)
{
	f->refuse = code;
	f->refuse_later = later;
	snprintf(f->why, sizeof(f->why), "%s", why);
}

void
fake_programs_grow_old(struct fake_programs *f)
{
	f->old = true;
}

const struct fake_count *
fake_programs_count(const struct fake_programs *f)
{
	return &f->count;
}
