#include "relay/services/continue.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/clock.h"
#include "proto/base/enc.h"
#include "proto/trust/secret.h"
#include "proto/wire/codec.h"
#include "relay/core/op.h"
#include "relay/services/page.h"

#define AUDIT_EVERY 3600
#define REQUEST_MAX ((size_t)64 * 1024)

/* Under a key of the relay's: of a plain hash so short somebody finds two requests with the same,
 * and reads with the one what the entry tells of the other. */
static int
digest_of(char out[13], struct op *op, const void *plain)
{
	char label[sizeof("request ") + 2 * SHA256_LEN] = "request ";
	uint8_t hash[SHA256_LEN];
	struct secret_key key;
	struct buf bytes;

	buf_init(&bytes, REQUEST_MAX);
	int r = msg_encode(&bytes, op->row->request(), plain, &op->err);
	if (r == 0) {
		sha256(hash, buf_data(&bytes), bytes.len);
		hex_encode(label + strlen(label), hash, sizeof(hash));
		secret_key_derive(&key, op->env->master, label);
		hex_encode(out, key.bytes, 6);
		secret_key_wipe(&key);
	}
	buf_fini(&bytes);
	return r;
}

static int
parse(struct going_on *ret, const struct page_key *key)
{
	char digest[13];
	int used = 0;

	if (sscanf(key->text, "%12[0-9a-f] %" SCNd64 " %n", digest, &ret->audited, &used) != 2 ||
		used == 0 || strcmp(digest, ret->digest) != 0)
		return HW_ENEXTTOKEN;
	ret->number = key->number;
	snprintf(ret->place, sizeof(ret->place), "%.103s", key->text + used);
	return 0;
}

int
continue_read(struct going_on *ret, struct op *op, const void *plain, const char *token)
{
	struct going_on g = {.begun = token != NULL && token[0] != '\0'};
	int64_t now = op->now / USEC_PER_SEC;
	struct page_key key;
	int r;

	if ((r = digest_of(g.digest, op, plain)) < 0 || (r = page_read(&key, op, token)) < 0)
		return r;
	if (g.begun && parse(&g, &key) < 0)
		return op_fail(op, HW_ENEXTTOKEN, "NextToken is of another request");
	op->goes_on = g.begun && now - g.audited < AUDIT_EVERY && now >= g.audited;
	if (!op->goes_on)
		g.audited = now;
	*ret = g;
	return 0;
}

int
continue_token(const char **ret, struct op *op, const struct going_on *g)
{
	struct page_key key = {.number = g->number};

	snprintf(key.text, sizeof(key.text), "%s %" PRId64 " %s", g->digest, g->audited, g->place);
	if (op->row->resource == RESOURCE_LISTED)
		op->shown++; /* no item was looked at in vain, as page_token() takes it */
	return page_token(ret, op, &key);
}
