/*
 * hawser-node-fetch, what a step of aws:downloadContent runs; the agent starts it as it starts a
 * script, as the user that the command runs as, and what ends a script ends it.
 *
 *   main.c   what is to be got: the file of its argument
 *   spec.c   checks that
 *   place.c  where it goes
 *   name.c   what it is called
 *   web.c    HTTP and S3, by libcurl, which neither the agent nor its monitor links
 *   aws.c    whose keys sign for S3
 *   git.c    Git and GitHub
 *   local.c  files of this machine
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "node/fetch/fetch.h"
#include "node/fetch/place.h"
#include "node/fetch/spec.h"
#include "proto/base/buf.h"
#include "proto/base/file.h"

#define INPUT_MAX (256 * 1024)

/* The file: a line for the shell that starts this, a line of JSON, and the text that comes along,
 * if any does. */
struct input {
	const char *json, *text;
	size_t json_len, text_len;
};

static bool
next_line(const char **line, size_t *len, const char **rest, const char *end)
{
	const char *stop = *rest < end ? memchr(*rest, '\n', (size_t)(end - *rest)) : NULL;

	if (stop == NULL)
		return false;
	*line = *rest;
	*len = (size_t)(stop - *rest);
	*rest = stop + 1;
	return true;
}

static bool
cut(struct input *ret, const struct buf *b)
{
	const char *rest = (const char *)buf_data(b), *end = rest + b->len, *line;
	size_t len;

	if (!next_line(&line, &len, &rest, end) ||
		!next_line(&ret->json, &ret->json_len, &rest, end))
		return false;
	ret->text = rest;
	ret->text_len = (size_t)(end - rest);
	return true;
}

static int
put_text(struct place *p, const struct fetch_spec *s, const struct input *in, struct hw_err *err)
{
	int r = place_begin(p, err);

	if (r == 0 && (r = place_write(p, in->text, in->text_len, err)) == 0)
		r = place_commit(p, s->name, err);
	return r;
}

static const struct {
	enum fetch_source source;
	int (*fetch)(struct place *p, const struct fetch_spec *s, struct hw_err *err);
} rows[] = {
	{FETCH_HTTP,   fetch_web  },
	{FETCH_S3,	   fetch_web  },
	{FETCH_GIT,    fetch_git  },
	{FETCH_GITHUB, fetch_git	},
	{FETCH_LOCAL,  fetch_local},
};

static int
fetch(const struct fetch_spec *s, const struct input *in, struct hw_err *err)
{
	struct place p;
	int r = place_open(&p, s, err);

	if (r == 0 && s->source == FETCH_TEXT)
		r = put_text(&p, s, in, err);
	for (size_t k = 0; r == 0 && k < sizeof(rows) / sizeof(rows[0]); k++)
		if (rows[k].source == s->source)
			r = rows[k].fetch(&p, s, err);
	place_close(&p);
	return r;
}

int
main(int argc, char **argv)
{
	struct fetch_spec spec = {.json = NULL};
	struct hw_err err = HW_ERR_INIT;
	struct input in = {.json = NULL};
	struct buf text;
	int r;

	if (argc != 2) {
		fputs("hawser-node-fetch is started by the node's agent\n", stderr);
		return 2;
	}
	buf_init(&text, INPUT_MAX);
	if ((r = file_read(&text, AT_FDCWD, argv[1], &err)) == 0 && !cut(&in, &text))
		r = hw_err_set(&err, HW_EVALIDATION, "it is not told what to fetch");
	close_range(3, ~0u, 0); /* what it was told goes on to nobody */
	if (r == 0 && (r = fetch_spec_parse(&spec, in.json, in.json_len, &err)) == 0)
		r = fetch(&spec, &in, &err);
	fetch_spec_free(&spec);
	buf_wipe(&text);
	buf_fini(&text);
	if (r < 0)
		fprintf(stderr, "%s\n", hw_err_text(&err));
	return r < 0 || fflush(stdout) != 0;
}
