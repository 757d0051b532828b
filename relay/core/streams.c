#include "relay/core/streams.h"

#include <stdio.h>
#include <stdlib.h>

#include "audit/ledger.h"
#include "relay/core/config.h"
#include "relay/core/fit.h"

#define STREAMS_MAX 2
#define PATH_ROOM   2100

struct streams {
	struct ledger *ledger;
	struct stream *v[STREAMS_MAX];
	size_t n;
	struct stream_file *file; /* the sink's; NULL: none */
};

/* A file's name is the relay's, when it does not begin at the root. */
static const char *
under(char out[PATH_ROOM], const struct streams_options *o, const char *name)
{
	if (name[0] == '/' || name[0] == '\0')
		snprintf(out, PATH_ROOM, "%s", name);
	else
		snprintf(out, PATH_ROOM, "%s/%s", o->dir, name);
	return out;
}

static int64_t
on_trouble(void *arg, const char *stream, const char *why)
{
	struct streams *s = arg;
	char reason[512], cut[440];
	struct msg_ledger_entry e = {.reason = reason};

	fit_text(cut, sizeof(cut), why);
	snprintf(reason, sizeof(reason), "entries do not reach the %s stream: %s", stream, cut);
	return ledger_append_numbered(s->ledger, ENTRY_ALARM, &e, NULL);
}

static int
add(struct streams *s, const struct streams_options *o, const struct stream_sink *sink,
	void *sink_arg, struct hw_err *err)
{
	char ledger[PATH_ROOM], journal[PATH_ROOM];
	const struct stream_config c = {
		.dir = o->dir,
		.ledger_dir = under(ledger, o, "ledger"),
		.journal_dir = under(journal, o, "journal"),
		.journal = o->journal,
		.master = o->master,
		.clock = o->clock,
		.log = o->log,
		.threaded = o->threaded,
		.on_trouble = on_trouble,
		.arg = s,
	};
	int r = stream_new(&s->v[s->n], &c, sink, sink_arg, err);

	s->n += r == 0;
	return r;
}

static int
add_file(struct streams *s, const struct streams_options *o, struct hw_err *err)
{
	char path[PATH_ROOM];
	int r;

	if (o->config->stream_file[0] == '\0')
		return 0;
	if ((r = stream_file_new(&s->file, under(path, o, o->config->stream_file), err)) < 0)
		return r;
	if ((r = add(s, o, &stream_file_sink, s->file, err)) < 0)
		s->file = NULL;
	return r;
}

static int
add_syslog(struct streams *s, const struct streams_options *o, struct hw_err *err)
{
	char ca[PATH_ROOM], certificate[PATH_ROOM], key[PATH_ROOM];
	const struct relay_config *c = o->config;
	const struct stream_syslog_config config = {
		.address = c->stream_syslog,
		.relay = c->name,
		.ca = under(ca, o, c->stream_syslog_ca),
		.certificate = under(certificate, o, c->stream_syslog_cert),
		.key = under(key, o, c->stream_syslog_key),
	};
	struct stream_syslog *sink;

	if (c->stream_syslog[0] == '\0')
		return 0;
	int r = stream_syslog_new(&sink, &config, err);
	return r < 0 ? r : add(s, o, &stream_syslog_sink, sink, err);
}

int
streams_new(struct streams **ret, const struct streams_options *o, struct hw_err *err)
{
	struct streams *s = calloc(1, sizeof(*s));
	int r;

	if (s == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for streams");
	s->ledger = o->ledger;
	if ((r = add_file(s, o, err)) < 0 || (r = add_syslog(s, o, err)) < 0) {
		streams_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

void
streams_free(struct streams *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < s->n; i++)
		stream_free(s->v[i]);
	free(s);
}

void
streams_reopen(struct streams *s)
{
	if (s->file != NULL)
		stream_file_reopen(s->file);
}

bool
streams_stats(struct streams *s, size_t i, struct stream_stats *ret)
{
	if (i >= s->n)
		return false;
	stream_stats(s->v[i], ret);
	return true;
}

int
streams_run(struct streams *s, struct hw_err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < s->n; i++)
		r = stream_run(s->v[i], err);
	return r;
}
