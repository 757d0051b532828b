#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/x509.h>

#include "proto/base/file.h"
#include "proto/trust/cert.h"
#include "proto/trust/log_epoch.h"
#include "tests/unit/trust/fleet.h"

#define ORIGIN "hawser/0123456789ab/relay"

struct keys {
	EVP_PKEY *key;
	uint8_t public[LOG_KEY_LEN];
};

static struct keys
make_key(void)
{
	struct keys k = {.key = NULL};

	cr_assert(eq(int, key_generate_signing(&k.key, NULL), 0));
	cr_assert(eq(int, log_key_public(k.public, k.key, NULL), 0));
	return k;
}

static struct log_head
make_head(uint64_t size, uint32_t epoch, const struct keys *k)
{
	struct log_head h = {.epoch = epoch, .size = size, .time = 1764000000000000, .filed = size};

	memset(h.root, (int)size, sizeof(h.root));
	memset(h.chain, 9, sizeof(h.chain));
	cr_assert(eq(int, log_head_sign(&h, ORIGIN, k->key, NULL), 0));
	return h;
}

/* --- heads ------------------------------------------------------------------------------------ */

Test(log_head, is_read_as_it_was_written)
{
	struct keys k = make_key();
	struct log_head h = make_head(4711, 3, &k), got;
	char text[LOG_HEAD_MAX], origin[LOG_ORIGIN_MAX];

	size_t n = log_head_format(text, &h, ORIGIN);
	cr_assert(eq(int, log_head_parse(&got, origin, text, n, NULL), 0));
	cr_assert(eq(int, strcmp(origin, ORIGIN), 0));
	cr_assert(eq(u64, got.size, 4711));
	cr_assert(log_head_signed(&got, ORIGIN, k.public));
	cr_assert(not(log_head_signed(&got, "hawser/0123456789ab/other", k.public)));
	struct keys other = make_key();
	cr_assert(not(log_head_signed(&got, ORIGIN, other.public)));
	key_free(k.key);
	key_free(other.key);
}

Test(log_head, a_time_that_no_calendar_has_is_none)
{
	const int64_t times[] = {-1, INT64_MIN, INT64_MAX, INT64_C(253402300800000000)};
	struct keys k = make_key();
	struct log_head h = make_head(77, 1, &k), got;
	char text[LOG_HEAD_MAX], origin[LOG_ORIGIN_MAX];

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		h.time = times[i];
		cr_assert(eq(int, log_head_sign(&h, ORIGIN, k.key, NULL), 0));
		size_t n = log_head_format(text, &h, ORIGIN);
		cr_assert(eq(int, log_head_parse(&got, origin, text, n, NULL), HW_EVALIDATION));
	}
	key_free(k.key);
}

Test(log_head, no_byte_of_it_can_be_changed)
{
	struct keys k = make_key();
	struct log_head h = make_head(77, 1, &k), got;
	char text[LOG_HEAD_MAX], origin[LOG_ORIGIN_MAX];

	size_t n = log_head_format(text, &h, ORIGIN);
	for (size_t i = 0; i < n; i++)
		for (int bit = 0; bit < 8; bit++) {
			text[i] = (char)(text[i] ^ 1 << bit);
			bool good = log_head_parse(&got, origin, text, n, NULL) == 0 &&
				strcmp(origin, ORIGIN) == 0 &&
				log_head_signed(&got, ORIGIN, k.public);
			cr_assert(not(good), "byte %zu bit %d", i, bit);
			text[i] = (char)(text[i] ^ 1 << bit);
		}
	cr_assert(eq(int, log_head_parse(&got, origin, text, n - 1, NULL), HW_EVALIDATION));
	text[n] = '\n';
	cr_assert(eq(int, log_head_parse(&got, origin, text, n + 1, NULL), HW_EVALIDATION));
	cr_assert(eq(int, log_head_parse(&got, origin, "", 0, NULL), HW_EVALIDATION));
	key_free(k.key);
}

/* --- epochs ----------------------------------------------------------------------------------- */

struct list {
	struct fleet *fleet;
	struct ca *ca;
	struct keys first, second, recovery;
	struct buf text;
	struct log_epoch last;
};

static void
add(struct list *l, struct log_epoch e, EVP_PKEY *signer)
{
	cr_assert(eq(int, log_epoch_sign(&e, ORIGIN, signer, l->ca, NULL), 0));
	log_epoch_format(&l->text, &e, ORIGIN);
	l->last = e;
}

static void
list_init(struct list *l)
{
	struct log_epoch e = {.epoch = 1, .time = 5, .by = LOG_BY_AUTHORITY, .has_recovery = true};

	*l = (struct list){.first = make_key(), .second = make_key(), .recovery = make_key()};
	buf_init(&l->text, 1 << 20);
	l->fleet = fleet_new();
	l->ca = l->fleet->ca;
	merkle_empty(e.root);
	memcpy(e.key, l->first.public, LOG_KEY_LEN);
	memcpy(e.recovery, l->recovery.public, LOG_KEY_LEN);
	add(l, e, NULL);
}

static void
list_fini(struct list *l)
{
	key_free(l->first.key);
	key_free(l->second.key);
	key_free(l->recovery.key);
	buf_fini(&l->text);
	fleet_free(l->fleet);
}

static struct log_epoch
next_epoch(const struct list *l, uint64_t size, enum log_by by)
{
	struct log_epoch e = l->last;

	e.epoch++;
	e.size = size;
	e.by = by;
	e.has_previous = true;
	log_epoch_hash(e.previous, &l->last, ORIGIN);
	memcpy(e.key, l->second.public, LOG_KEY_LEN);
	return e;
}

static int
read_list(struct log_epochs *ret, const struct list *l)
{
	struct hw_err err = HW_ERR_INIT;

	return log_epochs_read(ret, buf_data(&l->text), l->text.len, ca_cert(l->ca), &err);
}

/* The list, held against the fleet's second authority, which names that hash. */
static int
read_by_successor(struct log_epochs *ret, const struct list *l, const uint8_t hash[MERKLE_LEN])
{
	struct hw_err err = HW_ERR_INIT;
	X509 *second = NULL;
	int to;

	cr_assert(eq(int, mkdirat(l->fleet->dir, "next", 0700), 0));
	to = openat(l->fleet->dir, "next", O_RDONLY | O_DIRECTORY);
	cr_assert(eq(int, ca_succeed(l->ca, to, hash, l->fleet->now, &err), 0), "%s", err.text);
	cr_assert(eq(int, cert_load(&second, to, "ca.crt", &err), 0), "%s", err.text);
	close(to);
	folder_drop(l->fleet->dir, "next");
	int r = log_epochs_read(ret, buf_data(&l->text), l->text.len, second, &err);
	X509_free(second);
	return r;
}

Test(log_epoch, a_later_authority_knows_the_first_statement_by_its_hash)
{
	uint8_t hash[MERKLE_LEN];
	struct log_epochs epochs;
	struct list l;

	list_init(&l);
	log_epoch_hash(hash, &l.last, ORIGIN);
	add(&l, next_epoch(&l, 40, LOG_BY_LEDGER), l.first.key);
	cr_assert(eq(int, read_by_successor(&epochs, &l, hash), 0));
	cr_assert(eq(sz, epochs.n, 2));
	log_epochs_fini(&epochs);
	hash[0] ^= 1;
	cr_assert(eq(int, read_by_successor(&epochs, &l, hash), HW_ECORRUPT));
	list_fini(&l);
}

Test(log_epoch, who_has_the_first_authoritys_key_cannot_begin_another_ledger_under_a_later_one)
{
	struct log_epochs epochs;
	uint8_t hash[MERKLE_LEN];
	struct list l, forged;

	list_init(&l);
	log_epoch_hash(hash, &l.last, ORIGIN);
	list_init(&forged);
	struct log_epoch e = forged.last;
	e.time++;
	forged.text.len = 0;
	cr_assert(eq(int, log_epoch_sign(&e, ORIGIN, NULL, l.ca, NULL), 0));
	log_epoch_format(&forged.text, &e, ORIGIN);
	struct ca *theirs = forged.ca;
	forged.ca = l.ca;
	cr_assert(eq(int, read_list(&epochs, &forged), 0)); /* the first one's signature is good */
	log_epochs_fini(&epochs);
	l.text.len = 0;
	buf_append(&l.text, buf_data(&forged.text), forged.text.len);
	cr_assert(eq(int, read_by_successor(&epochs, &l, hash), HW_ECORRUPT));
	forged.ca = theirs;
	list_fini(&forged);
	list_fini(&l);
}

Test(log_epoch, a_key_signs_over_to_the_next_and_is_retired)
{
	struct log_epochs epochs;
	struct list l;

	list_init(&l);
	add(&l, next_epoch(&l, 40, LOG_BY_LEDGER), l.first.key);
	cr_assert(eq(int, read_list(&epochs, &l), 0));
	cr_assert(eq(sz, epochs.n, 2));

	struct log_head h = make_head(40, 1, &l.first);
	cr_assert(eq(int, log_epochs_allow(&epochs, &h, NULL), 0));
	h = make_head(41, 1, &l.first); /* the retired key goes on */
	cr_assert(eq(int, log_epochs_allow(&epochs, &h, NULL), HW_ECORRUPT));
	h = make_head(41, 2, &l.first); /* and in the new epoch's name */
	cr_assert(eq(int, log_epochs_allow(&epochs, &h, NULL), HW_ECORRUPT));
	h = make_head(41, 2, &l.second);
	cr_assert(eq(int, log_epochs_allow(&epochs, &h, NULL), 0));
	h = make_head(39, 2, &l.second); /* before it began */
	cr_assert(eq(int, log_epochs_allow(&epochs, &h, NULL), HW_ECORRUPT));
	h = make_head(41, 3, &l.second);
	cr_assert(eq(int, log_epochs_allow(&epochs, &h, NULL), HW_ECORRUPT));
	log_epochs_fini(&epochs);
	list_fini(&l);
}

Test(log_epoch, statements_by_others_are_refused)
{
	struct log_epochs epochs;
	struct list l;

	list_init(&l);
	size_t whole = l.text.len;
	struct log_epoch first = l.last;

	add(&l, next_epoch(&l, 40, LOG_BY_LEDGER), l.second.key);
	cr_assert(eq(int, read_list(&epochs, &l), HW_ECORRUPT));
	l.text.len = whole;
	l.last = first;
	add(&l, next_epoch(&l, 40, LOG_BY_RECOVERY), l.first.key);
	cr_assert(eq(int, read_list(&epochs, &l), HW_ECORRUPT));
	l.text.len = whole;
	l.last = first;
	/* who has the relay's key alone names no recovery key of its own */
	struct log_epoch e = next_epoch(&l, 40, LOG_BY_LEDGER);
	memcpy(e.recovery, l.second.public, LOG_KEY_LEN);
	add(&l, e, l.first.key);
	cr_assert(eq(int, read_list(&epochs, &l), HW_ECORRUPT));
	l.text.len = whole;
	l.last = first;
	e = next_epoch(&l, 40, LOG_BY_LEDGER);
	e.epoch = 3;
	add(&l, e, l.first.key);
	cr_assert(eq(int, read_list(&epochs, &l), HW_ECORRUPT));
	l.text.len = whole;
	cr_assert(eq(int, read_list(&epochs, &l), 0));
	log_epochs_fini(&epochs);
	list_fini(&l);
}

Test(log_epoch, the_recovery_key_may_name_any_size_and_another_recovery_key)
{
	const struct log_epoch *recovered;
	struct log_epochs known, epochs;
	struct list l;

	list_init(&l);
	size_t one = l.text.len;
	struct log_epoch first = l.last;
	add(&l, next_epoch(&l, 40, LOG_BY_LEDGER), l.first.key);
	cr_assert(eq(int, read_list(&known, &l), 0));

	/* restored from a copy of before the rotation, and recovered */
	l.text.len = one;
	l.last = first;
	struct log_epoch e = next_epoch(&l, 20, LOG_BY_RECOVERY);
	memcpy(e.recovery, l.second.public, LOG_KEY_LEN);
	add(&l, e, l.recovery.key);
	cr_assert(eq(int, read_list(&epochs, &l), 0));
	cr_assert(log_epochs_follow(&known, &epochs, &recovered));
	cr_assert(ne(ptr, (void *)(uintptr_t)recovered, NULL));
	cr_assert(eq(u64, recovered->size, 20));
	/* but a ledger that just forgets a statement does not follow */
	cr_assert(not(log_epochs_follow(&epochs, &known, &recovered)));
	log_epochs_fini(&epochs);
	l.text.len = one;
	cr_assert(eq(int, read_list(&epochs, &l), 0));
	cr_assert(not(log_epochs_follow(&known, &epochs, &recovered)));
	cr_assert(log_epochs_follow(&epochs, &known, &recovered));
	cr_assert(eq(ptr, (void *)(uintptr_t)recovered, NULL));
	log_epochs_fini(&epochs);
	log_epochs_fini(&known);
	list_fini(&l);
}

/* The key of an epoch that is long over may be in other hands. */
Test(log_epoch, heads_of_every_epoch_before_a_recovery_count_no_further_than_it)
{
	struct log_head h = {.epoch = 1, .size = 20, .time = 7};
	struct hw_err err = HW_ERR_INIT;
	struct log_epochs epochs;
	struct list l;

	list_init(&l);
	add(&l, next_epoch(&l, 40, LOG_BY_LEDGER), l.first.key);
	add(&l, next_epoch(&l, 20, LOG_BY_RECOVERY), l.recovery.key);
	cr_assert(eq(int, read_list(&epochs, &l), 0));
	cr_assert(eq(int, log_head_sign(&h, ORIGIN, l.first.key, &err), 0), "%s", err.text);
	cr_assert(eq(int, log_epochs_allow(&epochs, &h, NULL), 0));
	cr_assert(not(log_epochs_gave_up(&epochs, &h)));
	h.size = 21;
	cr_assert(eq(int, log_head_sign(&h, ORIGIN, l.first.key, &err), 0), "%s", err.text);
	cr_assert(eq(int, log_epochs_allow(&epochs, &h, NULL), HW_ECORRUPT));
	cr_assert(log_epochs_gave_up(&epochs, &h));
	log_epochs_fini(&epochs);
	list_fini(&l);
}

Test(log_epoch, no_byte_of_a_statement_can_be_changed)
{
	struct log_epochs epochs;
	struct list l;

	list_init(&l);
	add(&l, next_epoch(&l, 40, LOG_BY_LEDGER), l.first.key);
	for (size_t i = 0; i < l.text.len; i++) {
		l.text.mem[l.text.head + i] ^= 1;
		cr_assert(eq(int, read_list(&epochs, &l), HW_ECORRUPT), "byte %zu", i);
		l.text.mem[l.text.head + i] ^= 1;
	}
	l.text.len--;
	cr_assert(eq(int, read_list(&epochs, &l), HW_ECORRUPT));
	l.text.len = 0;
	cr_assert(eq(int, read_list(&epochs, &l), HW_ECORRUPT));
	list_fini(&l);
}
