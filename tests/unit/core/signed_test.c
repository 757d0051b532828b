/* Dispatch of signed requests: who is let in by an access key, what all others hear, and what the
 * ledger has of both. */
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/enc.h"
#include "proto/trust/secret.h"
#include "proto/trust/sigv4.h"
#include "relay/core/access_key.h"
#include "relay/core/authorise.h"
#include "relay/core/config.h"
#include "relay/core/guard.h"
#include "relay/store/users.h"
#include "tests/unit/core/court.h"

#define KEY    "HWAKAAAAAAAAAAAAAAAA"
#define SECRET "0123456789012345678901234567890123456789"
#define HOST   "relay.example:8443"
#define NAMES  "host;x-amz-date;x-amz-target"

/* What the handlers of a court answer. */
#define REACHED HW_EINTERNAL

static const char unknown[] = "the access key is not known here, or no longer good";

/* --- a bench ------------------------------------------------------------------------------- */

struct bench {
	struct court *court;
	struct secret_key master;
	struct relay_config config;
	struct op_env env;
	struct call call;
	const char *source;
	int64_t late; /* microseconds between signing and now */
};

static int
write_key(void *arg, struct db *db, struct hw_err *err)
{
	return key_insert(db, arg, err);
}

static struct bench *
bench_new(void)
{
	struct key_row row = {.id = KEY, .user = "ann", .status = KEY_STATUS_ACTIVE};
	struct bench *b = calloc(1, sizeof(*b));
	struct hw_err err = HW_ERR_INIT;

	b->court = court_new();
	b->env = *court_env(b->court);
	b->config = *b->env.config;
	secret_key_random(&b->master);
	b->env.master = &b->master;
	b->env.config = &b->config;
	b->source = "192.0.2.1";
	row.created = clock_wall(b->env.clock);
	cr_assert(eq(int, access_key_seal(&row, &b->env, SECRET, &err), 0), "%s", err.text);
	court_write(b->court, write_key, &row);
	court_role(b->court, "administrator");
	court_entries(b->court, NULL);
	return b;
}

static void
bench_free(struct bench *b)
{
	call_fini(&b->call);
	guard_free(b->env.guard);
	court_free(b->court);
	free(b);
}

/* --- signing ------------------------------------------------------------------------------- */

struct headers {
	char date[17], target[96];
};

static int
find(void *arg, const char *name, char *value, size_t room)
{
	const struct headers *h = arg;
	const char *found = strcmp(name, "host") == 0 ? HOST
		: strcmp(name, "x-amz-date") == 0     ? h->date
		: strcmp(name, "x-amz-target") == 0   ? h->target
						      : NULL;

	if (found == NULL)
		return HW_ENOTFOUND;
	snprintf(value, room, "%s", found);
	return 0;
}

static void
hash_hex(char out[65], const char *text)
{
	uint8_t hash[32];

	sha256(hash, text, strlen(text));
	hex_encode(out, hash, sizeof(hash));
}

static void
mac(uint8_t out[32], const void *key, int n, const char *text)
{
	cr_assert(HMAC(EVP_sha256(), key, n, (const uint8_t *)text, strlen(text), out, NULL) !=
		NULL);
}

static void
sign_hex(char out[65], const struct headers *h, const char *secret, const char *body)
{
	char canonical[1024], hash[65], text[256], first[80], day[9];
	uint8_t key[32];

	snprintf(day, sizeof(day), "%.8s", h->date);
	hash_hex(hash, body);
	snprintf(canonical, sizeof(canonical),
		"POST\n/\n\nhost:" HOST "\nx-amz-date:%s\nx-amz-target:%s\n\n" NAMES "\n%s",
		h->date, h->target, hash);
	hash_hex(hash, canonical);
	snprintf(text, sizeof(text), "AWS4-HMAC-SHA256\n%s\n%s/r/ssm/aws4_request\n%s", h->date,
		day, hash);
	mac(key, first, snprintf(first, sizeof(first), "AWS4%s", secret), day);
	mac(key, key, 32, "r");
	mac(key, key, 32, "ssm");
	mac(key, key, 32, "aws4_request");
	mac(key, key, 32, text);
	hex_encode(out, key, 32);
}

static struct sigv4 *
sign(const struct bench *b, const char *key, const char *secret, const char *op, const char *body)
{
	char stamp[RFC3339_LEN + 1], hex[65], authorization[512];
	struct hw_err err = HW_ERR_INIT;
	struct headers h;
	struct sigv4 *s = NULL;

	rfc3339_format(stamp, clock_wall(b->env.clock) - b->late);
	snprintf(h.date, sizeof(h.date), "%.4s%.2s%.2sT%.2s%.2s%.2sZ", stamp, stamp + 5, stamp + 8,
		stamp + 11, stamp + 14, stamp + 17);
	snprintf(h.target, sizeof(h.target), "AmazonSSM.%s", op);
	sign_hex(hex, &h, secret, body);
	snprintf(authorization, sizeof(authorization),
		"AWS4-HMAC-SHA256 Credential=%s/%.8s/r/ssm/aws4_request, SignedHeaders=" NAMES
		", Signature=%s",
		key, h.date, hex);
	cr_assert(eq(int, sigv4_new(&s, authorization, find, &h, &err), 0), "%s", err.text);
	return s;
}

static int
ask_with(struct bench *b, const char *key, const char *secret, const char *op, const char *body)
{
	call_fini(&b->call);
	cr_assert(eq(int, call_init(&b->call, &b->env, CALL_JSON, op, body, strlen(body)), 0));
	b->call.signature = sign(b, key, secret, op, body);
	snprintf(b->call.source, sizeof(b->call.source), "%s", b->source);
	call_execute(&b->call);
	return b->call.code;
}

static int
ask(struct bench *b, const char *op, const char *body)
{
	return ask_with(b, KEY, SECRET, op, body);
}

/* --- those who are let in ------------------------------------------------------------------ */

Test(signed, a_key_stands_for_its_user_and_the_ledger_names_it)
{
	struct bench *b = bench_new();
	const struct msg_ledger_entry *e = NULL;

	cr_assert(eq(int, ask(b, "DeleteUser", "{\"UserName\":\"bob\"}"), REACHED), "%s",
		b->call.message);
	cr_assert(b->call.known);
	cr_assert(eq(int, court_reached(b->court), 1));
	cr_assert(eq(sz, court_entries(b->court, &e), 2), "an intent and an outcome");
	cr_assert(strstr(e->principal, ":user/ann") != NULL, "%s", e->principal);
	bench_free(b);
}

Test(signed, who_is_denied_by_a_policy_is_known_all_the_same)
{
	struct bench *b = bench_new();
	const struct msg_ledger_entry *e = NULL;

	court_role(b->court, "auditor");
	court_entries(b->court, NULL);
	cr_assert(eq(int, ask(b, "DeleteUser", "{\"UserName\":\"bob\"}"), HW_EDENIED));
	cr_assert(b->call.known);
	cr_assert(eq(int, court_reached(b->court), 0));
	cr_assert(eq(sz, court_entries(b->court, &e), 1));
	cr_assert(strstr(e->principal, ":user/ann") != NULL);
	cr_assert(strstr(e->reason, "; signed with " KEY) != NULL, "%s", e->reason);
	bench_free(b);
}

Test(signed, nothing_says_whether_there_was_a_second_factor)
{
	struct bench *b = bench_new();

	court_role(b->court, NULL);
	court_policy(b->court, "no-mfa",
		"{\"Version\":\"2012-10-17\",\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"*\","
		"\"Resource\":\"*\",\"Condition\":{\"Bool\":{\"aws:MultiFactorAuthPresent\":\"false\"}}}}");
	cr_assert(eq(int, ask(b, "DeleteUser", "{\"UserName\":\"bob\"}"), HW_EDENIED));
	court_policy(b->court, "no-key",
		"{\"Version\":\"2012-10-17\",\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"*\","
		"\"Resource\":\"*\",\"Condition\":{\"Null\":{\"aws:MultiFactorAuthPresent\":\"true\"},"
		"\"IpAddress\":{\"aws:SourceIp\":\"192.0.2.0/24\"}}}}");
	cr_assert(eq(int, ask(b, "DeleteUser", "{\"UserName\":\"bob\"}"), REACHED), "%s",
		b->call.message);
	b->source = "198.51.100.1";
	cr_assert(eq(int, ask(b, "DeleteUser", "{\"UserName\":\"bob\"}"), HW_EDENIED));
	bench_free(b);
}

Test(signed, only_what_users_may_do_is_served)
{
	struct bench *b = bench_new();

	for (int i = 0; i < OP_COUNT; i++) {
		bool served = op_rows[i].door == DOOR_USER;
		int r = ask(b, op_rows[i].name, "[]");

		cr_assert(eq(int, r, served ? HW_ESERIAL : HW_EUNKNOWNOP), "%s: %s",
			op_rows[i].name, b->call.message);
		cr_assert(b->call.known);
	}
	cr_assert(eq(int, ask(b, "MakeCoffee", "{}"), HW_EUNKNOWNOP));
	cr_assert(eq(int, ask(b, "DeleteUser", "{"), HW_ESERIAL));
	cr_assert(eq(int, ask(b, "DeleteUser", "{\"UserName\":\"\"}"), HW_EVALIDATION));
	cr_assert(eq(int, court_reached(b->court), 0));
	bench_free(b);
}

Test(signed, no_body_is_an_empty_request_and_null_is_absent)
{
	struct bench *b = bench_new();

	cr_assert(eq(int, ask(b, "ListUsers", ""), REACHED), "%s", b->call.message);
	cr_assert(eq(int, ask(b, "ListUsers", "{\"NextToken\":null,\"Later\":{\"x\":[1]}}"),
			  REACHED),
		"%s", b->call.message);
	bench_free(b);
}

/* --- those who are not --------------------------------------------------------------------- */

static int
turn_off(void *arg, struct db *db, struct hw_err *err)
{
	(void)arg;
	return key_set_status(db, KEY, KEY_STATUS_INACTIVE, err);
}

static int
take_away(void *arg, struct db *db, struct hw_err *err)
{
	(void)arg;
	return key_delete(db, KEY, err);
}

static int
disable(void *arg, struct db *db, struct hw_err *err)
{
	(void)arg;
	return user_set_disabled(db, "ann", true, err);
}

static void
expect_unknown(struct bench *b, const char *ledger_has)
{
	const struct msg_ledger_entry *e = NULL;

	court_entries(b->court, NULL);
	cr_assert(eq(int, ask(b, "ListUsers", "{}"), HW_EUNAUTH), "%s", b->call.message);
	cr_assert_str_eq(b->call.message, unknown);
	cr_assert_not(b->call.known);
	cr_assert(eq(int, court_reached(b->court), 0));
	cr_assert(eq(sz, court_entries(b->court, &e), 1));
	cr_assert(e->principal == NULL);
	cr_assert_str_eq(e->source, "192.0.2.1");
	cr_assert(strstr(e->reason, ledger_has) != NULL, "%s", e->reason);
	/* Whatever the secret. */
	cr_assert(eq(int, ask_with(b, KEY, "another", "ListUsers", "{}"), HW_EUNAUTH));
	cr_assert_str_eq(b->call.message, unknown);
	bench_free(b);
}

Test(signed, a_key_that_is_off_is_as_unknown_as_one_that_is_not_there)
{
	struct bench *b = bench_new();

	court_write(b->court, turn_off, NULL);
	expect_unknown(b, "signed with " KEY ": it is turned off");
}

Test(signed, a_key_that_was_removed_is_unknown)
{
	struct bench *b = bench_new();

	court_write(b->court, take_away, NULL);
	expect_unknown(b, "signed with " KEY ": there is no access key of that id");
}

Test(signed, the_key_of_a_disabled_user_is_as_unknown)
{
	struct bench *b = bench_new();

	court_write(b->court, disable, NULL);
	expect_unknown(b, "signed with " KEY ": the user ann is disabled");
}

Test(signed, a_secret_that_this_relay_cannot_open_lets_nobody_in)
{
	struct bench *b = bench_new();
	const struct msg_ledger_entry *e = NULL;

	secret_key_random(&b->master);
	cr_assert(eq(int, ask(b, "ListUsers", "{}"), HW_ESIGNATURE));
	cr_assert(eq(sz, court_entries(b->court, &e), 1));
	cr_assert(strstr(e->reason, "cannot be opened") != NULL, "%s", e->reason);
	bench_free(b);
}

Test(signed, a_wrong_secret_is_one_entry_without_a_principal)
{
	struct bench *b = bench_new();
	const struct msg_ledger_entry *e = NULL;

	cr_assert(eq(int, ask_with(b, KEY, "another", "ListUsers", "{}"), HW_ESIGNATURE));
	cr_assert_not(b->call.known);
	cr_assert(eq(sz, court_entries(b->court, &e), 1));
	cr_assert(e->principal == NULL);
	cr_assert_str_eq(e->action, "iam:ListUsers");
	cr_assert(strstr(e->reason, KEY) != NULL);
	cr_assert(eq(int, ask_with(b, KEY, "another", "MakeCoffee", "{}"), HW_ESIGNATURE));
	cr_assert(eq(sz, court_entries(b->court, &e), 1));
	cr_assert(e->action == NULL);
	bench_free(b);
}

Test(signed, a_signature_that_comes_late_is_refused_and_no_guess)
{
	struct bench *b = bench_new();

	b->env.guard = guard_new(1);
	b->late = (b->config.signature_seconds + 1) * USEC_PER_SEC;
	for (int i = 0; i < 3; i++)
		cr_assert(eq(int, ask(b, "ListUsers", "{}"), HW_ESIGNATURE), "%s", b->call.message);
	cr_assert(strstr(b->call.message, "Signature expired") != NULL);
	b->late = -b->late;
	cr_assert(eq(int, ask(b, "ListUsers", "{}"), HW_ESIGNATURE));
	cr_assert(strstr(b->call.message, "not yet current") != NULL);
	b->late = 0;
	cr_assert(eq(int, ask(b, "ListUsers", "{}"), REACHED), "%s", b->call.message);
	b->config.signature_seconds = 3600;
	b->late = 3500 * USEC_PER_SEC;
	cr_assert(eq(int, ask(b, "ListUsers", "{}"), REACHED), "%s", b->call.message);
	bench_free(b);
}

Test(signed, who_guesses_waits_whatever_its_next_signature_is_worth)
{
	struct bench *b = bench_new();
	const struct msg_ledger_entry *e = NULL;

	b->env.guard = guard_new(2);
	cr_assert(eq(int, ask_with(b, KEY, "another", "ListUsers", "{}"), HW_ESIGNATURE));
	cr_assert(eq(int, ask_with(b, "HWAKNONE", SECRET, "ListUsers", "{}"), HW_EUNAUTH));
	cr_assert(eq(int, ask(b, "ListUsers", "{}"), HW_EFULL));
	cr_assert_not(b->call.known);
	cr_assert(eq(int, b->call.retry_after, 1));
	cr_assert(eq(int, court_reached(b->court), 0));
	court_entries(b->court, &e);
	cr_assert_str_eq(e->kind, "alarm");
	b->source = "192.0.2.2";
	cr_assert(eq(int, ask(b, "ListUsers", "{}"), REACHED), "others are not concerned");
	bench_free(b);
}

/* --- when it was used ---------------------------------------------------------------------- */

static int
read_used(void *arg, struct db *db, struct hw_err *err)
{
	return key_get(db, KEY, arg, err);
}

Test(signed, a_key_and_its_user_were_used_to_the_minute)
{
	struct bench *b = bench_new();
	struct hw_err err = HW_ERR_INIT;
	struct key_row row;

	cr_assert(eq(int, ask(b, "ListUsers", "{}"), REACHED));
	cr_assert(eq(int, store_read(b->env.store, read_used, &row, &err), 0));
	cr_assert(eq(i64, row.last_used, clock_wall(b->env.clock)));
	bench_free(b);
}
