#include "client/keep.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

/* Each stream's is over its steps, of which each has a digest of its own: where a step ends counts.
 */
struct keep_digests {
	struct {
		EVP_MD_CTX *all, *step;
		size_t at; /* the step */
	} of[2];
};

struct keep {
	struct spool *spool;
};

int
keep_new(struct keep **ret, int64_t each, struct hw_err *err)
{
	struct keep *k = calloc(1, sizeof(*k));
	int r;

	if (k == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	if ((r = spool_new(&k->spool, each, err)) < 0) {
		free(k);
		return r;
	}
	*ret = k;
	return 0;
}

void
keep_free(struct keep *k)
{
	if (k == NULL)
		return;
	spool_free(k->spool);
	free(k);
}

struct spool *
keep_spool(const struct keep *k)
{
	return k->spool;
}

/* --- digests ---------------------------------------------------------------------------------- */

static EVP_MD_CTX *
begin_digest(void)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	hw_assert(ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) > 0);
	return ctx;
}

static void
update_digest(EVP_MD_CTX *ctx, const void *p, size_t n)
{
	hw_assert(EVP_DigestUpdate(ctx, p, n) > 0);
}

static void
end_digest(uint8_t out[KEEP_DIGEST], EVP_MD_CTX **ctx)
{
	hw_assert(EVP_DigestFinal_ex(*ctx, out, NULL) > 0);
	EVP_MD_CTX_free(*ctx);
	*ctx = NULL;
}

static void
end_step(struct keep_digests *d, int stream)
{
	uint8_t digest[KEEP_DIGEST];
	uint64_t step = d->of[stream].at;

	if (d->of[stream].step == NULL)
		return;
	end_digest(digest, &d->of[stream].step);
	update_digest(d->of[stream].all, &step, sizeof(step));
	update_digest(d->of[stream].all, digest, sizeof(digest));
}

static void
digest_output(struct keep_digests *d, int stream, size_t step, const uint8_t *p, size_t n)
{
	if (d->of[stream].at != step)
		end_step(d, stream);
	if (d->of[stream].all == NULL)
		d->of[stream].all = begin_digest();
	if (d->of[stream].step == NULL)
		d->of[stream].step = begin_digest();
	d->of[stream].at = step;
	update_digest(d->of[stream].step, p, n);
}

/* Of both streams; one that is empty is none. */
static void
end_digests(struct kept *kept)
{
	struct keep_digests *d = kept->digests;
	uint8_t both[2][KEEP_DIGEST] = {{0}};
	EVP_MD_CTX *ctx;

	for (int i = 0; d != NULL && i < 2; i++) {
		end_step(d, i);
		if (d->of[i].all != NULL)
			end_digest(both[i], &d->of[i].all);
	}
	ctx = begin_digest();
	update_digest(ctx, both, sizeof(both));
	end_digest(kept->digest, &ctx);
	free(d);
	kept->digests = NULL;
}

/* --- keeping ---------------------------------------------------------------------------------- */

static struct kept *
kept_of(struct follow_node *node)
{
	if (node->of_view == NULL)
		node->of_view = calloc(1, sizeof(struct kept));
	return node->of_view;
}

static int
make_room(struct kept *kept, size_t step)
{
	size_t n = 2 * (step + 1);
	struct spooled *streams;

	if (n <= kept->n)
		return 0;
	if ((streams = reallocarray(kept->streams, n, sizeof(*streams))) == NULL)
		return HW_ENOMEM;
	memset(streams + kept->n, 0, (n - kept->n) * sizeof(*streams));
	kept->streams = streams;
	kept->n = n;
	return 0;
}

int
keep_output(struct keep *k, struct follow_node *node, int stream, size_t step, const uint8_t *p,
	size_t n, struct hw_err *err)
{
	struct kept *kept = kept_of(node);

	if (kept == NULL || make_room(kept, step) < 0)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	if (kept->digests == NULL && (kept->digests = calloc(1, sizeof(*kept->digests))) == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	digest_output(kept->digests, stream, step, p, n);
	return spool_append(k->spool, &kept->streams[2 * step + (size_t)stream], p, n, err);
}

int
keep_end(struct keep *k, struct follow_node *node, struct hw_err *err)
{
	struct kept *kept = kept_of(node);

	(void)k;
	if (kept == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	end_digests(kept);
	return 0;
}

void
keep_drop(struct keep *k, struct follow_node *node)
{
	struct kept *kept = node->of_view;

	if (kept == NULL)
		return;
	if (kept->digests != NULL)
		end_digests(kept);
	for (size_t i = 0; i < kept->n; i++)
		spool_drop(k->spool, &kept->streams[i]);
	free(kept->streams);
	free(kept);
	node->of_view = NULL;
}

void
keep_drop_all(struct keep *k, const struct follow *f)
{
	for (size_t i = 0; f != NULL && i < follow_count(f); i++)
		keep_drop(k, follow_node(f, i));
}

const struct spooled *
keep_stream(const struct follow_node *node, size_t step, int stream)
{
	const struct kept *kept = node->of_view;
	size_t i = 2 * step + (size_t)stream;

	return kept != NULL && i < kept->n && kept->streams[i].bytes + kept->streams[i].beyond > 0
		? &kept->streams[i]
		: NULL;
}
