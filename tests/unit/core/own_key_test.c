/* Another key of the relay's own: what is on the disk after each step that may have been the last.
 */
#include "relay/core/own_key.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/trust/cert.h"

TestSuite(own_key, .timeout = 30);

struct berth {
	char path[64];
	int dir;
	struct ca *ca;
	int64_t now;
};

static void
berth_init(struct berth *b)
{
	*b = (struct berth){.path = "/tmp/hawser-key-XXXXXX", .now = clock_wall(&hw_clock_system)};
	cr_assert(mkdtemp(b->path) != NULL);
	cr_assert(eq(int, dir_open(&b->dir, b->path, false, NULL), 0));
	cr_assert(eq(int, ca_create(&b->ca, b->dir, b->now, NULL), 0));
	cr_assert(eq(int, ca_issue_relay(b->ca, b->dir, "relay", NULL, 0, b->now, NULL), 0));
}

static void
berth_fini(struct berth *b)
{
	ca_free(b->ca);
	close(b->dir);
	folder_drop(AT_FDCWD, b->path);
}

static EVP_PKEY *
key_in(int dir, const char *name)
{
	EVP_PKEY *key = NULL;

	cr_assert(eq(int, key_load(&key, dir, name, NULL), 0), "%s", name);
	return key;
}

static bool
pair_fits(const struct berth *b)
{
	EVP_PKEY *key = key_in(b->dir, "relay.key");
	X509 *cert = NULL;

	cr_assert(eq(int, cert_load(&cert, b->dir, "relay.crt", NULL), 0));
	bool fits = X509_check_private_key(cert, key) == 1 &&
		cert_verify(cert, ca_cert(b->ca), b->now, false, NULL) == 0;
	X509_free(cert);
	key_free(key);
	return fits;
}

static bool
take(struct berth *b)
{
	struct hw_err err = HW_ERR_INIT;
	bool taken;

	cr_assert(eq(int, own_key_take(&taken, b->dir, b->ca, "relay", NULL, 0, b->now, &err), 0),
		"%s", err.text);
	return taken;
}

Test(own_key, one_that_lies_ready_is_taken_once_with_a_certificate)
{
	struct berth b;

	berth_init(&b);
	EVP_PKEY *old = key_in(b.dir, "relay.key");
	cr_assert(not(take(&b)));
	cr_assert(eq(int, own_key_make(b.dir, NULL), 0));
	cr_assert(own_key_waits(b.dir));
	EVP_PKEY *same = key_in(b.dir, "relay.key");
	cr_assert(eq(int, EVP_PKEY_eq(same, old), 1), "what is shown changes when it is taken");
	cr_assert(take(&b));
	EVP_PKEY *new = key_in(b.dir, "relay.key");
	cr_assert(ne(int, EVP_PKEY_eq(new, old), 1));
	cr_assert(pair_fits(&b));
	cr_assert(not(own_key_waits(b.dir)));
	cr_assert(lt(int, faccessat(b.dir, OWN_KEY_NEXT, F_OK, 0), 0));
	cr_assert(not(take(&b)));
	key_free(old);
	key_free(same);
	key_free(new);
	berth_fini(&b);
}

/* relay.key is the new one already, relay.crt is still the old one's. */
Test(own_key, what_was_cut_off_between_the_two_files_is_made_whole)
{
	struct berth b;

	berth_init(&b);
	cr_assert(eq(int, own_key_make(b.dir, NULL), 0));
	EVP_PKEY *next = key_in(b.dir, OWN_KEY_NEXT "/relay.key");
	cr_assert(eq(int, key_save(next, b.dir, "relay.key", NULL), 0));
	cr_assert(not(pair_fits(&b)));
	cr_assert(take(&b));
	cr_assert(pair_fits(&b));
	EVP_PKEY *now = key_in(b.dir, "relay.key");
	cr_assert(eq(int, EVP_PKEY_eq(now, next), 1), "it is the one that was begun with");
	key_free(next);
	key_free(now);
	berth_fini(&b);
}

/* The folder, or the certificate in it, without a key. */
Test(own_key, what_was_cut_off_before_the_key_lay_there_is_nothing)
{
	struct berth b;

	berth_init(&b);
	cr_assert(eq(int, mkdirat(b.dir, OWN_KEY_NEXT, 0700), 0));
	cr_assert(not(take(&b)));
	cr_assert(pair_fits(&b));
	cr_assert(eq(int, own_key_make(b.dir, NULL), 0), "and it can be asked for again");
	cr_assert(take(&b));
	cr_assert(pair_fits(&b));
	berth_fini(&b);
}

static int
refusal(struct berth *b)
{
	bool taken;

	int r = own_key_take(&taken, b->dir, b->ca, "relay", NULL, 0, b->now, NULL);
	cr_assert(not(taken));
	return r;
}

Test(own_key, one_that_is_none_or_that_others_may_read_changes_nothing)
{
	struct berth b;

	berth_init(&b);
	cr_assert(eq(int, own_key_make(b.dir, NULL), 0));
	cr_assert(eq(int, fchmodat(b.dir, OWN_KEY_NEXT "/relay.key", 0644, 0), 0));
	cr_assert(eq(int, refusal(&b), HW_EDENIED));
	cr_assert(eq(int, file_write(b.dir, OWN_KEY_NEXT "/relay.key", "x", 1, 0600, NULL), 0));
	cr_assert(lt(int, refusal(&b), 0));
	cr_assert(pair_fits(&b));
	folder_drop(b.dir, OWN_KEY_NEXT);
	cr_assert(eq(int, symlinkat("/tmp", b.dir, OWN_KEY_NEXT), 0));
	cr_assert(lt(int, own_key_make(b.dir, NULL), 0), "a link leads elsewhere");
	unlinkat(b.dir, OWN_KEY_NEXT, 0);
	unlinkat(b.dir, "relay.key", 0);
	cr_assert(eq(int, own_key_make(b.dir, NULL), HW_ENOTFOUND), "no relay is there");
	berth_fini(&b);
}

/* Somebody is laying one ready, and has the directory. */
Test(own_key, one_is_not_taken_while_another_is_laid_ready)
{
	struct berth b;

	berth_init(&b);
	cr_assert(eq(int, own_key_make(b.dir, NULL), 0));
	int other = openat(b.dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert(eq(int, flock(other, LOCK_EX), 0));
	cr_assert(not(take(&b)));
	cr_assert(own_key_waits(b.dir));
	close(other);
	cr_assert(take(&b));
	cr_assert(pair_fits(&b));
	berth_fini(&b);
}

struct maker {
	int dir, failed;
	atomic_bool done;
};

static void *
lay_ready_again_and_again(void *arg)
{
	struct maker *m = arg;

	for (int i = 0; i < 10; i++)
		m->failed += own_key_make(m->dir, NULL) < 0;
	atomic_store(&m->done, true);
	return NULL;
}

Test(own_key, two_who_lay_keys_ready_leave_a_pair_that_fits)
{
	struct maker makers[2];
	pthread_t threads[2];
	struct berth b;

	berth_init(&b);
	for (size_t i = 0; i < 2; i++) {
		atomic_init(&makers[i].done, false);
		makers[i].dir = b.dir;
		makers[i].failed = 0;
		cr_assert(eq(int,
			pthread_create(&threads[i], NULL, lay_ready_again_and_again, &makers[i]),
			0));
	}
	while (!atomic_load(&makers[0].done) || !atomic_load(&makers[1].done))
		if (take(&b))
			cr_assert(pair_fits(&b));
	for (size_t i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
		cr_assert(eq(int, makers[i].failed, 0));
	}
	cr_assert(take(&b) || !own_key_waits(b.dir));
	cr_assert(pair_fits(&b));
	berth_fini(&b);
}
