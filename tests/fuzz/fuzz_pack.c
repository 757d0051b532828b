/*
 * A backup's file, as restore reads it: the bytes as the file itself, and as what its pieces hold,
 * sealed for the reader, so that what lies behind the seal is reached. The first byte says which,
 * and how long the pieces are.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "audit/bytes.h"
#include "proto/base/file.h"
#include "relay/core/pack_private.h"
#include "relay/core/restore.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct bench {
	struct auditor_key key;
	struct secret_key own; /* the file's */
	struct secret_stream *stream;
	struct buf head;
};

/* The head of an empty backup, and the key in it. */
static void
bench_init(struct bench *b)
{
	struct box_readers to = {.n = 1};
	struct buf box;

	*b = (struct bench){.key = {.priv = {1, 2, 3}}};
	hw_assert(box_public(b->key.pub, b->key.priv) == 0);
	memcpy(to.keys[0], b->key.pub, BOX_KEY_LEN);
	memset(b->own.bytes, 7, sizeof(b->own.bytes));
	b->stream = secret_stream_new(&b->own);
	buf_init(&box, PACK_BOX_MAX);
	hw_assert(b->stream != NULL &&
		box_seal(&box, &to, PACK_AAD, b->own.bytes, sizeof(b->own.bytes)) == 0);
	buf_init(&b->head, 64 * 1024);
	uint8_t length[4];
	put_le32(length, (uint32_t)box.len);
	buf_append(&b->head, PACK_MAGIC, PACK_MAGIC_LEN);
	buf_append(&b->head, length, sizeof(length));
	buf_append(&b->head, buf_data(&box), box.len);
	memset(length, 0, sizeof(length));
	buf_append(&b->head, length, sizeof(length));
	buf_fini(&box);
}

static void
put(int fd, const void *bytes, size_t n)
{
	hw_assert(fd_write_all(fd, bytes, n, NULL) == 0);
}

static void
put_pieces(struct bench *b, int fd, const uint8_t *data, size_t size, size_t piece)
{
	static uint8_t sealed[4 + PACK_PIECE + SECRET_TAG_LEN];
	struct pack_bound bound = {.last = 0};
	uint64_t pieces = 0;

	sha256(bound.head, buf_data(&b->head), b->head.len);
	put(fd, buf_data(&b->head), b->head.len);
	do {
		size_t n = size < piece ? size : piece;
		bound.last = n == size;
		put_le32(sealed, (uint32_t)(n + SECRET_TAG_LEN) | (bound.last ? PACK_LAST : 0));
		hw_assert(secret_stream_seal(b->stream, pieces++, &bound, sizeof(bound), sealed + 4,
				  data, n) == 0);
		put(fd, sealed, 4 + n + SECRET_TAG_LEN);
		data += n;
		size -= n;
	} while (size > 0);
}

static void
read_pack(const struct bench *b, int fd)
{
	struct restore done;
	struct pack_in *in;

	hw_assert(lseek(fd, 0, SEEK_SET) == 0);
	if (pack_in_open(&in, fd, NULL) < 0)
		return;
	if (pack_in_unlock(in, &b->key, NULL) == 0 &&
		restore_check(&done, in, NULL, NULL, NULL) == 0)
		hw_assert(done.files > 0 && pack_in_about(in) != NULL);
	pack_in_close(in);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bench b;
	int fd;

	if (size == 0)
		return 0;
	fd = memfd_create("pack", MFD_CLOEXEC);
	hw_assert(fd >= 0);
	bench_init(&b);
	if (data[0] == 0)
		put(fd, data + 1, size - 1);
	else
		put_pieces(&b, fd, data + 1, size - 1, 16 * (size_t)data[0]);
	read_pack(&b, fd);
	secret_stream_free(b.stream);
	buf_fini(&b.head);
	close(fd);
	return 0;
}
