#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "node/command.h"
#include "node/config.h"
#include "node/credentials.h"
#include "node/status.h"
#include "proto/base/file.h"

/* Without an agent: what the files say. */
static int
stopped(struct buf *out, int dir, bool json, const char *why, struct hw_err *err)
{
	struct node_status s = {.state = "stopped", .error = why};
	struct cert_identity who;
	struct node_config c;
	int r;

	if ((r = node_config_load(&c, dir, err)) < 0)
		return r;
	if (credentials_identity(&who, dir, NULL) == 0)
		s.expires = who.not_after;
	status_render(out, &c, &s, json);
	return 0;
}

/* It comes from a process that the network may have taken over, and goes to root's terminal. */
static void
defuse(struct buf *text)
{
	uint8_t *p = text->len > 0 ? (uint8_t *)buf_data(text) : NULL;

	for (size_t i = 0; i < text->len; i++) {
		bool c1 = i > 0 && p[i - 1] == 0xc2 && p[i] >= 0x80 && p[i] < 0xa0;
		if ((p[i] < 0x20 && p[i] != '\n') || p[i] == 0x7f || c1)
			p[i] = '?';
		if (c1)
			p[i - 1] = '?';
	}
}

static int
show(struct buf *out, bool *connected, const char *path, bool json, struct hw_err *err)
{
	struct hw_err asked = HW_ERR_INIT;
	int dir, r;

	if ((r = dir_open(&dir, path, false, err)) < 0)
		return r;
	r = status_ask(out, connected, dir, json, &asked);
	if (r == HW_EUNAVAILABLE)
		r = stopped(out, dir, json, hw_err_text(&asked), err);
	else if (r < 0)
		*err = asked;
	if (r == HW_ENOTFOUND)
		r = node_config_explain(dir, path, err);
	fd_close(dir);
	return r;
}

int
command_status(const struct command *self, int argc, char **argv)
{
	static const struct option options[] = {
		{"dir",	required_argument, NULL, 'd'},
		{"output", required_argument, NULL, 'o'},
		{NULL,     0,		  NULL, 0	 },
	};
	struct hw_err err = HW_ERR_INIT;
	const char *dir = NULL, *form = "text";
	bool connected = false;
	struct buf out;
	int o, r;

	while ((o = getopt_long(argc, argv, "o:", options, NULL)) != -1) {
		if (o == 'd')
			dir = optarg;
		else if (o == 'o')
			form = optarg;
		else
			return EXIT_USAGE;
	}
	if (argc != optind || dir == NULL)
		return command_usage(self, "status takes --dir DIR");
	if (strcmp(form, "json") != 0 && strcmp(form, "text") != 0 && strcmp(form, "table") != 0)
		return command_usage(self, "-o %s: text or json", form);
	buf_init(&out, 65536);
	r = show(&out, &connected, dir, strcmp(form, "json") == 0, &err);
	defuse(&out);
	if (r == 0)
		fwrite(buf_data(&out), 1, out.len, stdout);
	buf_fini(&out);
	if (r < 0)
		return command_fail(&err);
	return connected ? EXIT_OK : EXIT_FAILED;
}
