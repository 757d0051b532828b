#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "audit/bytes.h"
#include "proto/base/enc.h"
#include "proto/base/file.h"
#include "relay/core/pack_private.h"

struct pack_out {
	int fd;
	struct secret_stream *key;
	struct pack_bound bound;
	uint64_t pieces;
	EVP_MD_CTX *hash;
	struct buf list;
	size_t n; /* bytes in `piece` */
	uint8_t piece[PACK_PIECE], sealed[4 + PACK_PIECE + SECRET_TAG_LEN];
};

static int
send_piece(struct pack_out *p, bool last, struct hw_err *err)
{
	uint32_t n = (uint32_t)(p->n + SECRET_TAG_LEN);

	p->bound.last = last;
	put_le32(p->sealed, n | (last ? PACK_LAST : 0));
	if (secret_stream_seal(p->key, p->pieces++, &p->bound, sizeof(p->bound), p->sealed + 4,
		    p->piece, p->n) < 0)
		return hw_err_set(err, HW_EINTERNAL, "cannot seal the backup");
	p->n = 0;
	return fd_write_all(p->fd, p->sealed, 4 + n, err);
}

static int
put(struct pack_out *p, const void *bytes, size_t n, struct hw_err *err)
{
	const uint8_t *from = bytes;
	int r = 0;

	while (r == 0 && n > 0) {
		size_t some = PACK_PIECE - p->n < n ? PACK_PIECE - p->n : n;
		memcpy(p->piece + p->n, from, some);
		p->n += some;
		from += some;
		n -= some;
		if (p->n == PACK_PIECE)
			r = send_piece(p, false, err);
	}
	return r;
}

/* --- the head --------------------------------------------------------------------------------- */

static void
put_part(struct buf *head, const struct buf *part)
{
	uint8_t n[4];

	put_le32(n, (uint32_t)part->len);
	buf_append(head, n, sizeof(n));
	buf_append(head, buf_data(part), part->len);
}

/* A passphrase opens a key that is made for this file alone. */
static int
add_passphrase(struct box_readers *to, struct buf *locked, const char *passphrase,
	struct hw_err *err)
{
	struct auditor_key own;
	int r = auditor_key_make(&own, err);

	if (r == 0 && to->n == BOX_READERS_MAX)
		r = hw_err_set(err, HW_EVALIDATION, "a backup has at most %d readers",
			BOX_READERS_MAX);
	if (r == 0 && (r = auditor_key_format(locked, &own, passphrase, err)) == 0)
		memcpy(to->keys[to->n++], own.pub, BOX_KEY_LEN);
	auditor_key_wipe(&own);
	return r;
}

static int
make_head(struct buf *head, struct pack_out *p, const struct box_readers *readers,
	const char *passphrase, struct hw_err *err)
{
	struct box_readers to = *readers;
	struct buf box, locked;
	struct secret_key key;
	int r = 0;

	buf_init(&box, PACK_BOX_MAX);
	buf_init(&locked, PACK_LOCKED_MAX);
	secret_key_random(&key);
	if (passphrase != NULL)
		r = add_passphrase(&to, &locked, passphrase, err);
	hw_assert(r < 0 || to.n > 0);
	if (r == 0 && (r = box_seal(&box, &to, PACK_AAD, key.bytes, sizeof(key.bytes))) < 0)
		hw_err_set(err, r, "a key that the backup shall be sealed to is none");
	if (r == 0) {
		buf_append(head, PACK_MAGIC, PACK_MAGIC_LEN);
		put_part(head, &box);
		put_part(head, &locked);
		p->key = secret_stream_new(&key);
		if (head->failed || p->key == NULL)
			r = hw_err_set(err, HW_ENOMEM, "no memory for a backup");
	}
	secret_key_wipe(&key);
	buf_fini(&locked);
	buf_fini(&box);
	return r;
}

int
pack_out_open(struct pack_out **ret, int fd, const struct box_readers *readers,
	const char *passphrase, struct hw_err *err)
{
	struct pack_out *p = calloc(1, sizeof(*p));
	struct buf head;
	int r;

	if (p == NULL || (p->hash = EVP_MD_CTX_new()) == NULL) {
		free(p);
		return hw_err_set(err, HW_ENOMEM, "no memory for a backup");
	}
	p->fd = fd;
	buf_init(&p->list, PACK_LIST_MAX);
	buf_init(&head, 64 * 1024);
	if ((r = make_head(&head, p, readers, passphrase, err)) == 0) {
		sha256(p->bound.head, buf_data(&head), head.len);
		r = fd_write_all(fd, buf_data(&head), head.len, err);
	}
	buf_fini(&head);
	if (r < 0) {
		pack_out_close(p);
		return r;
	}
	*ret = p;
	return 0;
}

void
pack_out_close(struct pack_out *p)
{
	if (p == NULL)
		return;
	secret_stream_free(p->key);
	EVP_MD_CTX_free(p->hash);
	buf_fini(&p->list);
	OPENSSL_cleanse(p->piece, sizeof(p->piece));
	free(p);
}

/* --- files ------------------------------------------------------------------------------------ */

static int
put_head(struct pack_out *p, const char *name, uint64_t size, struct hw_err *err)
{
	uint8_t head[5], length[8];
	size_t n = strlen(name);
	int r;

	if (n == 0 || n > PACK_NAME_MAX)
		return hw_err_set(err, HW_EVALIDATION, "the name %.80s... is too long", name);
	head[0] = 'F';
	put_le32(head + 1, (uint32_t)n);
	put_le64(length, size);
	if ((r = put(p, head, sizeof(head), err)) < 0 || (r = put(p, name, n, err)) < 0)
		return r;
	return put(p, length, sizeof(length), err);
}

static int
put_bytes(struct pack_out *p, const char *name, int from, uint64_t size,
	void (*step)(void *arg, uint64_t bytes), void *arg, struct hw_err *err)
{
	uint8_t chunk[PACK_PIECE];
	int r = 0;

	for (uint64_t at = 0; r == 0 && at < size;) {
		size_t want = size - at < sizeof(chunk) ? (size_t)(size - at) : sizeof(chunk);
		ssize_t n = pread(from, chunk, want, (off_t)at);
		if (n < 0)
			return hw_err_sys(err, "cannot read %s", name);
		if (n == 0)
			return hw_err_set(err, HW_ECORRUPT,
				"%s has become shorter while it was read: %" PRIu64 " of %" PRIu64
				" bytes",
				name, at, size);
		EVP_DigestUpdate(p->hash, chunk, (size_t)n);
		r = put(p, chunk, (size_t)n, err);
		at += (uint64_t)n;
		if (step != NULL)
			step(arg, (uint64_t)n);
	}
	return r;
}

int
pack_out_file(struct pack_out *p, const char *name, int from, uint64_t size,
	void (*step)(void *arg, uint64_t bytes), void *arg, struct hw_err *err)
{
	char text[2 * SHA256_LEN + 1];
	uint8_t hash[SHA256_LEN];
	int r;

	if (EVP_DigestInit_ex(p->hash, EVP_sha256(), NULL) != 1)
		return hw_err_set(err, HW_ENOMEM, "no memory for a hash");
	if ((r = put_head(p, name, size, err)) < 0 ||
		(r = put_bytes(p, name, from, size, step, arg, err)) < 0)
		return r;
	EVP_DigestFinal_ex(p->hash, hash, NULL);
	hex_encode(text, hash, sizeof(hash));
	if (buf_printf(&p->list, "file %s %" PRIu64 " %s\n", text, size, name) < 0)
		return hw_err_set(err, HW_ENOMEM, "no memory for the backup's list");
	return put(p, hash, sizeof(hash), err);
}

int
pack_out_end(struct pack_out *p, const char *about, struct hw_err *err)
{
	size_t n = strlen(about);
	uint8_t head[5];
	int r;

	head[0] = 'M';
	put_le32(head + 1, (uint32_t)(n + p->list.len));
	if ((r = put(p, head, sizeof(head), err)) < 0 || (r = put(p, about, n, err)) < 0 ||
		(r = put(p, buf_data(&p->list), p->list.len, err)) < 0)
		return r;
	return send_piece(p, true, err);
}
