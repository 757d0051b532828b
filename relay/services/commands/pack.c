#include "relay/services/commands/pack.h"

#include <string.h>

#include "proto/base/enc.h"
#include "proto/trust/secret.h"
#include "proto/wire/codec.h"
#include "relay/core/op.h"

#define PACK_MAX (1024 * 1024)

static int
seal(struct buf *out, const struct op *op, const char *purpose, const struct buf *plain)
{
	struct secret_key key;

	secret_key_derive(&key, op->env->master, "commands");
	int r = secret_seal(out, &key, purpose, buf_data(plain), plain->len);
	secret_key_wipe(&key);
	return r;
}

static int
open_sealed(struct buf *out, const struct op *op, const char *purpose, const void *p, size_t n)
{
	struct secret_key key;

	secret_key_derive(&key, op->env->master, "commands");
	int r = secret_open(out, &key, purpose, p, n);
	secret_key_wipe(&key);
	return r;
}

int
pack(const char **ret, struct op *op, const struct msg_row *row, const void *msg,
	const char *sealed)
{
	struct buf plain, cipher;
	const struct buf *bytes = sealed != NULL ? &cipher : &plain;
	char *text = NULL;

	buf_init(&plain, PACK_MAX);
	buf_init(&cipher, PACK_MAX);
	int r = msg_encode(&plain, row, msg, &op->err);
	if (r == 0 && sealed != NULL && (r = seal(&cipher, op, sealed, &plain)) < 0)
		op_fail(op, r, "%s cannot be sealed", row->wire);
	if (r == 0 && (text = arena_alloc(op->arena, BASE64_LEN(bytes->len) + 1)) == NULL)
		r = op_fail(op, HW_ENOMEM, "no memory for %s", row->wire);
	if (r == 0) {
		base64_encode(text, buf_data(bytes), bytes->len);
		*ret = text;
	}
	buf_wipe(&plain);
	buf_fini(&plain);
	buf_fini(&cipher);
	return r;
}

static int
decode(void **ret, struct op *op, const struct msg_row *row, const uint8_t *p, size_t n,
	const char *sealed)
{
	struct buf plain;
	int r = 0;

	buf_init(&plain, PACK_MAX);
	if (sealed != NULL)
		r = open_sealed(&plain, op, sealed, p, n);
	else
		r = buf_append(&plain, p, n);
	if (r == 0)
		r = msg_decode(ret, op->arena, row, buf_data(&plain), plain.len, &op->err);
	buf_wipe(&plain);
	buf_fini(&plain);
	return r;
}

int
unpack(void **ret, struct op *op, const struct msg_row *row, const char *text, const char *sealed)
{
	size_t len = strlen(text), n = 0;

	if (len == 0) {
		*ret = arena_alloc(op->arena, row->size);
		return *ret != NULL ? 0 : op_fail(op, HW_ENOMEM, "no memory for %s", row->wire);
	}
	uint8_t *bytes = arena_alloc(op->arena, len);
	if (bytes == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for %s", row->wire);
	if (base64_decode(bytes, &n, text, len) < 0 || decode(ret, op, row, bytes, n, sealed) < 0)
		return op_fail(op, HW_ECORRUPT, "the store's %s cannot be read", row->wire);
	return 0;
}
