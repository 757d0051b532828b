#include "relay/core/packed.h"

#include <string.h>

#include "proto/base/arena.h"
#include "proto/base/enc.h"
#include "proto/trust/secret.h"
#include "proto/wire/codec.h"

#define PACK_MAX (1024 * 1024)

static int
seal(struct buf *out, const struct secret_key *master, const char *purpose, const struct buf *plain)
{
	struct secret_key key;

	secret_key_derive(&key, master, "commands");
	int r = secret_seal(out, &key, purpose, buf_data(plain), plain->len);
	secret_key_wipe(&key);
	return r;
}

static int
open_sealed(struct buf *out, const struct secret_key *master, const char *purpose, const void *p,
	size_t n)
{
	struct secret_key key;

	secret_key_derive(&key, master, "commands");
	int r = secret_open(out, &key, purpose, p, n);
	secret_key_wipe(&key);
	return r;
}

int
packed_write(const char **ret, struct arena *arena, const struct secret_key *master,
	const struct msg_row *row, const void *msg, const char *sealed, struct hw_err *err)
{
	struct buf plain, cipher;
	const struct buf *bytes = sealed != NULL ? &cipher : &plain;
	char *text = NULL;

	buf_init(&plain, PACK_MAX);
	buf_init(&cipher, PACK_MAX);
	int r = msg_encode(&plain, row, msg, err);
	if (r == 0 && sealed != NULL && (r = seal(&cipher, master, sealed, &plain)) < 0)
		hw_err_set(err, r, "%s cannot be sealed", row->wire);
	if (r == 0 && (text = arena_alloc(arena, BASE64_LEN(bytes->len) + 1)) == NULL)
		r = hw_err_set(err, HW_ENOMEM, "no memory for %s", row->wire);
	if (r == 0) {
		base64_encode(text, buf_data(bytes), bytes->len);
		*ret = text;
	}
	buf_wipe(&plain);
	buf_fini(&plain);
	buf_fini(&cipher);
	return r;
}

struct reading {
	struct arena *arena;
	const struct secret_key *master;
	const struct msg_row *row;
	const char *sealed;
	struct hw_err *err;
};

static int
decode(void **ret, const struct reading *w, const uint8_t *p, size_t n)
{
	struct buf plain;
	int r = 0;

	buf_init(&plain, PACK_MAX);
	if (w->sealed != NULL)
		r = open_sealed(&plain, w->master, w->sealed, p, n);
	else
		r = buf_append(&plain, p, n);
	if (r == 0)
		r = msg_decode(ret, w->arena, w->row, buf_data(&plain), plain.len, w->err);
	buf_wipe(&plain);
	buf_fini(&plain);
	return r;
}

int
packed_read(void **ret, struct arena *arena, const struct secret_key *master,
	const struct msg_row *row, const char *text, const char *sealed, struct hw_err *err)
{
	const struct reading w = {arena, master, row, sealed, err};
	size_t len = strlen(text), n = 0;

	if (len == 0) {
		*ret = arena_alloc(arena, row->size);
		return *ret != NULL ? 0 : hw_err_set(err, HW_ENOMEM, "no memory for %s", row->wire);
	}
	uint8_t *bytes = arena_alloc(arena, len);
	if (bytes == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for %s", row->wire);
	if (base64_decode(bytes, &n, text, len) < 0 || decode(ret, &w, bytes, n) < 0)
		return hw_err_set(err, HW_ECORRUPT, "the store's %s cannot be read", row->wire);
	return 0;
}
