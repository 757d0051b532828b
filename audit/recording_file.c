#include "audit/recording_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/bytes.h"
#include "audit/key_wrap.h"
#include "proto/base/file.h"

#define MAGIC	    "hwrec-2\n"
#define BLOCK_MAGIC 0x4b425748u /* "HWBK" */
/* A zstd frame of incompressible bytes is a little longer than they are. */
#define PACKED_MAX (RECORDING_BLOCK_MAX + RECORDING_BLOCK_MAX / 128 + 1024)
#define META_AAD   "hawser recording meta"

/* --- names ------------------------------------------------------------------------------------ */

bool
recording_id_valid(const char *id)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789_.@+=-";
	size_t n = strlen(id);

	return n >= 1 && n <= RECORDING_ID_MAX && id[0] != '.' && strspn(id, allowed) == n;
}

void
recording_file_name(char out[RECORDING_NAME_MAX + 1], const char *id, bool complete)
{
	snprintf(out, RECORDING_NAME_MAX + 1, "%s.%s", id, complete ? "rec" : "part");
}

/* --- associated data and hashes --------------------------------------------------------------- */

static void
key_aad(char out[96], const struct recording_head *h)
{
	snprintf(out, 96, "hawser recording %016" PRIx64 " %016" PRIx64, h->session, h->start);
}

static void
block_aad(char out[128], uint64_t index, const struct recording_block *b)
{
	snprintf(out, 128, "hawser recording block %" PRIu64 " to %016" PRIx64 " raw %u flags %u",
		index, b->to, b->raw_len, b->flags);
}

/* What the head says of its key, so that no other can take its place. */
static void
commit(uint8_t out[SECRET_KEY_LEN], const struct secret_key *key)
{
	struct secret_key said;

	secret_key_derive(&said, key, "hawser recording's key");
	memcpy(out, said.bytes, SECRET_KEY_LEN);
}

/* Of a head and its meta; `all` is changed. */
static void
hash_head(uint8_t out[SHA256_LEN], uint8_t *all, size_t n)
{
	memset(all + RECORDING_WRAPPED_AT, 0, KEY_WRAP_LEN);
	sha256(out, all, n);
}

/* The hash over the hash so far and n bytes. */
static int
chain_on(struct recording_chain *c, const void *p, size_t n)
{
	struct buf b;

	buf_init(&b, SHA256_LEN + n);
	buf_append(&b, c->hash, SHA256_LEN);
	int r = buf_append(&b, p, n);
	if (r == 0)
		sha256(c->hash, buf_data(&b), b.len);
	buf_fini(&b);
	c->at += n;
	return r;
}

/* --- making ----------------------------------------------------------------------------------- */

int
recording_head_make(struct buf *out, struct recording_chain *chain,
	const struct recording_head *head, const void *meta, size_t n,
	const struct secret_key *wrap)
{
	uint8_t fixed[RECORDING_HEAD_LEN] = MAGIC, wrapped[KEY_WRAP_LEN];
	size_t begin = out->len;
	char aad[96];
	int r;

	*chain = (struct recording_chain){.blocks = 0};
	secret_key_random(&chain->key);
	put_le32(fixed + 8, (uint32_t)RECORDING_SEALED(n));
	put_le64(fixed + 16, head->session);
	put_le64(fixed + 24, head->start);
	key_aad(aad, head);
	commit(fixed + RECORDING_COMMIT_AT, &chain->key);
	if ((r = key_wrap(wrapped, &chain->key, aad, wrap)) < 0 ||
		(r = buf_append(out, fixed, sizeof(fixed))) < 0 ||
		(r = secret_seal(out, &chain->key, META_AAD, meta, n)) < 0)
		return r;
	uint8_t *all = out->mem + out->head + begin;
	hash_head(chain->hash, all, out->len - begin);
	memcpy(all + RECORDING_WRAPPED_AT, wrapped, sizeof(wrapped));
	chain->at = out->len - begin;
	return 0;
}

size_t
recording_block_len(const uint8_t *p, size_t n)
{
	uint32_t sealed = n >= RECORDING_BLOCK_HEAD ? get_le32(p + 4) : 0;

	return RECORDING_BLOCK_HEAD + (sealed <= RECORDING_SEALED(PACKED_MAX) ? sealed : 0);
}

int
recording_block_make(struct buf *out, struct recording_chain *chain,
	const struct recording_block *block, const void *packed, size_t n)
{
	uint8_t head[RECORDING_BLOCK_HEAD];
	size_t begin = out->len;
	char aad[128];
	int r;

	put_le32(head, BLOCK_MAGIC);
	put_le32(head + 4, (uint32_t)RECORDING_SEALED(n));
	put_le64(head + 8, block->to);
	put_le32(head + 16, block->raw_len);
	put_le32(head + 20, block->flags);
	block_aad(aad, chain->blocks, block);
	if ((r = buf_append(out, head, sizeof(head))) < 0 ||
		(r = secret_seal(out, &chain->key, aad, packed, n)) < 0 ||
		(r = chain_on(chain, buf_data(out) + begin, out->len - begin)) < 0)
		return r;
	chain->blocks++;
	return 0;
}

/* --- reading ---------------------------------------------------------------------------------- */

/* n bytes at `at`; false when the file has fewer, or on an error, which the next look will meet
 * too. */
static bool
read_whole(int fd, uint8_t *p, size_t n, uint64_t at)
{
	while (n > 0) {
		ssize_t got = pread(fd, p, n, (off_t)at);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		p += got;
		at += (uint64_t)got;
		n -= (size_t)got;
	}
	return true;
}

int
recording_head_read(struct recording_head *head, struct recording_chain *chain, struct buf *meta,
	int fd, const struct secret_key *wrap)
{
	uint8_t fixed[RECORDING_HEAD_LEN], committed[SECRET_KEY_LEN];
	char aad[96];
	int r;

	if (!read_whole(fd, fixed, sizeof(fixed), 0))
		return HW_ENOTFOUND;
	if (memcmp(fixed, MAGIC, 8) != 0 || get_le32(fixed + 12) != 0)
		return HW_ECORRUPT;
	size_t sealed = get_le32(fixed + 8);
	if (sealed > RECORDING_SEALED(RECORDING_META_MAX))
		return HW_ECORRUPT;
	*head = (struct recording_head){get_le64(fixed + 16), get_le64(fixed + 24)};
	*chain = (struct recording_chain){.at = sizeof(fixed) + sealed};
	key_aad(aad, head);
	if (key_unwrap(&chain->key, fixed + RECORDING_WRAPPED_AT, aad, wrap) < 0)
		return HW_ECORRUPT;
	commit(committed, &chain->key);
	if (memcmp(committed, fixed + RECORDING_COMMIT_AT, SECRET_KEY_LEN) != 0)
		return HW_ECORRUPT;
	uint8_t *all = malloc(sizeof(fixed) + sealed);
	if (all == NULL)
		return HW_ENOMEM;
	if (!read_whole(fd, all, sizeof(fixed) + sealed, 0))
		r = HW_ENOTFOUND;
	else
		r = secret_open(meta, &chain->key, META_AAD, all + sizeof(fixed), sealed);
	hash_head(chain->hash, all, sizeof(fixed) + sealed);
	free(all);
	return r;
}

int
recording_block_read(struct recording_block *block, struct recording_chain *chain,
	struct buf *packed, int fd)
{
	uint8_t head[RECORDING_BLOCK_HEAD];
	char aad[128];
	int r;

	if (!read_whole(fd, head, sizeof(head), chain->at))
		return 0;
	uint32_t sealed = get_le32(head + 4);
	const struct recording_block got = {
		get_le64(head + 8), get_le32(head + 16), get_le32(head + 20)};
	if (get_le32(head) != BLOCK_MAGIC || sealed > RECORDING_SEALED(PACKED_MAX) ||
		got.raw_len > RECORDING_BLOCK_MAX)
		return HW_ECORRUPT;
	uint8_t *all = malloc(sizeof(head) + sealed);
	if (all == NULL)
		return HW_ENOMEM;
	r = read_whole(fd, all, sizeof(head) + sealed, chain->at) ? 1 : 0;
	block_aad(aad, chain->blocks, &got);
	if (r == 1 && secret_open(packed, &chain->key, aad, all + sizeof(head), sealed) < 0)
		r = HW_ECORRUPT;
	if (r == 1 && chain_on(chain, all, sizeof(head) + sealed) < 0)
		r = HW_ENOMEM;
	free(all);
	if (r == 1) {
		chain->blocks++;
		*block = got;
	}
	return r;
}

/* --- a whole one ------------------------------------------------------------------------------ */

static int
read_all_blocks(struct recording_block *last, struct recording_chain *chain, int fd)
{
	struct buf packed;
	int r;

	buf_init(&packed, 2 * RECORDING_BLOCK_MAX);
	do {
		buf_reset(&packed);
		r = recording_block_read(last, chain, &packed, fd);
	} while (r == 1 && (last->flags & BLOCK_LAST) == 0);
	buf_wipe(&packed);
	buf_fini(&packed);
	return r < 0 ? r : 0;
}

int
recording_file_check(struct recording_facts *ret, int fd, const struct secret_key *master,
	struct hw_err *err)
{
	struct recording_block last = {.flags = 0};
	struct recording_chain chain = {.at = 0};
	struct secret_key wrap;
	struct stat st;
	struct buf meta;

	if (fstat(fd, &st) < 0)
		return hw_err_sys(err, "cannot look at the recording");
	buf_init(&meta, RECORDING_META_MAX);
	secret_key_derive(&wrap, master, "hawser recordings");
	int r = recording_head_read(&ret->head, &chain, &meta, fd, &wrap);
	secret_key_wipe(&wrap);
	buf_fini(&meta);
	if (r == 0)
		r = read_all_blocks(&last, &chain, fd);
	bool whole = r == 0 && last.flags == BLOCK_LAST && chain.at == (uint64_t)st.st_size &&
		read_whole(fd, ret->wrapped, sizeof(ret->wrapped), RECORDING_WRAPPED_AT);
	secret_key_wipe(&chain.key);
	if (r == HW_ENOMEM)
		return hw_err_set(err, r, "no memory to check a recording");
	if (!whole)
		return hw_err_set(err, HW_ECORRUPT,
			"it is damaged at byte %" PRIu64 ", or not complete", chain.at);
	memcpy(ret->hash, chain.hash, sizeof(ret->hash));
	ret->size = (uint64_t)st.st_size;
	return 0;
}

int
recording_file_put_key(int fd, const uint8_t wrapped[RECORDING_SEALED(SECRET_KEY_LEN)],
	struct hw_err *err)
{
	if (pwrite(fd, wrapped, KEY_WRAP_LEN, RECORDING_WRAPPED_AT) != KEY_WRAP_LEN)
		return hw_err_sys(err, "cannot write the head of a recording");
	return 0;
}

/* --- another master key ----------------------------------------------------------------------- */

int
recording_file_rewrap(int dir, const char *name, const struct secret_key *from,
	const struct secret_key *to, struct hw_err *err)
{
	uint8_t fixed[RECORDING_HEAD_LEN];
	char aad[96];
	int r;

	int fd = openat(dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return hw_err_sys(err, "cannot open %s", name);
	if (!read_whole(fd, fixed, sizeof(fixed), 0)) {
		r = hw_err_set(err, HW_ENOTFOUND, "%s has no whole head", name);
	} else {
		const struct recording_head head = {get_le64(fixed + 16), get_le64(fixed + 24)};
		key_aad(aad, &head);
		if ((r = key_rewrap(fd, RECORDING_WRAPPED_AT, aad, from, to, err)) < 0)
			hw_err_prefix(err, "%s", name);
	}
	fd_close(fd);
	return r;
}
