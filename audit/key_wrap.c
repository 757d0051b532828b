#include "audit/key_wrap.h"

#include <string.h>
#include <unistd.h>

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

static int
wrap_into(int fd, off_t at, const struct secret_key *key, const char *aad,
	const struct secret_key *to, struct hw_err *err)
{
	uint8_t wrapped[KEY_WRAP_LEN];
	int r = key_wrap(wrapped, key, aad, to);

	if (r < 0)
		return hw_err_set(err, r, "cannot wrap a file's key");
	if (pwrite(fd, wrapped, sizeof(wrapped), at) != (ssize_t)sizeof(wrapped) ||
		fdatasync(fd) < 0)
		return hw_err_sys(err, "cannot write a file's key");
	return 0;
}

int
key_rewrap(int fd, off_t at, const char *aad, const struct secret_key *from,
	const struct secret_key *to, struct hw_err *err)
{
	uint8_t wrapped[KEY_WRAP_LEN];
	struct secret_key key;
	int r = 0;

	hw_assert(at + KEY_WRAP_LEN <= 512);
	if (pread(fd, wrapped, sizeof(wrapped), at) != (ssize_t)sizeof(wrapped))
		return hw_err_set(err, HW_ECORRUPT, "the file has no whole head");
	if (key_unwrap(&key, wrapped, aad, to) == 0)
		/* Before a rotation was cut off: whether it is on the disk is not known. */
		r = fdatasync(fd) < 0 ? hw_err_sys(err, "cannot sync a file's key") : 0;
	else if (key_unwrap(&key, wrapped, aad, from) == 0)
		r = wrap_into(fd, at, &key, aad, to, err);
	else
		r = hw_err_set(err, HW_ECORRUPT, "no key of ours opens it");
	secret_key_wipe(&key);
	return r;
}
