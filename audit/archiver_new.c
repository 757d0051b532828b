/* Starting the archiver: keys, masks, and what the last life left. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/archiver_private.h"
#include "proto/base/file.h"
#include "proto/trust/auditor_key.h"

#define AUDITORS_MAX (64 * 1024)

static int
load_auditors(struct builder_env *env, const char *path, struct hw_err *err)
{
	struct buf text;

	buf_init(&text, AUDITORS_MAX);
	int r = file_read(&text, AT_FDCWD, path, err);
	const char *lines = r == 0 ? buf_str(&text) : NULL;
	if (r == 0 && lines == NULL)
		r = hw_err_set(err, HW_ENOMEM, "no memory for the auditors' keys");
	else if (r == 0 && (r = auditor_list_parse(&env->auditors, lines, err)) < 0)
		hw_err_prefix(err, "%s", path);
	buf_fini(&text);
	return r == HW_ENOTFOUND ? 0 : r;
}

/* Recordings that were live. */
static int
resume_one(struct archiver *a, const char *name, jpos kept_from, struct hw_err *err)
{
	char id[RECORDING_ID_MAX + 1];
	struct builder *b;
	size_t n = strlen(name);

	if (n < 6 || n - 5 > RECORDING_ID_MAX || strcmp(name + n - 5, ".part") != 0)
		return 0;
	memcpy(id, name, n - 5);
	id[n - 5] = '\0';
	if (!recording_id_valid(id))
		return 0;
	int r = builder_resume(&b, &a->env, id, kept_from, err);
	if (r == HW_ENOTFOUND) {
		log_warn(a, "archiver.unreadable", "why=%s", log_value(hw_err_text(err)));
		return 0;
	}
	if (r < 0)
		return r;
	if ((r = archiver_set_aside(a, id, err)) == 0)
		return archiver_add(a, b, err);
	builder_free(b);
	return r;
}

static int
resume_all(struct archiver *a, jpos kept_from, struct hw_err *err)
{
	struct dirent *entry;
	int r = 0;

	int fd = openat(a->env.store.dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	if (d == NULL) {
		fd_close(fd);
		return hw_err_sys(err, "cannot list the recordings");
	}
	while (r == 0 && (errno = 0, entry = readdir(d)) != NULL)
		r = resume_one(a, entry->d_name, kept_from, err);
	if (r == 0 && errno != 0)
		r = hw_err_sys(err, "cannot list the recordings");
	closedir(d);
	return r;
}

/* The journal and the ledger's files must be of one relay's life. */
static int
open_ledger(struct archiver *a, const struct archiver_config *config, struct hw_err *err)
{
	uint64_t kept_from = journal_reader_ledger_first(a->reader);
	uint64_t journal_next = journal_ledger_next(config->journal);

	int r = ledger_writer_open(&a->ledger, config->ledger_dir, config->master, kept_from,
		config->io, err);
	if (r < 0)
		return r;
	if (config->ledger_file_size > 0)
		ledger_writer_set_file_max(a->ledger, config->ledger_file_size);
	if (ledger_writer_next(a->ledger) > journal_next)
		return hw_err_set(err, HW_ECORRUPT,
			"the ledger has entries up to %" PRIu64
			", but the journal goes on with %" PRIu64,
			ledger_writer_next(a->ledger), journal_next);
	return 0;
}

static void
drop_all(struct archiver *a)
{
	archiver_remove_all(a);
	journal_reader_close(a->reader);
	ledger_writer_close(a->ledger);
	recording_store_fini(&a->env.store);
	a->reader = NULL;
	a->ledger = NULL;
	a->env.store = (struct recording_store){.dir = -1};
	a->ledger_waiting = UINT64_MAX;
}

int
archiver_take_up(struct archiver *a, struct hw_err *err)
{
	const struct archiver_config *config = &a->config;
	int r;

	drop_all(a);
	if ((r = recording_store_init(&a->env.store, config->recordings_dir, config->master,
		     config->io, err)) < 0 ||
		(r = journal_reader_open(&a->reader, config->journal_dir, config->master, 0, err)) <
			0 ||
		(r = open_ledger(a, config, err)) < 0)
		return r;
	archiver_tell_filed(a);
	a->at = a->segment = a->dropped = journal_reader_segment(a->reader);
	a->replay_until = journal_synced(config->journal);
	return resume_all(a, a->at, err);
}

/* It may take up more than once, so it has its own. */
static int
keep_dirs(struct archiver *a, const struct archiver_config *config, struct hw_err *err)
{
	const char *const dirs[3] = {
		config->journal_dir, config->recordings_dir, config->ledger_dir};

	for (int i = 0; i < 3; i++)
		if ((a->dirs[i] = strdup(dirs[i])) == NULL)
			return hw_err_set(err, HW_ENOMEM, "no memory for the archiver");
	a->config.journal_dir = a->dirs[0];
	a->config.recordings_dir = a->dirs[1];
	a->config.ledger_dir = a->dirs[2];
	return 0;
}

static int
begin(struct archiver *a, const struct archiver_config *config, struct hw_err *err)
{
	int r;

	if ((r = keep_dirs(a, config, err)) < 0 ||
		(config->masks_file != NULL &&
			(r = masks_load(&a->env.masks, config->masks_file, err)) < 0) ||
		(config->auditors_file != NULL &&
			(r = load_auditors(&a->env, config->auditors_file, err)) < 0) ||
		(r = archiver_take_up(a, err)) < 0)
		return r;
	return config->threaded ? archiver_start(a, err) : 0;
}

int
archiver_new(struct archiver **ret, const struct archiver_config *config, struct hw_err *err)
{
	pthread_condattr_t monotonic;

	struct archiver *a = calloc(1, sizeof(*a));
	if (a == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for the archiver");
	a->config = *config;
	a->env.store.dir = -1;
	a->ledger_waiting = UINT64_MAX;
	if (config->relay != NULL)
		snprintf(a->env.relay, sizeof(a->env.relay), "%s", config->relay);
	if (config->log != NULL)
		a->log = *config->log;
	pthread_mutex_init(&a->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&a->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	int r = begin(a, config, err);
	if (r < 0)
		archiver_destroy(a);
	else
		*ret = a;
	return r;
}

void
archiver_destroy(struct archiver *a)
{
	drop_all(a);
	masks_free(a->env.masks);
	for (int i = 0; i < 3; i++)
		free(a->dirs[i]);
	pthread_cond_destroy(&a->wake);
	pthread_mutex_destroy(&a->lock);
	free(a);
}
