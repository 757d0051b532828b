#include "tests/unit/audit/vault.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/head_file.h"
#include "audit/ledger_epochs.h"
#include "audit/ledger_keys.h"
#include "proto/base/file.h"
#include "proto/wire/codec.h"

/* --- life ------------------------------------------------------------------------------------- */

void
vault_init(struct vault *v)
{
	EVP_PKEY *key;
	uint8_t public[LOG_KEY_LEN];

	memset(v, 0, sizeof(*v));
	scratch_init(&v->s);
	cr_assert(eq(int, dir_open(&v->dir, v->s.dir, false, NULL), 0));
	cr_assert(eq(int, ca_create(&v->ca, v->dir, clock_wall(&v->s.clock.clock), NULL), 0));
	cr_assert(eq(int, key_generate_signing(&key, NULL), 0));
	cr_assert(eq(int, key_generate_signing(&v->recovery, NULL), 0));
	cr_assert(eq(int, log_key_public(public, v->recovery, NULL), 0));
	cr_assert(eq(int, key_save(key, v->dir, "ledger.key", NULL), 0));
	cr_assert(eq(int,
		ledger_epochs_begin(v->s.ledger, VAULT_ORIGIN, key, public, v->ca, 1, NULL), 0));
	key_free(key);
}

void
vault_fini(struct vault *v)
{
	key_free(v->retired);
	key_free(v->recovery);
	ca_free(v->ca);
	fd_close(v->dir);
	scratch_fini(&v->s);
}

static int
on_sealed(void *arg, const char *id, const uint8_t hash[SHA256_LEN], uint64_t size)
{
	const struct msg_ledger_entry e = {
		.session_id = id, .hash = {hash, SHA256_LEN},
		      .size = (int64_t)size
	   };

	return ledger_commit(((struct vault *)arg)->ledger, ENTRY_RECORDING_SEALED, &e);
}

static void
on_checkpoint(void *arg, const char *id, const uint8_t hash[SHA256_LEN], uint64_t size)
{
	const struct msg_ledger_entry e = {
		.session_id = id, .hash = {hash, SHA256_LEN},
		      .size = (int64_t)size
	   };

	(void)ledger_append(((struct vault *)arg)->ledger, ENTRY_RECORDING_CHECKPOINT, &e, NULL);
}

static void
on_filed(void *arg, uint64_t filed, const uint8_t chain[SHA256_LEN])
{
	ledger_heads_filed(((struct vault *)arg)->heads, filed, chain);
}

static int
open_heads(struct vault *v, struct hw_err *err)
{
	struct log_epochs epochs = {.n = 0};
	EVP_PKEY *key = NULL;
	int r;

	if ((r = ledger_epochs_load(&epochs, v->s.ledger, ca_cert(v->ca), err)) < 0)
		return r;
	if ((r = ledger_key_load(&key, v->dir, err)) < 0 ||
		(r = ledger_key_settle(&key, v->dir, log_epochs_last(&epochs), err)) < 0) {
		key_free(key);
		log_epochs_fini(&epochs);
		return r;
	}
	const struct ledger_heads_config hc = {
		.ledger_dir = v->s.ledger,
		.journal_dir = v->s.journal,
		.journal = v->journal,
		.master = &v->s.master,
		.clock = &v->s.clock.clock,
		.epochs = &epochs,
		.key = key,
		.io = v->io,
	};
	if ((r = ledger_heads_open(&v->heads, &hc, err)) < 0) {
		key_free(key);
		log_epochs_fini(&epochs);
	}
	return r;
}

int
vault_try_open(struct vault *v, struct hw_err *err)
{
	struct journal_config jc = scratch_journal(&v->s);
	int r;

	jc.io = v->io;
	jc.segment_size = v->segment_size;
	jc.reserve = v->reserve;
	v->journal = NULL;
	v->ledger = NULL;
	v->heads = NULL;
	v->archiver = NULL;
	if ((r = journal_open(&v->journal, &jc, NULL, err)) < 0 || (r = open_heads(v, err)) < 0)
		goto out;
	v->ledger = ledger_new(v->journal, "relay", &v->s.clock.clock);
	ledger_set_heads(v->ledger, v->heads);
	const struct archiver_config ac = {
		.journal_dir = v->s.journal,
		.recordings_dir = v->s.recordings,
		.ledger_dir = v->s.ledger,
		.journal = v->journal,
		.master = &v->s.master,
		.clock = &v->s.clock.clock,
		.on_sealed = on_sealed,
		.on_checkpoint = on_checkpoint,
		.on_filed = on_filed,
		.arg = v,
		.io = v->io,
		.ledger_file_size = v->ledger_file_size,
	};
	r = archiver_new(&v->archiver, &ac, err);
out:
	if (r < 0)
		vault_drop(v);
	return r;
}

void
vault_open(struct vault *v)
{
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, vault_try_open(v, &err), 0), "%s", hw_err_text(&err));
}

void
vault_drop(struct vault *v)
{
	archiver_free(v->archiver);
	ledger_free(v->ledger);
	ledger_heads_close(v->heads);
	if (v->journal != NULL)
		journal_close(v->journal);
	v->archiver = NULL;
	v->ledger = NULL;
	v->heads = NULL;
	v->journal = NULL;
}

void
vault_close(struct vault *v)
{
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, archiver_settle(v->archiver, &err), 0), "%s", hw_err_text(&err));
	cr_assert(eq(int, ledger_heads_make(v->heads, &err), 0), "%s", hw_err_text(&err));
	vault_drop(v);
}

/* --- work ------------------------------------------------------------------------------------- */

void
vault_entries(struct vault *v, unsigned n)
{
	const struct msg_ledger_entry e = {.principal = "somebody", .detail = "something"};

	for (unsigned i = 0; i < n; i++)
		v->complaints += ledger_append(v->ledger, ENTRY_ALARM, &e, NULL) < 0;
}

static void
append(struct vault *v, uint64_t session, enum journal_type type, uint64_t offset, const void *p,
	size_t n)
{
	const struct journal_record r = {
		.type = type,
		.session = session,
		.stream = type == JOURNAL_DATA ? 1 : 0,
		.offset = offset,
		.time = clock_wall(&v->s.clock.clock),
		.bytes = p,
		.len = n,
	};

	(void)journal_append(v->journal, &r, NULL);
}

void
vault_output(struct vault *v, uint64_t session, uint64_t offset, size_t n)
{
	uint32_t x = (uint32_t)(session + offset) * 2654435761u + 1;
	uint8_t chunk[8192];

	for (size_t done = 0, some; done < n; done += some) {
		some = n - done < sizeof(chunk) ? n - done : sizeof(chunk);
		for (size_t i = 0; i < some; i++) /* nothing that zstd makes much smaller */
			chunk[i] = (uint8_t)((x = x * 1664525 + 1013904223) >> 24);
		append(v, session, JOURNAL_DATA, offset + done, chunk, some);
	}
}

void
vault_end(struct vault *v, uint64_t session)
{
	const struct msg_close close = {.code = "", .message = "done"};
	struct buf b;

	buf_init(&b, 65536);
	cr_assert(eq(int, msg_encode(&b, MSG_ROW(close), &close, NULL), 0));
	append(v, session, JOURNAL_SESSION_END, 0, buf_data(&b), b.len);
	buf_fini(&b);
}

void
vault_session(struct vault *v, uint64_t session, const char *id, size_t output, bool ends)
{
	const struct msg_recording_meta meta = {.session_id = id,
		.type = CHANNEL_TYPE_PTY,
		.target = "mi-1",
		.start = clock_wall(&v->s.clock.clock),
		.cols = 80,
		.rows = 24};
	struct buf b;

	buf_init(&b, 65536);
	cr_assert(eq(int, msg_encode(&b, MSG_ROW(recording_meta), &meta, NULL), 0));
	append(v, session, JOURNAL_SESSION_START, 0, buf_data(&b), b.len);
	buf_fini(&b);
	vault_output(v, session, 0, output);
	if (ends)
		vault_end(v, session);
}

void
vault_delete(struct vault *v, const char *id)
{
	const struct msg_ledger_entry e = {.session_id = id, .reason = "age"};
	char name[128];

	cr_assert(eq(int, ledger_commit(v->ledger, ENTRY_RECORDING_DELETED, &e), 0));
	snprintf(name, sizeof(name), "recordings/%s.rec", id);
	cr_assert(eq(int, unlinkat(v->dir, name, 0), 0));
}

void
vault_work(struct vault *v)
{
	struct hw_err err = HW_ERR_INIT;

	fake_clock_advance(&v->s.clock, 2 * USEC_PER_SEC);
	v->complaints += journal_write(v->journal) < 0;
	journal_sync(v->journal);
	v->complaints += journal_failed(v->journal) || journal_low(v->journal);
	v->complaints += archiver_run(v->archiver, &err) < 0;
	v->complaints += ledger_heads_make(v->heads, &err) < 0;
}

struct log_head
vault_head(struct vault *v)
{
	struct log_head head = {.size = 0};

	(void)ledger_heads_latest(v->heads, &head);
	return head;
}

static void
begin_epoch(struct vault *v, enum log_by by, EVP_PKEY *signer)
{
	struct log_epoch next = {.by = by, .has_recovery = true, .time = 2};
	struct log_epochs epochs;
	struct head_file *heads;
	EVP_PKEY *fresh;

	cr_assert(eq(int, ledger_epochs_load(&epochs, v->s.ledger, ca_cert(v->ca), NULL), 0));
	cr_assert(eq(int, key_generate_signing(&fresh, NULL), 0));
	cr_assert(eq(int, log_key_public(next.key, fresh, NULL), 0));
	memcpy(next.recovery, log_epochs_last(&epochs)->recovery, LOG_KEY_LEN);
	cr_assert(eq(int, head_file_open(&heads, v->s.ledger, NULL, NULL), 0));
	next.size = head_file_last(heads)->size;
	memcpy(next.root, head_file_last(heads)->root, MERKLE_LEN);
	head_file_close(heads);
	cr_assert(eq(int, key_save(fresh, v->dir, LEDGER_KEY_NEXT_FILE, NULL), 0));
	cr_assert(eq(int, ledger_epochs_add(v->s.ledger, &epochs, &next, signer, NULL), 0));
	cr_assert(eq(int, renameat(v->dir, LEDGER_KEY_NEXT_FILE, v->dir, LEDGER_KEY_FILE), 0));
	cr_assert(eq(int, fsync(v->dir), 0));
	key_free(fresh);
	log_epochs_fini(&epochs);
}

void
vault_rotate(struct vault *v)
{
	key_free(v->retired);
	cr_assert(eq(int, key_load(&v->retired, v->dir, "ledger.key", NULL), 0));
	begin_epoch(v, LOG_BY_LEDGER, v->retired);
}

void
vault_recover(struct vault *v)
{
	begin_epoch(v, LOG_BY_RECOVERY, v->recovery);
}

/* --- images ----------------------------------------------------------------------------------- */

static void
load_folder(struct image *im, const char *dir, const char *folder)
{
	char path[512];
	struct dirent *entry;

	snprintf(path, sizeof(path), "%s/%s", dir, folder);
	DIR *d = opendir(path);
	if (d == NULL)
		return;
	while ((entry = readdir(d)) != NULL) {
		const char *end = strrchr(entry->d_name, '.');
		struct buf b;
		if (entry->d_name[0] == '.' || (end != NULL && strcmp(end, ".mark") == 0) ||
			(end != NULL && strcmp(end, ".lock") == 0))
			continue;
		cr_assert(lt(sz, im->n, 64));
		struct image_file *f = &im->files[im->n++];
		snprintf(f->path, sizeof(f->path), "%s/%.100s", folder, entry->d_name);
		buf_init(&b, 256 << 20);
		cr_assert(eq(int, file_read(&b, dirfd(d), entry->d_name, NULL), 0));
		f->n = b.len;
		f->p = malloc(f->n + 1);
		f->room = f->n + 1;
		memcpy(f->p, buf_data(&b), f->n);
		buf_fini(&b);
	}
	closedir(d);
}

void
image_load(struct image *im, const char *dir)
{
	im->n = 0;
	load_folder(im, dir, "ledger");
	load_folder(im, dir, "recordings");
	load_folder(im, dir, "journal");
}

void
image_save(const struct image *im, const char *dir)
{
	static const char *const folders[] = {"ledger", "recordings", "journal"};
	int fd;

	cr_assert(eq(int, dir_open(&fd, dir, false, NULL), 0));
	for (size_t i = 0; i < 3; i++) {
		folder_drop(fd, folders[i]);
		cr_assert(eq(int, mkdirat(fd, folders[i], 0700), 0));
	}
	for (size_t i = 0; i < im->n; i++)
		cr_assert(eq(int,
			file_write(fd, im->files[i].path, im->files[i].p, im->files[i].n, 0600,
				NULL),
			0));
	fd_close(fd);
}

void
image_fini(struct image *im)
{
	for (size_t i = 0; i < im->n; i++)
		free(im->files[i].p);
	im->n = 0;
}

struct image_file *
image_find(struct image *im, const char *path)
{
	for (size_t i = 0; i < im->n; i++)
		if (strcmp(im->files[i].path, path) == 0)
			return &im->files[i];
	return NULL;
}

static int
image_open(void *arg, struct verify_file *ret, const char *path, struct hw_err *err)
{
	const struct image_file *f = image_find(arg, path);

	if (f == NULL)
		return hw_err_set(err, HW_ENOTFOUND, "no %s", path);
	*ret = (struct verify_file){.size = f->n, .mem = f->p};
	return 0;
}

static int
image_read(void *arg, const struct verify_file *f, uint64_t at, void *p, size_t n,
	struct hw_err *err)
{
	(void)arg, (void)err;
	cr_assert(le(u64, at + n, f->size));
	if (n > 0)
		memcpy(p, f->mem + at, n);
	return 0;
}

static void
image_close(void *arg, struct verify_file *f)
{
	(void)arg, (void)f;
}

static int
image_list(void *arg, const char *folder,
	int (*each)(void *ctx, const char *name, struct hw_err *err), void *ctx, struct hw_err *err)
{
	struct image *im = arg;
	size_t len = strlen(folder);
	int r = 0;

	for (size_t i = 0; r == 0 && i < im->n; i++)
		if (strncmp(im->files[i].path, folder, len) == 0 && im->files[i].path[len] == '/')
			r = each(ctx, im->files[i].path + len + 1, err);
	return r;
}

struct verify_source
image_source(struct image *im)
{
	return (struct verify_source){
		.arg = im,
		.open = image_open,
		.read = image_read,
		.close = image_close,
		.list = image_list,
	};
}
