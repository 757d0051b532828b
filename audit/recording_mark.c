#include "audit/recording_mark.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "audit/bytes.h"
#include "proto/base/file.h"

#define AAD	 "hawser recording mark 1"
#define NUMBERS	 (8 + STREAMS)
#define MARK_LEN (SHA256_LEN + 8 * NUMBERS)
#define NAME_LEN (RECORDING_ID_MAX + 10)

static void
pack(uint8_t out[MARK_LEN], const struct recording_mark *m)
{
	const struct reached_streams *s = &m->streams;
	const uint64_t numbers[] = {m->blocks, m->at, m->covered,
		(uint64_t)s->author << 32 | s->authors, s->author_from, s->author_base,
		(uint64_t)(uint32_t)s->cols << 32 | (uint32_t)s->rows, s->known};
	uint8_t *p = out + SHA256_LEN;

	memcpy(out, m->hash, SHA256_LEN);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++, p += 8)
		put_le64(p, numbers[i]);
	for (int i = 0; i < STREAMS; i++, p += 8)
		put_le64(p, s->offset[i]);
}

static void
unpack(struct recording_mark *m, const uint8_t in[MARK_LEN])
{
	struct reached_streams *s = &m->streams;
	uint64_t n[NUMBERS];

	memcpy(m->hash, in, SHA256_LEN);
	for (size_t i = 0; i < NUMBERS; i++)
		n[i] = get_le64(in + SHA256_LEN + 8 * i);
	m->blocks = n[0];
	m->at = n[1];
	m->covered = n[2];
	*s = (struct reached_streams){.author = (uint32_t)(n[3] >> 32),
		.authors = (uint32_t)n[3],
		.author_from = n[4],
		.author_base = n[5],
		.cols = (int)(n[6] >> 32),
		.rows = (int)(uint32_t)n[6],
		.known = n[7] != 0};
	memcpy(s->offset, n + 8, sizeof(s->offset));
}

static void
mark_name(char out[NAME_LEN], const char *id, bool unfinished)
{
	snprintf(out, NAME_LEN, "%s.mark%s", id, unfinished ? "~" : "");
}

static int
replace(int dir, const char *id, const struct buf *sealed, struct hw_err *err)
{
	char name[NAME_LEN], made[NAME_LEN];

	mark_name(name, id, false);
	mark_name(made, id, true);
	int fd = openat(dir, made, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return hw_err_sys(err, "cannot make %s", made);
	ssize_t n = write(fd, buf_data(sealed), sealed->len);
	fd_close(fd);
	if (n != (ssize_t)sealed->len || renameat(dir, made, dir, name) < 0)
		return hw_err_sys(err, "cannot write %s", name);
	return 0;
}

int
recording_mark_write(int dir, const char *id, const struct secret_key *key,
	const struct recording_mark *mark, struct hw_err *err)
{
	uint8_t plain[MARK_LEN];
	struct buf sealed;

	pack(plain, mark);
	buf_init(&sealed, RECORDING_SEALED(MARK_LEN));
	int r = secret_seal(&sealed, key, AAD, plain, sizeof(plain));
	r = r < 0 ? hw_err_set(err, r, "cannot seal the mark of %s", id)
		  : replace(dir, id, &sealed, err);
	buf_fini(&sealed);
	return r;
}

bool
recording_mark_read(struct recording_mark *ret, int dir, const char *id,
	const struct secret_key *key, uint64_t size)
{
	uint8_t sealed[RECORDING_SEALED(MARK_LEN)];
	char name[NAME_LEN];
	struct buf plain;

	mark_name(name, id, false);
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return false;
	ssize_t n = read(fd, sealed, sizeof(sealed));
	fd_close(fd);
	buf_init(&plain, MARK_LEN);
	bool good = n == (ssize_t)sizeof(sealed) &&
		secret_open(&plain, key, AAD, sealed, sizeof(sealed)) == 0 && plain.len == MARK_LEN;
	if (good)
		unpack(ret, buf_data(&plain));
	buf_fini(&plain);
	return good && ret->at <= size;
}

void
recording_chain_go_to(struct recording_chain *chain, const struct recording_mark *mark)
{
	memcpy(chain->hash, mark->hash, SHA256_LEN);
	chain->blocks = mark->blocks;
	chain->at = mark->at;
}

void
recording_mark_remove(int dir, const char *id)
{
	char name[NAME_LEN];

	mark_name(name, id, false);
	unlinkat(dir, name, 0);
	mark_name(name, id, true);
	unlinkat(dir, name, 0);
}
