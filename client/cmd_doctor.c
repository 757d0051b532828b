/* hawser doctor: what is wrong between here and a node, hop by hop, and what to do about it. */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "client/client.h"
#include "client/commands.h"
#include "client/doctor.h"
#include "proto/base/display.h"

#define SHOWN_MAX 65536

void
doctor_note(struct doctor *d, enum doctor_verdict verdict, const char *check, const char *next,
	const char *fmt, ...)
{
	static const char *const words[] = {"ok", "warn", "FAIL"};
	char text[600];
	va_list ap;

	d->failed = d->failed || verdict == DOCTOR_FAIL;
	if (d->n == DOCTOR_FINDINGS_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	const char *message = arena_strdup(d->client->arena, text);
	d->findings[d->n++] = (struct doctor_finding){.check = check,
		.result = words[verdict],
		.message = message != NULL ? message : "",
		.next = next};
}

/* --- what is shown --------------------------------------------------------------------------- */

/* As a list of the API is, although the API has none of it. */
static const struct msg_row *
finding_row(void)
{
#define FIELD(name, on_wire)                                                        \
	{                                                                           \
		.member = #name, FIELD_WIRE(on_wire), .doc = "", .kind = FIELD_STR, \
		.offset = offsetof(struct doctor_finding, name), .max = 4096        \
	}
	static const struct field_row fields[] = {FIELD(check, "Check"), FIELD(result, "Result"),
		FIELD(message, "Message"), FIELD(next, "Next")};
#undef FIELD
	static const struct msg_row row = {.name = "finding",
		.wire = "Finding",
		.doc = "",
		.size = sizeof(struct doctor_finding),
		.fields = fields,
		.count = sizeof(fields) / sizeof(fields[0])};

	return &row;
}

struct findings {
	struct {
		const struct doctor_finding *v;
		size_t n;
	} list;
};

static const struct msg_row *
findings_row(void)
{
	static const struct field_row fields[] = {
		{.member = "list",
			FIELD_WIRE("Findings"),
			.doc = "",
			.kind = FIELD_MSGS,
			.offset = offsetof(struct findings, list),
			.max = DOCTOR_FINDINGS_MAX,
			.msg = finding_row}
	   };
	static const struct msg_row row = {.name = "findings",
		.wire = "Findings",
		.doc = "",
		.size = sizeof(struct findings),
		.fields = fields,
		.count = 1};

	return &row;
}

static const char *
finding_name(const void *item)
{
	return ((const struct doctor_finding *)item)->check;
}

static const struct column no_columns[] = {{0}};

static const struct listing listing = {
	.reply = findings_row,
	.item = finding_row,
	.columns = no_columns,
	.name = finding_name,
};

/* A line for each, and under it what to do; a table would cut the sentences. */
static int
show_lines(const struct doctor *d, struct hw_err *err)
{
	struct buf out;

	buf_init(&out, SHOWN_MAX);
	for (size_t i = 0; i < d->n; i++) {
		const struct doctor_finding *f = &d->findings[i];
		buf_printf(&out, "%-4s  %-12s  ", f->result, f->check);
		display_append(&out, f->message, strlen(f->message));
		buf_append_byte(&out, '\n');
		if (f->next != NULL && strcmp(f->result, "ok") != 0) {
			buf_printf(&out, "%20s-> ", "");
			display_append(&out, f->next, strlen(f->next));
			buf_append_byte(&out, '\n');
		}
	}
	int r = output_bytes(buf_data(&out), out.len, err);
	buf_fini(&out);
	return r;
}

static int
show(struct client *c, const struct doctor *d, struct hw_err *err)
{
	const struct findings all = {
		.list = {d->findings, d->n}
	   };

	if (c->format <= OUTPUT_WIDE)
		return show_lines(d, err);
	return output_list(c, &listing, &all, d->findings, d->n, err);
}

static int
run_doctor(struct client *c, const struct input *in, struct hw_err *err)
{
	struct doctor *d = arena_alloc(c->arena, sizeof(*d));
	int r;

	if (d == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	d->client = c;
	if (doctor_way(d) && in->n > 0)
		doctor_node(d, in->operands[0]);
	c->hint[0] = '\0'; /* each finding has its own */
	r = show(c, d, err);
	return r < 0 ? r : d->failed;
}

const struct command cmd_doctor = {
	.name = "doctor",
	.operands = "[NODE]",
	.max = 1,
	.summary = "Look at each hop to the relay, and at a node: what is wrong, what to do.",
	.about = "\n"
		 "  Looks at login, proxy, name, TCP, TLS, clock, round trip and versions. With\n"
		 "  NODE also at its link and, in a session of yours there, which is recorded, at\n"
		 "  user, shell, clock, disk, descriptors and terminals. A node without a link\n"
		 "  cannot be asked: run hawser-node check on it. Exits with 1 when one fails.",
	.examples = {"hawser doctor", "hawser doctor web-01 -o json"},
	.shows = true,
	.run = run_doctor,
};
