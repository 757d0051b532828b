#include "relay/core/upload.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/arena.h"
#include "proto/schema/schema.h"
#include "proto/trust/secret.h"
#include "relay/core/outputs.h"
#include "relay/core/packed.h"
#include "relay/core/upload_parts.h"
#include "relay/objects/s3.h"
#include "relay/store/invocations.h"
#include "relay/store/store.h"
#include "relay/store/uploads.h"

#define ARENA_MAX (4 << 20)
#define SMALL_MAX (1 << 20) /* bytes of a stream that is in the store */

/* --- keys --------------------------------------------------------------------------------------
 */

#define PLUGIN_ROOM 65 /* of a part of a key */
#define NAME_ROOM   129

/* The next character of a part of a key, which has n of them: no colons, as SSM has it. '\0' at its
 * end. */
static char
clean_next(const char **text, size_t n)
{
	*text += strspn(*text, ":");
	if (**text == '\0')
		return n == 0 ? '_' : '\0';
	char c = *(*text)++;
	bool plain = isalnum((unsigned char)c) || c == '_' || c == '-' || (c == '.' && n > 0);
	return plain ? c : '_';
}

static void
clean(char *out, size_t room, const char *text)
{
	size_t n = 0;
	char c;

	while (n + 1 < room && (c = clean_next(&text, n)) != '\0')
		out[n++] = c;
	out[n] = '\0';
}

/* Most differ early: no text is made of them. */
static bool
is_same(size_t room, const char *a, const char *b)
{
	for (size_t n = 0; n + 1 < room; n++) {
		char c = clean_next(&a, n);
		if (c != clean_next(&b, n))
			return false;
		if (c == '\0')
			break;
	}
	return true;
}

static const char *
action_of(const struct msg_invocation_steps *steps, size_t step)
{
	const char *action = steps->steps.v[step].action;

	return action != NULL ? action : "";
}

void
upload_plugin_key(char out[S3_KEY_MAX + 1], const struct command_row *command, const char *node,
	const struct msg_invocation_steps *steps, size_t step)
{
	char plugin[PLUGIN_ROOM];

	clean(plugin, sizeof(plugin), action_of(steps, step));
	snprintf(out, S3_KEY_MAX + 1, "%s%s%s/%s/%s", command->s3_prefix,
		command->s3_prefix[0] != '\0' ? "/" : "", command->id, node, plugin);
}

static bool
is_taken(const struct msg_invocation_steps *steps, size_t step)
{
	for (size_t i = 0; i < step; i++)
		if (is_same(NAME_ROOM, steps->steps.v[i].name, steps->steps.v[step].name) &&
			is_same(PLUGIN_ROOM, action_of(steps, i), action_of(steps, step)))
			return true;
	return false;
}

void
upload_key(char out[S3_KEY_MAX + 1], const struct command_row *command, const char *node,
	const struct msg_invocation_steps *steps, size_t step, int stream)
{
	char name[NAME_ROOM], number[24] = "";

	upload_plugin_key(out, command, node, steps, step);
	clean(name, sizeof(name), steps->steps.v[step].name);
	if (is_taken(steps, step))
		snprintf(number, sizeof(number), "/%zu", step); /* no name has a slash */
	size_t n = strlen(out);
	snprintf(out + n, S3_KEY_MAX + 1 - n, "/%s%s/%s", name, number,
		stream == OUTPUT_STREAM_STDERR ? "stderr" : "stdout");
}

/* --- what there is -----------------------------------------------------------------------------
 */

struct uploading {
	struct s3 *s3;
	const struct upload_source *from;
	struct upload_row *row;
	struct arena *arena;
	struct hw_err *err;
	struct command_row command;
	const char *steps_text, *kept_text;
	const struct msg_invocation_steps *steps;
	const struct msg_invocation_outputs *kept;
};

static int
read_rows(void *arg, struct db *db, struct hw_err *err)
{
	struct uploading *w = arg;
	int r = command_get(db, w->row->command_id, &w->command, err);

	if (r < 0)
		return r;
	return invocation_get_body(db, w->arena, w->row->command_id, w->row->node_id,
		&w->steps_text, &w->kept_text, err);
}

static int
read_command(void *arg, struct db *db, struct hw_err *err)
{
	struct uploading *w = arg;

	return command_get(db, w->row->command_id, &w->command, err);
}

/* HW_EINVOCATION: what it wrote is not kept any more. */
static int
check_kept(struct uploading *w, store_fn *read)
{
	int r = store_read(w->from->store, read, w, w->err);

	if (r == HW_ECOMMAND || r == HW_EINVOCATION)
		return hw_err_set(w->err, HW_EINVOCATION, "the command is not kept any more");
	if (r == 0 && w->command.output_gone)
		return hw_err_set(w->err, HW_EINVOCATION,
			"the output was dropped before it could be uploaded");
	return r;
}

static int
look(struct uploading *w)
{
	const struct upload_source *f = w->from;
	char purpose[128];
	void *steps, *kept;
	int r = check_kept(w, read_rows);

	if (r < 0)
		return r;
	snprintf(purpose, sizeof(purpose), PACKED_OUTPUT, w->row->command_id, w->row->node_id);
	if ((r = packed_read(&steps, w->arena, f->master, MSG_ROW(invocation_steps), w->steps_text,
		     NULL, w->err)) < 0 ||
		(r = packed_read(&kept, w->arena, f->master, MSG_ROW(invocation_outputs),
			 w->kept_text, purpose, w->err)) < 0)
		return r;
	w->steps = steps;
	w->kept = kept;
	return 0;
}

/* --- one stream --------------------------------------------------------------------------------
 */

struct stream {
	struct uploading *of;
	struct output_name name;
	struct buf small; /* when the store has it */
};

static int
read_file(void *arg, int64_t offset, size_t n, struct buf *out, struct hw_err *err)
{
	const struct stream *s = arg;

	return outputs_read(s->of->from->outputs, &s->name, offset, n, out, err);
}

static int
read_small(void *arg, int64_t offset, size_t n, struct buf *out, struct hw_err *err)
{
	const struct stream *s = arg;
	size_t left = s->small.len - (size_t)offset;

	(void)err;
	return buf_append(out, buf_data(&s->small) + offset, n < left ? n : left);
}

static int
gather_small(struct stream *s)
{
	const struct msg_invocation_outputs *kept = s->of->kept;
	int r = 0;

	for (size_t i = 0; r == 0 && i < kept->outputs.n; i++) {
		const struct msg_invocation_output *o = &kept->outputs.v[i];
		if (o->step == s->name.step && o->stream == s->name.stream)
			r = buf_append(&s->small, o->data.p, o->data.n);
	}
	return r == 0 ? 0 : hw_err_set(s->of->err, r, "no memory for an output");
}

static int
find_source(struct s3_source *ret, struct stream *s)
{
	int r;

	*ret = (struct s3_source){.arg = s};
	if (s->of->kept->outputs.n == 0) {
		ret->read = read_file;
		return outputs_size(s->of->from->outputs, &s->name, &ret->size, s->of->err);
	}
	if ((r = gather_small(s)) < 0)
		return r;
	ret->read = read_small;
	ret->size = (int64_t)s->small.len;
	return 0;
}

static int
upload_stream(struct uploading *w, size_t step, int stream)
{
	const char *region = w->command.s3_region;
	char key[S3_KEY_MAX + 1];
	struct stream s = {
		.of = w,
		.name = {w->row->command_id, w->row->node_id, (int)step, stream},
	};
	struct s3_object o = {
		.bucket = w->command.s3_bucket,
		.key = key,
		.region = region[0] != '\0' ? region : NULL,
	};
	struct s3_source from;

	buf_init(&s.small, SMALL_MAX);
	upload_key(key, &w->command, w->row->node_id, w->steps, step, stream);
	int r = find_source(&from, &s);
	if (r == 0 && from.size > 0)
		r = upload_parts_put(w->s3, w->from->store, w->row, &o, &from, w->err);
	buf_wipe(&s.small);
	buf_fini(&s.small);
	return r;
}

/* Files may have been dropped for room under it, and those that are gone read as empty ones. */
static int
look_again(struct uploading *w, int r)
{
	int kept = 0;

	if ((r == 0 || r == HW_ECORRUPT) && w->kept != NULL && w->kept->outputs.n == 0)
		kept = check_kept(w, read_command);
	return kept < 0 ? kept : r;
}

int
upload_run(struct s3 *s3, const struct upload_source *from, struct upload_row *row,
	struct hw_err *err)
{
	struct uploading w = {
		.s3 = s3, .from = from, .row = row, .err = err, .arena = arena_new(ARENA_MAX)};

	if (w.arena == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for an upload");
	int r = look(&w);
	const char *region = w.command.s3_region[0] != '\0' ? w.command.s3_region : NULL;
	int left = upload_parts_clear(s3, row, region, r == 0 ? err : NULL);
	r = r == 0 ? left : r;
	for (size_t i = 0; r == 0 && i < w.steps->steps.n; i++)
		if ((r = upload_stream(&w, i, OUTPUT_STREAM_STDOUT)) == 0)
			r = upload_stream(&w, i, OUTPUT_STREAM_STDERR);
	r = look_again(&w, r);
	arena_free(w.arena);
	return r;
}
