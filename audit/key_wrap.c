#include "audit/key_wrap.h"

#include <string.h>

int
key_wrap(uint8_t out[KEY_WRAP_LEN], const struct secret_key *key, const char *aad,
	const struct secret_key *wrap)
{
	struct buf b;

	buf_init(&b, KEY_WRAP_LEN);
	int r = secret_seal(&b, wrap, aad, key->bytes, SECRET_KEY_LEN);
	if (r == 0 && b.len == KEY_WRAP_LEN)
		memcpy(out, b.mem, KEY_WRAP_LEN);
	buf_fini(&b);
	return r;
}

int
key_unwrap(struct secret_key *key, const uint8_t in[KEY_WRAP_LEN], const char *aad,
	const struct secret_key *wrap)
{
	struct buf b;

	buf_init(&b, SECRET_KEY_LEN);
	int r = secret_open(&b, wrap, aad, in, KEY_WRAP_LEN);
	if (r == 0 && b.len == SECRET_KEY_LEN)
		memcpy(key->bytes, b.mem, SECRET_KEY_LEN);
	buf_wipe(&b);
	buf_fini(&b);
	return r;
}
