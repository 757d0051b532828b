#include "relay/core/own_key.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/buf.h"
#include "proto/base/file.h"
#include "proto/trust/cert.h"

#define KEY	  "relay.key"
#define CERT	  "relay.crt"
#define CHAIN_MAX (64 * 1024)

static int
open_next(int *ret, int dir, struct hw_err *err)
{
	int fd = openat(dir, OWN_KEY_NEXT, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return hw_err_sys(err, "cannot open %s", OWN_KEY_NEXT);
	*ret = fd;
	return 0;
}

/* Who lays a key ready and who takes one have the directory in turn: else another key may lie there
 * by the time that the certificate for the first is made, or one is dropped that nobody has taken.
 * A descriptor of its own, whose end is the lock's. */
static int
lock(int *ret, int dir, int how, struct hw_err *err)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;

	while (fd >= 0 && (r = flock(fd, how)) < 0 && errno == EINTR)
		;
	if (fd < 0 || r < 0) {
		r = errno == EWOULDBLOCK ? HW_EEXISTS
					 : hw_err_sys(err, "cannot lock the relay's directory");
		fd_close(fd);
		return r;
	}
	*ret = fd;
	return 0;
}

static int
lay_ready(int dir, struct hw_err *err)
{
	EVP_PKEY *key = NULL;
	int next = -1, r;

	if (faccessat(dir, KEY, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return hw_err_set(err, HW_ENOTFOUND,
			"there is no %s: a relay is made with hawser-relay init", KEY);
	if (mkdirat(dir, OWN_KEY_NEXT, 0700) < 0 && errno != EEXIST)
		return hw_err_sys(err, "cannot make %s", OWN_KEY_NEXT);
	if ((r = open_next(&next, dir, err)) == 0 && (r = key_generate(&key, err)) == 0 &&
		(r = key_save(key, next, KEY, err)) == 0 && fsync(dir) < 0)
		r = hw_err_sys(err, "cannot sync the relay's directory");
	key_free(key);
	fd_close(next);
	return r;
}

int
own_key_make(int dir, struct hw_err *err)
{
	int locked, r = lock(&locked, dir, LOCK_EX, err);

	if (r < 0)
		return r;
	r = lay_ready(dir, err);
	fd_close(locked);
	return r;
}

bool
own_key_waits(int dir)
{
	return faccessat(dir, OWN_KEY_NEXT "/" KEY, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Each of the two files is replaced in one step. Between them the pair does not fit, and the key
 * still lies ready: whoever starts then takes it again. */
static int
replace(int dir, int next, struct hw_err *err)
{
	EVP_PKEY *key = NULL;
	struct buf chain;
	int r;

	buf_init(&chain, CHAIN_MAX);
	if ((r = file_read(&chain, next, CERT, err)) == 0 &&
		(r = key_load(&key, next, KEY, err)) == 0 &&
		(r = key_save(key, dir, KEY, err)) == 0)
		r = file_write(dir, CERT, buf_data(&chain), chain.len, 0644, err);
	key_free(key);
	buf_fini(&chain);
	return r;
}

static int
take(int dir, const struct ca *ca, const char *name, const char *const *hosts, size_t n_hosts,
	int64_t now, struct hw_err *err)
{
	int next = -1, r;

	if ((r = open_next(&next, dir, err)) == 0 &&
		(r = ca_issue_relay(ca, next, name, hosts, n_hosts, now, err)) == 0)
		r = replace(dir, next, err);
	fd_close(next);
	if (r == 0)
		folder_drop(dir, OWN_KEY_NEXT);
	return r;
}

int
own_key_take(bool *taken, int dir, const struct ca *ca, const char *name, const char *const *hosts,
	size_t n_hosts, int64_t now, struct hw_err *err)
{
	int locked, r;

	*taken = false;
	/* The loop waits for nobody: who lays one ready at this moment asks for it then. */
	if (!own_key_waits(dir) || (r = lock(&locked, dir, LOCK_EX | LOCK_NB, err)) == HW_EEXISTS)
		return 0;
	if (r < 0)
		return r;
	if (own_key_waits(dir) && (r = take(dir, ca, name, hosts, n_hosts, now, err)) == 0)
		*taken = true;
	fd_close(locked);
	return r;
}
