#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "audit/bytes.h"
#include "proto/base/enc.h"
#include "proto/base/file.h"
#include "relay/core/pack_private.h"

struct pack_in {
	int fd;
	struct buf box, locked;
	struct secret_stream *key;
	struct pack_bound bound;
	uint64_t pieces;
	bool last; /* the piece that is held is the last one */
	EVP_MD_CTX *hash;
	struct buf seen; /* lines of the files that came: what the list must say */
	char *about;
	char name[PACK_NAME_MAX + 1];
	uint64_t size; /* of the file whose turn it is; its bytes have not been taken */
	bool open;
	size_t at, n; /* of the piece: taken, and all */
	uint8_t piece[PACK_PIECE], sealed[PACK_PIECE + SECRET_TAG_LEN];
};

static int
broken(struct hw_err *err, const char *what)
{
	return hw_err_set(err, HW_ECORRUPT, "the backup is damaged: %s", what);
}

/* --- pieces ----------------------------------------------------------------------------------- */

static int
read_exactly(struct pack_in *p, void *to, size_t n, struct hw_err *err)
{
	int r = fd_read_all(p->fd, to, n, err);

	return r == HW_ECORRUPT ? broken(err, "it ends too early") : r;
}

static int
next_piece(struct pack_in *p, struct hw_err *err)
{
	uint8_t head[4];
	int r;

	if (p->last)
		return broken(err, "it ends within what it should hold");
	if ((r = read_exactly(p, head, sizeof(head), err)) < 0)
		return r;
	uint32_t n = get_le32(head) & ~PACK_LAST;
	p->bound.last = (get_le32(head) & PACK_LAST) != 0;
	if (n < SECRET_TAG_LEN || n > sizeof(p->sealed))
		return broken(err, "a piece has no length that it can have");
	if ((r = read_exactly(p, p->sealed, n, err)) < 0)
		return r;
	if (secret_stream_open(p->key, p->pieces++, &p->bound, sizeof(p->bound), p->piece,
		    p->sealed, n) < 0)
		return broken(err, "a piece does not open");
	p->last = p->bound.last;
	p->n = n - SECRET_TAG_LEN;
	p->at = 0;
	return 0;
}

/* What there is of the next bytes, at most `most`: never nothing. */
static int
take_some(const uint8_t **bytes, size_t *n, struct pack_in *p, uint64_t most, struct hw_err *err)
{
	int r;

	while (p->at == p->n)
		if ((r = next_piece(p, err)) < 0)
			return r;
	*n = p->n - p->at < most ? p->n - p->at : (size_t)most;
	*bytes = p->piece + p->at;
	p->at += *n;
	return 0;
}

static int
take(struct pack_in *p, void *to, size_t n, struct hw_err *err)
{
	uint8_t *out = to;
	const uint8_t *bytes;
	size_t some;
	int r;

	for (; n > 0; n -= some, out += some) {
		if ((r = take_some(&bytes, &some, p, n, err)) < 0)
			return r;
		memcpy(out, bytes, some);
	}
	return 0;
}

/* --- the head --------------------------------------------------------------------------------- */

static int
read_part(struct buf *part, struct buf *head, struct pack_in *p, size_t most, struct hw_err *err)
{
	uint8_t length[4];
	int r = read_exactly(p, length, sizeof(length), err);

	if (r < 0)
		return r;
	size_t n = get_le32(length);
	if (n > most)
		return broken(err, "its head has no length that it can have");
	uint8_t *room = buf_reserve(part, n + 1);
	if (room == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for a backup");
	if ((r = read_exactly(p, room, n, err)) < 0)
		return r;
	buf_commit(part, n);
	buf_append(head, length, sizeof(length));
	buf_append(head, buf_data(part), n);
	return 0;
}

static int
read_head(struct pack_in *p, struct hw_err *err)
{
	char magic[PACK_MAGIC_LEN];
	struct buf head;
	int r;

	if ((r = fd_read_all(p->fd, magic, sizeof(magic), err)) < 0 ||
		memcmp(magic, PACK_MAGIC, PACK_MAGIC_SAME) != 0)
		return r < 0 && r != HW_ECORRUPT
			? r
			: hw_err_set(err, HW_ECORRUPT, "this is no backup");
	if (memcmp(magic, PACK_MAGIC, sizeof(magic)) != 0)
		return hw_err_set(err, HW_EVERSION,
			"the backup is of a format that this program does not know: restore it with the "
			"version that made it, or a later one");
	buf_init(&head, 64 * 1024);
	buf_append(&head, magic, sizeof(magic));
	if ((r = read_part(&p->box, &head, p, PACK_BOX_MAX, err)) == 0 &&
		(r = read_part(&p->locked, &head, p, PACK_LOCKED_MAX, err)) == 0)
		sha256(p->bound.head, buf_data(&head), head.len);
	buf_fini(&head);
	return r;
}

int
pack_in_open(struct pack_in **ret, int fd, struct hw_err *err)
{
	struct pack_in *p = calloc(1, sizeof(*p));

	if (p == NULL || (p->hash = EVP_MD_CTX_new()) == NULL) {
		free(p);
		return hw_err_set(err, HW_ENOMEM, "no memory for a backup");
	}
	p->fd = fd;
	buf_init(&p->box, PACK_BOX_MAX + 1);
	buf_init(&p->locked, PACK_LOCKED_MAX + 1);
	buf_init(&p->seen, PACK_LIST_MAX);
	int r = read_head(p, err);
	if (r < 0) {
		pack_in_close(p);
		return r;
	}
	*ret = p;
	return 0;
}

void
pack_in_close(struct pack_in *p)
{
	if (p == NULL)
		return;
	secret_stream_free(p->key);
	EVP_MD_CTX_free(p->hash);
	buf_fini(&p->box);
	buf_fini(&p->locked);
	buf_fini(&p->seen);
	free(p->about);
	OPENSSL_cleanse(p->piece, sizeof(p->piece));
	free(p);
}

int
pack_in_unlock(struct pack_in *p, const struct auditor_key *key, struct hw_err *err)
{
	struct secret_key own;
	struct buf plain;

	buf_init(&plain, SECRET_KEY_LEN);
	int r = box_open(&plain, key->priv, PACK_AAD, buf_data(&p->box), p->box.len);
	if (r == HW_EDENIED)
		hw_err_set(err, r, "the backup is sealed to another key");
	else if (r < 0 || plain.len != SECRET_KEY_LEN)
		r = broken(err, "its own key does not open");
	if (r == 0) {
		memcpy(own.bytes, buf_data(&plain), SECRET_KEY_LEN);
		p->key = secret_stream_new(&own);
		secret_key_wipe(&own);
		if (p->key == NULL)
			r = hw_err_set(err, HW_ENOMEM, "no memory for a backup");
	}
	buf_wipe(&plain);
	buf_fini(&plain);
	return r;
}

int
pack_in_unlock_with(struct pack_in *p, const char *passphrase, struct hw_err *err)
{
	struct auditor_key own;
	int r;

	if (p->locked.len == 0)
		return hw_err_set(err, HW_EDENIED,
			"the backup has no passphrase: it is sealed to a key, which --key names");
	const char *text = buf_str(&p->locked);
	if (text == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for a backup");
	if (strlen(text) != p->locked.len || auditor_key_parse(&own, text, NULL) < 0)
		return broken(err, "what its passphrase opens is no key");
	if ((r = auditor_key_unlock(&own, passphrase, err)) == HW_EDENIED)
		hw_err_set(err, r, "that is not the backup's passphrase");
	else if (r == 0)
		r = pack_in_unlock(p, &own, err);
	auditor_key_wipe(&own);
	return r;
}

/* --- files ------------------------------------------------------------------------------------ */

bool
pack_name_valid(const char *name)
{
	for (const char *at = name;; at++) {
		size_t n = strcspn(at, "/");
		if (n == 0 || (n == 1 && at[0] == '.') || (n == 2 && at[0] == '.' && at[1] == '.'))
			return false;
		for (size_t i = 0; i < n; i++)
			if ((unsigned char)at[i] <= ' ' || (unsigned char)at[i] >= 0x7f)
				return false;
		at += n;
		if (*at == '\0')
			return true;
	}
}

static int
take_name(struct pack_in *p, struct hw_err *err)
{
	uint8_t length[4], size[8];
	int r;

	if ((r = take(p, length, sizeof(length), err)) < 0)
		return r;
	size_t n = get_le32(length);
	if (n == 0 || n > PACK_NAME_MAX)
		return broken(err, "a file's name has no length that it can have");
	if ((r = take(p, p->name, n, err)) < 0 || (r = take(p, size, sizeof(size), err)) < 0)
		return r;
	p->name[n] = '\0';
	if (strlen(p->name) != n || !pack_name_valid(p->name))
		return broken(err, "a file has a name that no file of a relay has");
	p->size = get_le64(size);
	p->open = true;
	return 1;
}

/* The last piece may have nothing in it: those before were full to the brim. */
static int
take_end(struct pack_in *p, struct hw_err *err)
{
	int r = 0;

	while (r == 0 && !p->last && p->at == p->n)
		r = next_piece(p, err);
	return r < 0 || p->at == p->n ? r : broken(err, "its list is not the end of it");
}

/* The list says the same as what came, or somebody has put the file together. */
static int
take_list(struct pack_in *p, struct hw_err *err)
{
	uint8_t length[4];
	int r;

	if ((r = take(p, length, sizeof(length), err)) < 0)
		return r;
	size_t n = get_le32(length);
	if (n > PACK_LIST_MAX || n < p->seen.len)
		return broken(err, "its list has no length that it can have");
	char *text = malloc(n + 1);
	if (text == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for the backup's list");
	r = take(p, text, n, err);
	size_t head = n - p->seen.len;
	if (r == 0 && p->seen.len > 0 && memcmp(text + head, buf_data(&p->seen), p->seen.len) != 0)
		r = broken(err, "its list is not of what it holds");
	if (r == 0)
		r = take_end(p, err);
	if (r < 0) {
		free(text);
		return r;
	}
	text[head] = '\0';
	p->about = text;
	return 0;
}

int
pack_in_next(struct pack_in *p, const char **name, uint64_t *size, struct hw_err *err)
{
	uint8_t kind;
	int r;

	hw_assert(p->key != NULL && !p->open);
	if ((r = take(p, &kind, 1, err)) < 0)
		return r;
	if (kind == 'M')
		return take_list(p, err);
	if (kind != 'F')
		return broken(err, "it holds something that is no file");
	if ((r = take_name(p, err)) < 0)
		return r;
	*name = p->name;
	*size = p->size;
	return 1;
}

int
pack_in_copy(struct pack_in *p, int to, void (*step)(void *arg, uint64_t bytes), void *arg,
	struct hw_err *err)
{
	uint8_t want[SHA256_LEN], hash[SHA256_LEN];
	char text[2 * SHA256_LEN + 1];
	const uint8_t *bytes;
	int r = 0;
	size_t n;

	hw_assert(p->open);
	p->open = false;
	if (EVP_DigestInit_ex(p->hash, EVP_sha256(), NULL) != 1)
		return hw_err_set(err, HW_ENOMEM, "no memory for a hash");
	for (uint64_t left = p->size; r == 0 && left > 0; left -= n) {
		if ((r = take_some(&bytes, &n, p, left, err)) < 0)
			return r;
		EVP_DigestUpdate(p->hash, bytes, n);
		if (to >= 0)
			r = fd_write_all(to, bytes, n, err);
		if (step != NULL)
			step(arg, n);
	}
	EVP_DigestFinal_ex(p->hash, hash, NULL);
	if (r < 0 || (r = take(p, want, sizeof(want), err)) < 0)
		return r;
	if (memcmp(want, hash, sizeof(hash)) != 0)
		return broken(err, "a file is not the one that was written");
	hex_encode(text, hash, sizeof(hash));
	if (buf_printf(&p->seen, "file %s %" PRIu64 " %s\n", text, p->size, p->name) < 0)
		return hw_err_set(err, HW_ENOMEM, "no memory for the backup's list");
	return 0;
}

const char *
pack_in_about(const struct pack_in *p)
{
	return p->about;
}
