#include "relay/services/page.h"

#include <stdio.h>
#include <string.h>

#include "proto/base/enc.h"
#include "proto/trust/secret.h"
#include "relay/core/op.h"

#define TOKEN_MAX   512
#define PURPOSE_MAX 384
#define PAGE_BYTES  ((size_t)128 * 1024) /* a reply must fit into one frame */
#define ITEM_BYTES  128

static void
page_secret(struct secret_key *key, char purpose[PURPOSE_MAX], const struct op *op)
{
	secret_key_derive(key, op->env->master, "paging");
	snprintf(purpose, PURPOSE_MAX, "%s %s", op->row->name, op->arn);
}

int
page_token(const char **ret, struct op *op, const struct page_key *last)
{
	struct secret_key key;
	char purpose[PURPOSE_MAX];
	uint8_t plain[sizeof(last->number) + sizeof(last->text)];
	struct buf sealed;
	char *text = NULL;

	if (op->row->resource == RESOURCE_LISTED)
		op->shown--; /* the item that did not fit was looked at, and will be again */
	memcpy(plain, &last->number, sizeof(last->number));
	memcpy(plain + sizeof(last->number), last->text, strlen(last->text));
	buf_init(&sealed, TOKEN_MAX);
	page_secret(&key, purpose, op);
	int r = secret_seal(&sealed, &key, purpose, plain,
		sizeof(last->number) + strlen(last->text));
	secret_key_wipe(&key);
	if (r == 0 && (text = arena_alloc(op->arena, BASE64_LEN(sealed.len) + 1)) == NULL)
		r = HW_ENOMEM;
	if (r == 0) {
		base64url_encode(text, buf_data(&sealed), sealed.len);
		*ret = text;
	}
	buf_fini(&sealed);
	return r < 0 ? op_fail(op, r, "cannot make a NextToken") : 0;
}

static int
open_token(struct page_key *ret, struct op *op, const char *token)
{
	struct secret_key key;
	char purpose[PURPOSE_MAX];
	uint8_t sealed[TOKEN_MAX];
	struct buf plain;
	size_t n;

	if (strlen(token) > TOKEN_MAX || base64url_decode(sealed, &n, token, strlen(token)) < 0)
		return HW_ENEXTTOKEN;
	buf_init(&plain, sizeof(*ret));
	page_secret(&key, purpose, op);
	int r = secret_open(&plain, &key, purpose, sealed, n);
	secret_key_wipe(&key);
	size_t text = plain.len - sizeof(ret->number);
	if (r == 0 && (plain.len < sizeof(ret->number) || text >= sizeof(ret->text)))
		r = HW_ENEXTTOKEN;
	if (r == 0) {
		*ret = (struct page_key){.number = 0};
		memcpy(&ret->number, buf_data(&plain), sizeof(ret->number));
		memcpy(ret->text, buf_data(&plain) + sizeof(ret->number), text);
	}
	buf_fini(&plain);
	return r;
}

int
page_read(struct page_key *ret, struct op *op, const char *token)
{
	*ret = (struct page_key){.number = 0};
	if (token == NULL || token[0] == '\0' || open_token(ret, op, token) == 0)
		return 0;
	return op_fail(op, HW_ENEXTTOKEN, "NextToken is not one that %s gave", op->row->name);
}

void
page_begin(struct page *p, struct op *op, int64_t max_results, size_t limit)
{
	*p = (struct page){.op = op,
		.limit = limit,
		.arena_start = arena_used(op->arena),
		.bytes = PAGE_BYTES,
		.each = ITEM_BYTES};
	if (max_results > 0 && (size_t)max_results < limit)
		p->limit = (size_t)max_results;
}

bool
page_has_room(const struct page *p)
{
	size_t used = arena_used(p->op->arena) - p->arena_start + p->items * p->each;

	return p->items < p->limit && used < p->bytes;
}
