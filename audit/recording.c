/* Reading a recording. */
#include "audit/recording.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zstd.h>

#include "audit/recording_mark.h"
#include "proto/base/arena.h"
#include "proto/base/file.h"
#include "proto/wire/codec.h"

struct recording {
	int fd, dir;
	char id[RECORDING_ID_MAX + 1];
	struct recording_chain chain;
	struct arena *arena;
	struct msg_recording_meta *meta;
	struct buf packed;
	uint8_t *events;
	bool live, complete;
};

/* The complete one, or the live one, which may become complete while we look. */
static int
open_file(struct recording *r, struct hw_err *err)
{
	static const bool complete[] = {true, false, true};
	char name[RECORDING_NAME_MAX + 1];

	for (size_t i = 0; i < sizeof(complete) / sizeof(complete[0]); i++) {
		recording_file_name(name, r->id, complete[i]);
		r->fd = openat(r->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		r->live = !complete[i];
		if (r->fd >= 0)
			return 0;
		if (errno != ENOENT)
			break;
	}
	return hw_err_sys(err, "cannot open the recording of %s", r->id);
}

static int
read_meta(struct recording *r, const struct secret_key *wrap, struct hw_err *err)
{
	struct recording_head head;
	struct buf meta;
	void *msg;

	buf_init(&meta, RECORDING_META_MAX);
	int code = recording_head_read(&head, &r->chain, &meta, r->fd, wrap);
	if (code == HW_ENOTFOUND && !r->live)
		code = HW_ECORRUPT;
	if (code < 0)
		hw_err_set(err, code, "recording %s: the head %s", r->id,
			code == HW_ENOTFOUND ? "is not yet there" : "does not verify");
	else if ((code = msg_decode(&msg, r->arena, MSG_ROW(recording_meta), buf_data(&meta),
			  meta.len, err)) == 0)
		r->meta = msg;
	buf_fini(&meta);
	if (code == 0 && strcmp(r->meta->session_id, r->id) != 0)
		code = hw_err_set(err, HW_ECORRUPT, "recording %s: it is another session's", r->id);
	return code;
}

int
recording_open(struct recording **ret, const char *recordings_dir, const char *session_id,
	const struct secret_key *master, struct hw_err *err)
{
	struct secret_key wrap;
	int code;

	if (!recording_id_valid(session_id))
		return hw_err_set(err, HW_EVALIDATION, "no session can have such an id");
	struct recording *r = calloc(1, sizeof(*r));
	if (r == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for a recording");
	r->fd = r->dir = -1;
	strcpy(r->id, session_id);
	buf_init(&r->packed, 2 * RECORDING_BLOCK_MAX);
	r->arena = arena_new(2 * RECORDING_META_MAX);
	r->events = malloc(RECORDING_BLOCK_MAX);
	secret_key_derive(&wrap, master, "hawser recordings");
	if (r->arena == NULL || r->events == NULL)
		code = hw_err_set(err, HW_ENOMEM, "no memory for a recording");
	else if ((code = dir_open(&r->dir, recordings_dir, false, err)) == 0 &&
		(code = open_file(r, err)) == 0)
		code = read_meta(r, &wrap, err);
	secret_key_wipe(&wrap);
	if (code < 0)
		recording_close(r);
	else
		*ret = r;
	return code;
}

void
recording_close(struct recording *r)
{
	if (r == NULL)
		return;
	fd_close(r->fd);
	fd_close(r->dir);
	secret_key_wipe(&r->chain.key);
	buf_fini(&r->packed);
	arena_free(r->arena);
	free(r->events);
	free(r);
}

const struct msg_recording_meta *
recording_meta(const struct recording *r)
{
	return r->meta;
}

bool
recording_is_live(const struct recording *r)
{
	return r->live;
}

void
recording_skip(struct recording *r, struct reached_streams *at)
{
	struct recording_mark mark;
	struct stat st;

	if (fstat(r->fd, &st) < 0 ||
		!recording_mark_read(&mark, r->dir, r->id, &r->chain.key, (uint64_t)st.st_size))
		return;
	recording_chain_go_to(&r->chain, &mark);
	*at = mark.streams;
}

int
recording_next(struct recording *r, const uint8_t **p, size_t *n, struct hw_err *err)
{
	struct recording_block block;
	uint64_t index = r->chain.blocks;

	if (r->complete)
		return 0;
	buf_reset(&r->packed);
	int code = recording_block_read(&block, &r->chain, &r->packed, r->fd);
	if (code == 0)
		return 0;
	if (code == 1 &&
		ZSTD_decompress(r->events, RECORDING_BLOCK_MAX, buf_data(&r->packed),
			r->packed.len) != block.raw_len)
		code = HW_ECORRUPT;
	if (code < 0)
		return hw_err_set(err, code, "recording %s: block %" PRIu64 " does not verify",
			r->id, index);
	r->complete = (block.flags & BLOCK_LAST) != 0;
	*p = r->events;
	*n = block.raw_len;
	return 1;
}

bool
recording_complete(const struct recording *r)
{
	return r->complete;
}

void
recording_hash(const struct recording *r, uint8_t out[SHA256_LEN])
{
	memcpy(out, r->chain.hash, SHA256_LEN);
}
