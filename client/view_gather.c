/*
 * --gather: equal results once, with the set of their nodes. --diff: the largest group whole, and
 * how the others differ from it.
 */
#include <sys/mman.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uthash.h>

#include "client/client.h"
#include "client/fold.h"
#include "client/keep.h"
#include "client/printer.h"
#include "client/view.h"
#include "proto/base/file.h"

#define KEEP_EACH (4 << 20) /* bytes of a stream that are shown */
#define NAMES_MAX (64u << 20)

struct group {
	uint8_t key[KEEP_DIGEST];
	struct follow_node *node; /* one of them: what it wrote is kept, as that of all */
	const char **names;
	size_t n, room;
	UT_hash_handle hh;
};

struct gather {
	struct view_config config;
	struct keep *keep;
	struct group *groups;
};

/* --- groups ----------------------------------------------------------------------------------- */

static void
make_key(uint8_t out[KEEP_DIGEST], const struct follow_node *node)
{
	const struct kept *kept = node->of_view;
	char code[32];
	struct buf text;

	buf_init(&text, 1 << 16);
	snprintf(code, sizeof(code), "%" PRId64 " %d", node->response_code, node->status);
	buf_append(&text, code, strlen(code) + 1);
	buf_append(&text, node->details, strlen(node->details) + 1);
	buf_append(&text, node->reason, strlen(node->reason) + 1);
	buf_append(&text, node->dropped, sizeof(node->dropped));
	buf_append(&text, kept->digest, sizeof(kept->digest));
	hw_assert(!text.failed &&
		EVP_Digest(buf_data(&text), text.len, out, NULL, EVP_sha256(), NULL) > 0);
	buf_fini(&text);
}

static int
add_name(struct group *g, const char *name)
{
	if (g->n == g->room) {
		size_t room = g->room > 0 ? 2 * g->room : 1;
		const char **names = reallocarray(g->names, room, sizeof(*names));

		if (names == NULL)
			return HW_ENOMEM;
		g->names = names;
		g->room = room;
	}
	g->names[g->n++] = name;
	return 0;
}

static int
gather_node_end(void *state, struct follow_node *node, struct hw_err *err)
{
	struct gather *ga = state;
	uint8_t key[KEEP_DIGEST];
	struct group *g;
	int r;

	if ((r = keep_end(ga->keep, node, err)) < 0)
		return r;
	make_key(key, node);
	HASH_FIND(hh, ga->groups, key, sizeof(key), g);
	if (g != NULL) {
		keep_drop(ga->keep, node);
	} else {
		if ((g = calloc(1, sizeof(*g))) == NULL)
			return hw_err_set(err, HW_ENOMEM, "out of memory");
		memcpy(g->key, key, sizeof(key));
		g->node = node;
		HASH_ADD(hh, ga->groups, key, sizeof(g->key), g);
	}
	return add_name(g, node->name) < 0 ? hw_err_set(err, HW_ENOMEM, "out of memory") : 0;
}

static int
gather_output(void *state, struct follow_node *node, int stream, size_t step, uint64_t offset,
	const uint8_t *p, size_t n, struct hw_err *err)
{
	struct gather *ga = state;

	(void)offset;
	return keep_output(ga->keep, node, stream, step, p, n, err);
}

/* The largest first, and then by their first names. */
static int
by_size(struct group *a, struct group *b)
{
	if (a->n != b->n)
		return a->n > b->n ? -1 : 1;
	return strverscmp(a->names[0], b->names[0]);
}

/* --- printing --------------------------------------------------------------------------------- */

static int
print_head(struct printer *out, const struct group *g, struct hw_err *err)
{
	const struct follow_node *node = g->node;
	struct buf set, words;
	int r;

	buf_init(&set, NAMES_MAX);
	buf_init(&words, 256);
	r = fold_append(&set, g->names, g->n);
	fate_append(&words, node->status, node->details, node->response_code);
	printer_end_line(out);
	printer_say(out, NULL, "-- ");
	if (r == 0)
		printer_name(out, buf_str(&set));
	if (g->n > 1)
		printer_say(out, NULL, " (%zu)", g->n);
	r = printer_say(out, err, "  %s\n", buf_str(&words));
	if (node->reason[0] != '\0') {
		printer_name(out, node->reason);
		r = printer_say(out, err, "\n");
	}
	buf_fini(&set);
	buf_fini(&words);
	return r;
}

static int
print_stream(struct gather *ga, struct printer *out, const struct spooled *stream,
	struct hw_err *err)
{
	int r = printer_spooled(out, keep_spool(ga->keep), stream, err);

	printer_end_line(out);
	return r;
}

/* What is not shown is said, in bytes. */
static int
print_rest(struct gather *ga, struct printer *out, const struct group *g, struct hw_err *err)
{
	const struct kept *kept = g->node->of_view;
	int64_t beyond = 0, dropped = g->node->dropped[0] + g->node->dropped[1];

	for (size_t i = 0; i < kept->n; i++)
		beyond += kept->streams[i].beyond;
	if (beyond > 0) {
		printer_say(out, NULL, "-- %" PRId64 " bytes more: hawser runs output --raw %s ",
			beyond, ga->config.command->command_id);
		printer_name(out, g->node->name);
		printer_say(out, NULL, "\n");
	}
	return dropped == 0
		? 0
		: printer_say(out, err,
			  "-- %" PRId64
			  " bytes more were written, and dropped at the relay's limit\n",
			  dropped);
}

static int
print_body(struct gather *ga, struct printer *out, const struct group *g, struct hw_err *err)
{
	const struct kept *kept = g->node->of_view;
	int r = 0;

	for (size_t step = 0; 2 * step < kept->n && r == 0; step++) {
		const struct spooled *so = keep_stream(g->node, step, FOLLOW_OUT);
		const struct spooled *se = keep_stream(g->node, step, FOLLOW_ERR);

		if (so != NULL)
			r = print_stream(ga, out, so, err);
		if (so != NULL && se != NULL && r == 0)
			r = printer_say(out, err, "-- stderr\n");
		if (se != NULL && r == 0)
			r = print_stream(ga, out, se, err);
	}
	return r < 0 ? r : print_rest(ga, out, g, err);
}

static int
gather_finish(void *state, const struct follow *f, struct hw_err *err)
{
	struct gather *ga = state;
	struct printer out;
	struct group *g;
	int r = 0;

	(void)f;
	printer_init(&out, STDOUT_FILENO, ga->config.safe);
	HASH_SORT(ga->groups, by_size);
	for (g = ga->groups; g != NULL && r == 0; g = g->hh.next)
		if ((r = print_head(&out, g, err)) == 0)
			r = print_body(ga, &out, g, err);
	if (r == 0)
		r = printer_flush(&out, err);
	printer_fini(&out);
	return r;
}

/* --- differences ------------------------------------------------------------------------------ */

static int
each_to_fd(void *arg, const uint8_t *p, size_t n, struct hw_err *err)
{
	return fd_write_all(*(int *)arg, p, n, err);
}

static int
write_step(struct gather *ga, int fd, const struct follow_node *node, size_t step,
	struct hw_err *err)
{
	int r = 0;

	for (int stream = 0; stream < 2 && r == 0; stream++) {
		const struct spooled *kept = keep_stream(node, step, stream);

		if (kept != NULL)
			r = spool_read(keep_spool(ga->keep), kept, each_to_fd, &fd, err);
	}
	return r;
}

/* All that a group wrote, as a file for diff: no more of it than is kept. */
static int
make_file(int *ret, struct gather *ga, const struct group *g, struct hw_err *err)
{
	const struct kept *kept = g->node->of_view;
	int fd = memfd_create("output", MFD_CLOEXEC), r = 0;

	if (fd < 0)
		return hw_err_sys(err, "cannot make a file for diff");
	for (size_t step = 0; 2 * step < kept->n && r == 0; step++)
		r = write_step(ga, fd, g->node, step, err);
	if (r < 0)
		fd_close(fd);
	else
		*ret = fd;
	return r;
}

#define DIFF_OLD 10 /* its descriptors of the two files, and their names */
#define DIFF_NEW 11

/* An empty environment but for what finds the program: no options of the user's own. */
static int
spawn_diff(pid_t *pid, int out, int old, int new, const char *old_name, const char *new_name,
	struct hw_err *err)
{
	const char *const argv[] = {"diff", "-a", "-u", "--label", old_name, "--label", new_name,
		"/proc/self/fd/10", "/proc/self/fd/11", NULL};
	const char *const env[] = {"LC_ALL=C", "PATH=/usr/local/bin:/usr/bin:/bin", NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t defaults;
	int r;

	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigdefault(&attr, &defaults);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, old, DIFF_OLD);
	posix_spawn_file_actions_adddup2(&actions, new, DIFF_NEW);
	r = posix_spawnp(pid, "diff", &actions, &attr, (char *const *)argv, (char *const *)env);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	if (r == 0)
		return 0;
	errno = r;
	return hw_err_sys(err, "cannot run diff");
}

static int
read_diff(struct printer *out, int fd, struct hw_err *err)
{
	uint8_t piece[16384];
	int r = 0;

	while (r == 0) {
		ssize_t n = read(fd, piece, sizeof(piece));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			r = hw_err_sys(err, "cannot read from diff");
		if (n <= 0)
			break;
		r = printer_bytes(out, piece, (size_t)n, err);
	}
	tidy_end(&out->tidy, &out->out);
	printer_end_line(out);
	return r;
}

static int
wait_for_diff(pid_t pid, struct hw_err *err)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return hw_err_sys(err, "cannot wait for diff");
	if (WIFEXITED(status) && WEXITSTATUS(status) <= 1)
		return 0;
	return hw_err_set(err, HW_EIO, "diff did not run to its end");
}

/* Above the numbers that diff gets. */
static int
above(int *fd, struct hw_err *err)
{
	int high = fcntl(*fd, F_DUPFD_CLOEXEC, DIFF_NEW + 1);

	if (high < 0)
		return hw_err_sys(err, "no descriptor is left");
	fd_close(*fd);
	*fd = high;
	return 0;
}

static int
run_diff(struct printer *out, int old, int new, const char *old_name, const char *new_name,
	struct hw_err *err)
{
	int pipes[2], r, ended;
	pid_t pid;

	if (pipe2(pipes, O_CLOEXEC) < 0)
		return hw_err_sys(err, "cannot make a pipe");
	if ((r = above(&pipes[1], err)) == 0)
		r = spawn_diff(&pid, pipes[1], old, new, old_name, new_name, err);
	fd_close(pipes[1]);
	if (r == 0) {
		r = read_diff(out, pipes[0], err);
		fd_close(pipes[0]); /* one that has more to say ends here */
		ended = wait_for_diff(pid, r < 0 ? NULL : err);
		return r < 0 ? r : ended;
	}
	fd_close(pipes[0]);
	return r;
}

static int
print_difference(struct gather *ga, struct printer *out, const struct group *most,
	const struct group *g, struct hw_err *err)
{
	int old = -1, new = -1, r;

	if ((r = print_head(out, g, err)) < 0 || (r = make_file(&old, ga, most, err)) < 0 ||
		(r = above(&old, err)) < 0 || (r = make_file(&new, ga, g, err)) < 0 ||
		(r = above(&new, err)) < 0)
		goto out;
	r = run_diff(out, old, new, most->names[0], g->names[0], err);
	if (r == 0)
		r = print_rest(ga, out, g, err);
out:
	fd_close(old);
	fd_close(new);
	return r;
}

static int
diff_finish(void *state, const struct follow *f, struct hw_err *err)
{
	struct gather *ga = state;
	struct printer out;
	struct group *g;
	int r = 0;

	(void)f;
	printer_init(&out, STDOUT_FILENO, ga->config.safe);
	HASH_SORT(ga->groups, by_size);
	if (ga->groups != NULL && (r = print_head(&out, ga->groups, err)) == 0)
		r = print_body(ga, &out, ga->groups, err);
	for (g = ga->groups != NULL ? ga->groups->hh.next : NULL; g != NULL && r == 0;
		g = g->hh.next)
		r = print_difference(ga, &out, ga->groups, g, err);
	if (r == 0)
		r = printer_flush(&out, err);
	printer_fini(&out);
	return r;
}

/* --- life ------------------------------------------------------------------------------------- */

static int
gather_open(void **state, const struct view_config *config, struct hw_err *err)
{
	struct gather *ga = calloc(1, sizeof(*ga));
	int r;

	if (ga == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	ga->config = *config;
	if ((r = keep_new(&ga->keep, KEEP_EACH, err)) < 0) {
		free(ga);
		return r;
	}
	*state = ga;
	return 0;
}

static void
gather_close(void *state, const struct follow *f)
{
	struct gather *ga = state;
	struct group *g, *next;

	if (ga == NULL)
		return;
	HASH_ITER(hh, ga->groups, g, next) {
		HASH_DEL(ga->groups, g);
		free(g->names);
		free(g);
	}
	keep_drop_all(ga->keep, f);
	keep_free(ga->keep);
	free(ga);
}

const struct view_row view_gather = {
	.name = "gather",
	.open = gather_open,
	.output = gather_output,
	.node_end = gather_node_end,
	.finish = gather_finish,
	.close = gather_close,
};

const struct view_row view_diff = {
	.name = "diff",
	.open = gather_open,
	.output = gather_output,
	.node_end = gather_node_end,
	.finish = diff_finish,
	.close = gather_close,
};

/* Groups of nodes and how it ended on them: nothing of what they wrote. */
const struct view_row view_none = {
	.name = "none",
	.silent = true,
	.open = gather_open,
	.output = gather_output,
	.node_end = gather_node_end,
	.finish = gather_finish,
	.close = gather_close,
};
