/* --log-dir: files NODE/STEP.stdout and NODE/STEP.stderr, written as it comes. */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uthash.h>

#include "client/client.h"
#include "client/file_name.h"
#include "client/follow.h"
#include "client/view.h"
#include "proto/base/file.h"

#define NAME_ROOM (2 * FILE_NAME_MAX + 32)

/* A node's directory; it hangs on the node, too. */
struct logged {
	char name[NAME_ROOM];
	bool *begun; /* files, two a step */
	size_t n;
	UT_hash_handle hh;
};

struct log {
	struct view_config config;
	int dir;
	struct logged *nodes; /* by name */
};

/* --- names ------------------------------------------------------------------------------------ */

/* The node's own where that is a good one and no other node has it; with its id otherwise. */
static void
name_node(struct log *log, struct logged *ld, const struct follow_node *node)
{
	char name[FILE_NAME_MAX + 1], id[FILE_NAME_MAX + 1];
	bool is_its_own = file_name_safe(name, node->name);
	struct logged *other;

	snprintf(ld->name, sizeof(ld->name), "%s", name);
	HASH_FIND_STR(log->nodes, ld->name, other);
	if (is_its_own && other == NULL)
		return;
	file_name_safe(id, node->id);
	snprintf(ld->name, sizeof(ld->name), "%s-%s", name, id);
	HASH_FIND_STR(log->nodes, ld->name, other);
	for (int i = 2; other != NULL; i++) { /* another one was named so */
		snprintf(ld->name, sizeof(ld->name), "%s-%s.%d", name, id, i);
		HASH_FIND_STR(log->nodes, ld->name, other);
	}
}

static void
name_file(char out[NAME_ROOM], const struct follow_node *node, size_t step, int stream)
{
	const char *end = stream == FOLLOW_OUT ? "stdout" : "stderr";
	char name[FILE_NAME_MAX + 1];

	if (file_name_safe(name, step < node->n_steps ? node->steps[step] : "output"))
		snprintf(out, NAME_ROOM, "%s.%s", name, end);
	else
		snprintf(out, NAME_ROOM, "%s.%zu.%s", name, step + 1, end);
}

/* --- files ------------------------------------------------------------------------------------ */

static struct logged *
logged_of(struct log *log, struct follow_node *node)
{
	struct logged *ld = node->of_view;

	if (ld != NULL || (ld = calloc(1, sizeof(*ld))) == NULL)
		return ld;
	name_node(log, ld, node);
	HASH_ADD_STR(log->nodes, name, ld);
	node->of_view = ld;
	return ld;
}

static int
open_node(int *fd, const struct log *log, const struct logged *ld, struct hw_err *err)
{
	if (mkdirat(log->dir, ld->name, 0700) < 0 && errno != EEXIST)
		return hw_err_sys(err, "cannot make %s/%s", log->config.log_dir, ld->name);
	*fd = openat(log->dir, ld->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return *fd < 0 ? hw_err_sys(err, "cannot open %s/%s", log->config.log_dir, ld->name) : 0;
}

/* Whether something was written there already; from now on it was. */
static int
begin_file(bool *was, struct logged *ld, size_t step, int stream)
{
	size_t i = 2 * step + (size_t)stream, n = 2 * (step + 1);
	bool *begun;

	if (n > ld->n) {
		if ((begun = reallocarray(ld->begun, n, sizeof(*begun))) == NULL)
			return HW_ENOMEM;
		memset(begun + ld->n, 0, (n - ld->n) * sizeof(*begun));
		ld->begun = begun;
		ld->n = n;
	}
	*was = ld->begun[i];
	ld->begun[i] = true;
	return 0;
}

/* What an earlier run left there is gone with the first byte. */
static int
open_file(int *fd, struct log *log, struct follow_node *node, size_t step, int stream,
	struct hw_err *err)
{
	struct logged *ld = logged_of(log, node);
	char name[NAME_ROOM];
	bool was;
	int dir, r;

	if (ld == NULL || begin_file(&was, ld, step, stream) < 0)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	if ((r = open_node(&dir, log, ld, err)) < 0)
		return r;
	name_file(name, node, step, stream);
	*fd = openat(dir, name,
		O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | (was ? 0 : O_TRUNC),
		0600);
	if (*fd < 0)
		r = hw_err_sys(err, "cannot write %s/%s/%s", log->config.log_dir, ld->name, name);
	fd_close(dir);
	return r;
}

static int
write_piece(int fd, const uint8_t *p, size_t n, uint64_t offset, struct hw_err *err)
{
	if (lseek(fd, (off_t)offset, SEEK_SET) < 0)
		return hw_err_sys(err, "cannot write there");
	return fd_write_all(fd, p, n, err);
}

static int
log_output(void *state, struct follow_node *node, int stream, size_t step, uint64_t offset,
	const uint8_t *p, size_t n, struct hw_err *err)
{
	struct log *log = state;
	int fd = -1, r;

	if ((r = open_file(&fd, log, node, step, stream, err)) < 0)
		return r;
	if ((r = write_piece(fd, p, n, offset, err)) < 0)
		hw_err_prefix(err, "%s", log->config.log_dir);
	fd_close(fd);
	return r;
}

/* A step that wrote nothing has empty files: who reads them need not ask whether there are any. */
static int
log_node_end(void *state, struct follow_node *node, struct hw_err *err)
{
	struct log *log = state;
	int fd, r = 0;

	for (size_t step = 0; step < node->n_steps; step++) {
		for (int stream = 0; stream < 2; stream++) {
			if ((r = open_file(&fd, log, node, step, stream, err)) < 0)
				return r;
			fd_close(fd);
		}
	}
	return r;
}

/* --- how it ended ----------------------------------------------------------------------------- */

static void
free_logged(struct log *log, const struct follow *f)
{
	struct logged *ld, *next;

	HASH_ITER(hh, log->nodes, ld, next) {
		HASH_DEL(log->nodes, ld);
		free(ld->begun);
		free(ld);
	}
	for (size_t i = 0; f != NULL && i < follow_count(f); i++)
		follow_node(f, i)->of_view = NULL;
}

static int
log_finish(void *state, const struct follow *f, struct hw_err *err)
{
	struct log *log = state;
	void *groups = NULL;
	int r;

	free_logged(log, f);
	if ((r = view_none.open(&groups, &log->config, err)) < 0)
		return r;
	for (size_t i = 0; i < follow_count(f) && r == 0; i++) {
		struct follow_node *node = follow_node(f, i);

		if (node->wanted && fate_is_end(node->fate))
			r = view_none.node_end(groups, node, err);
	}
	if (r == 0)
		r = view_none.finish(groups, f, err);
	view_none.close(groups, f);
	return r;
}

/* --- life ------------------------------------------------------------------------------------- */

static int
log_open(void **state, const struct view_config *config, struct hw_err *err)
{
	struct log *log = calloc(1, sizeof(*log));
	int r;

	if (log == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	log->config = *config;
	if ((r = dir_open(&log->dir, config->log_dir, true, err)) < 0) {
		free(log);
		return r;
	}
	*state = log;
	return 0;
}

static void
log_close(void *state, const struct follow *f)
{
	struct log *log = state;

	if (log == NULL)
		return;
	free_logged(log, f);
	fd_close(log->dir);
	free(log);
}

const struct view_row view_log = {
	.name = "log-dir",
	.live = true,
	.open = log_open,
	.output = log_output,
	.node_end = log_node_end,
	.finish = log_finish,
	.close = log_close,
};
