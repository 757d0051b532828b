#include "relay/core/access_key.h"

#include <openssl/crypto.h>

#include <stdio.h>
#include <string.h>

#include "proto/base/enc.h"
#include "proto/base/log.h"
#include "proto/trust/secret.h"
#include "proto/trust/sigv4.h"
#include "relay/core/op.h"
#include "relay/core/principals.h"
#include "relay/store/store.h"
#include "relay/store/users.h"

#define SEALED_LEN  (SECRET_NONCE_LEN + ACCESS_KEY_SECRET_LEN + SECRET_TAG_LEN)
#define PURPOSE_MAX 160
#define USED_EVERY  (60 * USEC_PER_SEC)

_Static_assert(BASE64_LEN(SEALED_LEN) < sizeof(((struct key_row *)0)->sealed), "it has room");

/* --- the secret ------------------------------------------------------------------------------- */

/* A row whose secret is another's does not open. */
static void
sealing(struct secret_key *key, char purpose[PURPOSE_MAX], const struct op_env *env,
	const struct key_row *row)
{
	secret_key_derive(key, env->master, "access keys");
	snprintf(purpose, PURPOSE_MAX, "access-key %s %s", row->id, row->user);
}

int
access_key_seal(struct key_row *row, const struct op_env *env, const char *secret,
	struct hw_err *err)
{
	char purpose[PURPOSE_MAX];
	struct secret_key key;
	struct buf sealed;

	buf_init(&sealed, SEALED_LEN);
	sealing(&key, purpose, env, row);
	int r = secret_seal(&sealed, &key, purpose, secret, ACCESS_KEY_SECRET_LEN);
	secret_key_wipe(&key);
	if (r == 0)
		base64url_encode(row->sealed, buf_data(&sealed), sealed.len);
	else
		hw_err_set(err, r, "cannot seal the secret of %s", row->id);
	buf_fini(&sealed);
	return r;
}

int
access_key_secret(char out[ACCESS_KEY_SECRET_LEN + 1], const struct op_env *env,
	const struct key_row *row, struct hw_err *err)
{
	uint8_t sealed[sizeof(row->sealed)];
	char purpose[PURPOSE_MAX];
	struct secret_key key;
	struct buf plain;
	size_t n;

	buf_init(&plain, ACCESS_KEY_SECRET_LEN);
	int r = base64url_decode(sealed, &n, row->sealed, strlen(row->sealed));
	if (r == 0) {
		sealing(&key, purpose, env, row);
		r = secret_open(&plain, &key, purpose, sealed, n);
		secret_key_wipe(&key);
	}
	const char *secret = r == 0 && plain.len == ACCESS_KEY_SECRET_LEN ? buf_str(&plain) : NULL;
	if (secret != NULL) {
		memcpy(out, secret, ACCESS_KEY_SECRET_LEN + 1);
	} else {
		r = hw_err_set(err, HW_ECORRUPT,
			"the secret of the access key %s cannot be opened: it was not sealed for it here",
			row->id);
	}
	buf_wipe(&plain);
	buf_fini(&plain);
	return r;
}

/* --- signatures ------------------------------------------------------------------------------- */

struct finding {
	const char *id;
	struct key_row *row;
	bool found;
};

static int
find(void *arg, struct db *db, struct hw_err *err)
{
	struct finding *f = arg;
	int r = key_get(db, f->id, f->row, err);

	f->found = r == 0;
	return r == HW_ENOTFOUND ? 0 : r;
}

/* Why the key may not be used; NULL: it may. */
static const char *
refusal(const struct op_env *env, const struct key_row *key, int64_t now, struct hw_err *err)
{
	if (key->status != KEY_STATUS_ACTIVE)
		return "it is turned off";
	if (authority_welcomes(env->authority, key->user, now, err) < 0)
		return hw_err_text(err);
	return NULL;
}

/* Of a key that is not there the signature is looked at all the same, with some secret: the time
 * that an answer takes tells little of which keys there are. */
static bool
looks_right(const struct op_env *env, const struct finding *f, const struct sigv4 *signature,
	const void *body, size_t n, struct hw_err *err)
{
	char secret[ACCESS_KEY_SECRET_LEN + 1] = "no secret of any key";
	bool opened = f->found && access_key_secret(secret, env, f->row, err) == 0;

	bool same = sigv4_matches(signature, secret, body, n);
	OPENSSL_cleanse(secret, sizeof(secret));
	return opened && same;
}

int
access_key_prove(struct key_row *ret, char why[ACCESS_KEY_WHY_MAX], const struct op_env *env,
	const struct sigv4 *signature, const void *body, size_t n, int64_t now, struct hw_err *err)
{
	struct hw_err none = HW_ERR_INIT;
	struct finding f = {.id = sigv4_key_id(signature), .row = ret};
	int r = store_read(env->store, find, &f, err);

	if (r < 0)
		return r;
	bool right = looks_right(env, &f, signature, body, n, &none);
	const char *not_good =
		f.found ? refusal(env, ret, now, &none) : "there is no access key of that id";
	if (not_good != NULL) {
		snprintf(why, ACCESS_KEY_WHY_MAX, "signed with %s: %.160s", f.id, not_good);
		return hw_err_set(err, HW_EUNAUTH,
			"the access key is not known here, or no longer good");
	}
	if (right)
		return 0;
	snprintf(why, ACCESS_KEY_WHY_MAX,
		"the signature is not of %s of %s for this request%s%.80s", f.id, ret->user,
		none.code != 0 ? ": " : "", none.code != 0 ? hw_err_text(&none) : "");
	return hw_err_set(err, HW_ESIGNATURE,
		"the signature is not that of this request by this key: look at the secret, and at what "
		"changes requests on their way");
}

static int
write_used(void *arg, struct db *db, struct hw_err *err)
{
	const struct key_row *key = arg;
	int r = key_set_used(db, key->id, key->last_used, err);

	return r == 0 ? user_set_used(db, key->user, key->last_used, err) : r;
}

void
access_key_note_used(const struct key_row *key, const struct op_env *env, int64_t now)
{
	struct hw_err err = HW_ERR_INIT;
	struct key_row used = *key;

	if (now - key->last_used < USED_EVERY)
		return;
	used.last_used = now;
	if (store_write(env->store, write_used, &used, &err) < 0 && env->log != NULL)
		log_event(env->log, LOG_LEVEL_WARN, "key.used.unsaved", "key=%s why=%s", key->id,
			log_value(hw_err_text(&err)));
}
