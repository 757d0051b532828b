#include "relay/core/anchors.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/ledger.h"
#include "proto/base/file.h"
#include "relay/core/fit.h"
#include "relay/core/workers.h"

#define LOOK_EVERY  USEC_PER_SEC
#define AGAIN_AFTER (60 * USEC_PER_SEC) /* a failure, or sooner when the pace is faster */

/* One of the ways out. */
struct way {
	struct anchors *anchors;
	const char *name;
	void (*begin)(struct way *w);
	bool busy, failing, gone; /* gone: for good */
	int64_t next;		  /* monotonic: not before */
	int64_t begun;
	struct log_head sent, last; /* under way; taken */
	bool has_last;
	uint64_t done;
	struct hw_err err; /* of a worker */
};

struct anchors {
	struct log_ctx log;
	struct anchors_config config;
	char *file, *origin;
	struct loop_timer look;
	struct loop_fd *answers;
	struct way ways[2];
	size_t n;
};

/* --- the file --------------------------------------------------------------------------------- */

/* The name itself, of a file that was made just now. */
static int
sync_folder(const char *path, struct hw_err *err)
{
	char *copy = strdup(path), *slash = copy != NULL ? strrchr(copy, '/') : NULL;
	int dir = -1;

	if (copy == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for %s", path);
	if (slash != NULL)
		slash[slash == copy ? 1 : 0] = '\0';
	int r = dir_open(&dir, slash != NULL ? copy : ".", false, err);
	if (r == 0 && fsync(dir) < 0)
		r = hw_err_sys(err, "cannot sync the folder of %s", path);
	fd_close(dir);
	free(copy);
	return r;
}

static int
append(int fd, const struct stat *st, const char *path, const char *text, size_t n,
	struct hw_err *err)
{
	char last = '\n';
	int r = 0;

	if (st->st_size > 0 && pread(fd, &last, 1, st->st_size - 1) != 1)
		return hw_err_sys(err, "cannot read the end of %s", path);
	if (last != '\n')
		r = fd_write_all(fd, "\n", 1, err);
	if (r == 0)
		r = fd_write_all(fd, text, n, err);
	if (r == 0 && fsync(fd) < 0)
		r = hw_err_sys(err, "cannot sync %s", path);
	/* Where that is not allowed, as in a file that can only grow, a part of a text stays. */
	if (r < 0)
		(void)!ftruncate(fd, st->st_size);
	return r;
}

int
anchor_append(const char *path, const char *text, size_t n, struct hw_err *err)
{
	struct stat st;
	int r;

	int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0644);
	if (fd < 0)
		return hw_err_sys(err, "cannot open %s", path);
	if (fstat(fd, &st) < 0)
		r = hw_err_sys(err, "cannot look at %s", path);
	else if (!S_ISREG(st.st_mode))
		r = hw_err_set(err, HW_EVALIDATION, "%s is no regular file", path);
	else if ((r = append(fd, &st, path, text, n, err)) < 0)
		hw_err_prefix(err, "%s", path);
	else if (st.st_size == 0)
		r = sync_folder(path, err);
	fd_close(fd);
	return r;
}

/* --- what became of it ------------------------------------------------------------------------ */

static void
change(struct way *w, bool failing, const char *why)
{
	struct anchors *a = w->anchors;
	char what[400], cut[300];

	if (failing == w->failing)
		return;
	w->failing = failing;
	fit_text(cut, sizeof(cut), why);
	if (failing)
		snprintf(what, sizeof(what), "heads are not anchored by the %s: %s", w->name, cut);
	else
		snprintf(what, sizeof(what), "heads are anchored by the %s again", w->name);
	int64_t entry = a->config.on_change(a->config.arg, what);
	if (failing)
		log_error(a, "anchor.failed", "way=%s why=%s%s", w->name, log_value(cut),
			ledger_pair(entry));
	else
		log_info(a, "anchor.resumed", "way=%s%s", w->name, ledger_pair(entry));
}

static void
failed(struct way *w, const char *why)
{
	const struct anchors_config *c = &w->anchors->config;
	int64_t wait = c->every < AGAIN_AFTER ? c->every : AGAIN_AFTER;

	w->busy = false;
	w->next = clock_mono(loop_clock(c->loop)) + wait;
	change(w, true, why);
}

static void
taken(struct way *w)
{
	const struct anchors_config *c = &w->anchors->config;

	w->busy = false;
	w->next = clock_mono(loop_clock(c->loop)) + c->every;
	w->last = w->sent;
	w->has_last = true;
	w->done++;
	log_debug(w->anchors, "anchor.done", "way=%s size=%" PRIu64, w->name, w->last.size);
	change(w, false, "");
}

/* --- the two ways ----------------------------------------------------------------------------- */

static void
run_file(void *arg)
{
	struct way *w = arg;
	char text[LOG_HEAD_MAX];
	size_t n = log_head_format(text, &w->sent, w->anchors->origin);

	w->err = (struct hw_err)HW_ERR_INIT;
	(void)anchor_append(w->anchors->file, text, n, &w->err);
}

static void
on_file(void *arg)
{
	struct way *w = arg;

	if (w->err.code != 0)
		failed(w, hw_err_text(&w->err));
	else
		taken(w);
}

static void
begin_file(struct way *w)
{
	w->busy = workers_submit(w->anchors->config.workers, run_file, on_file, w);
}

/* There is nobody any more who would run it. */
static void
lose_command(struct way *w)
{
	w->gone = true;
	loop_fd_want(w->anchors->answers, 0);
	failed(w, "the process that runs it has ended; a restart of the relay starts it again");
}

static void
begin_command(struct way *w)
{
	char text[LOG_HEAD_MAX];
	size_t n = log_head_format(text, &w->sent, w->anchors->origin);

	w->busy = true;
	if (send(w->anchors->config.command, text, n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		lose_command(w);
}

static struct way *
find_way(struct anchors *a, void (*begin)(struct way *w))
{
	struct way *w = a->ways;

	while (w->begin != begin)
		w++;
	return w;
}

static void
on_answer(void *arg, int what)
{
	struct anchors *a = arg;
	struct way *w = find_way(a, begin_command);
	struct anchor_said said;

	(void)what;
	ssize_t n = recv(a->config.command, &said, sizeof(said), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n != sizeof(said)) {
		lose_command(w);
		return;
	}
	if (!w->busy)
		return; /* nothing was asked */
	said.why[ANCHOR_WHY_MAX - 1] = '\0';
	if (said.failed != 0)
		failed(w, said.why);
	else
		taken(w);
}

/* --- at a pace -------------------------------------------------------------------------------- */

/* A ledger's next epoch may begin with a size that was seen before. */
static bool
has_moved(const struct way *w, const struct log_head *head)
{
	return !w->has_last || head->size != w->last.size || head->epoch != w->last.epoch;
}

static void
tend(struct way *w, const struct log_head *head, int64_t now)
{
	if (w->gone)
		return;
	if (w->busy) {
		/* It stays busy: there is never more than one under way. */
		if (w->begin == begin_command && now - w->begun >= w->anchors->config.patience)
			change(w, true, "the process that runs it does not answer");
		return;
	}
	if (now < w->next || !has_moved(w, head))
		return;
	w->sent = *head;
	w->begun = now;
	w->begin(w);
}

static void
on_look(void *arg)
{
	struct anchors *a = arg;
	struct log_head head;

	if (a->config.latest(a->config.arg, &head))
		for (size_t i = 0; i < a->n; i++)
			tend(&a->ways[i], &head, clock_mono(loop_clock(a->config.loop)));
	loop_timer_start(a->config.loop, &a->look, LOOK_EVERY);
}

void
anchors_start(struct anchors *a)
{
	if (a->n > 0)
		loop_timer_start(a->config.loop, &a->look, 0);
}

void
anchors_stop(struct anchors *a)
{
	loop_timer_stop(a->config.loop, &a->look);
}

void
anchors_last(struct anchors *a)
{
	struct log_head head;

	if (a->file[0] == '\0' || !a->config.latest(a->config.arg, &head))
		return;
	struct way *w = find_way(a, begin_file);
	if (!has_moved(w, &head))
		return;
	w->sent = head;
	run_file(w);
	on_file(w);
}

/* --- life ------------------------------------------------------------------------------------- */

static void
add(struct anchors *a, const char *name, void (*begin)(struct way *w))
{
	a->ways[a->n++] = (struct way){.anchors = a, .name = name, .begin = begin};
}

int
anchors_new(struct anchors **ret, const struct anchors_config *config, struct hw_err *err)
{
	struct anchors *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for anchors");
	a->log = *config->log;
	a->config = *config;
	a->look = (struct loop_timer){.fn = on_look, .arg = a};
	a->file = strdup(config->file);
	a->origin = strdup(config->origin);
	if (config->command >= 0 &&
		loop_fd_new(&a->answers, config->loop, config->command, on_answer, a) == 0)
		loop_fd_want(a->answers, LOOP_READ);
	if (a->file == NULL || a->origin == NULL || (config->command >= 0 && a->answers == NULL)) {
		anchors_free(a);
		return hw_err_set(err, HW_ENOMEM, "no memory for anchors");
	}
	if (a->file[0] != '\0')
		add(a, "file", begin_file);
	if (config->command >= 0)
		add(a, "command", begin_command);
	*ret = a;
	return 0;
}

void
anchors_free(struct anchors *a)
{
	if (a == NULL)
		return;
	anchors_stop(a);
	loop_fd_free(a->answers);
	free(a->file);
	free(a->origin);
	free(a);
}

bool
anchors_stats(const struct anchors *a, size_t i, struct anchors_stats *ret)
{
	if (i >= a->n)
		return false;
	const struct way *w = &a->ways[i];
	*ret = (struct anchors_stats){
		.name = w->name, .done = w->done, .size = w->last.size, .failing = w->failing};
	return true;
}
