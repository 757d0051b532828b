/* PutAgentRelease, UploadAgentRelease, ListAgentReleases, DeleteAgentRelease, and GetAgentRelease
 * for nodes: files that the relay keeps and does not judge. */
#include <stdlib.h>
#include <string.h>

#include "proto/base/enc.h"
#include "proto/base/file.h"
#include "relay/core/op.h"
#include "relay/core/releases.h"
#include "relay/services/text.h"

#define PIECE 131072

int
op_put_agent_release(struct op *op, const struct msg_put_agent_release_request *req,
	struct msg_put_agent_release_reply *rep)
{
	uint64_t have = 0;
	int dir = -1, r;

	if ((r = releases_open(&dir, op->env->dir, &op->err)) == 0)
		r = releases_begin(dir, req->release, (uint64_t)req->size, &have, &rep->complete,
			&op->err);
	rep->offset = (int64_t)have;
	fd_close(dir);
	return r;
}

int
op_upload_agent_release(struct op *op, const struct msg_upload_agent_release_request *req,
	struct msg_put_agent_release_reply *rep)
{
	uint64_t have = 0;
	int dir = -1, r;

	if ((r = releases_open(&dir, op->env->dir, &op->err)) == 0)
		r = releases_append(dir, req->release, (uint64_t)req->size, (uint64_t)req->offset,
			req->data.p, req->data.n, &have, &rep->complete, &op->err);
	rep->offset = (int64_t)have;
	fd_close(dir);
	return r;
}

static int
describe(struct msg_agent_release *ret, struct op *op, const struct release_kept *kept)
{
	const struct release *r = &kept->release;
	char key[BASE64_LEN(RELEASE_KEY_LEN) + 1];
	int e;

	base64_encode(key, r->key, RELEASE_KEY_LEN);
	ret->size = (int64_t)r->size;
	ret->made = r->made;
	if ((e = text_keep(&ret->release, op, kept->id)) < 0 ||
		(e = text_keep(&ret->version, op, r->version)) < 0 ||
		(e = text_keep(&ret->architecture, op, r->architecture)) < 0 ||
		(e = text_keep(&ret->follows, op, r->follows)) < 0)
		return e;
	return text_keep(&ret->key, op, key);
}

static int
fill_list(struct op *op, struct msg_list_agent_releases_reply *rep, const struct release_kept *all,
	int n)
{
	int r = 0;

	rep->releases.v = arena_array(op->arena, (size_t)n + 1, sizeof(*rep->releases.v));
	if (rep->releases.v == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for a list");
	for (int i = 0; r == 0 && i < n; i++)
		r = describe(&rep->releases.v[rep->releases.n++], op, &all[i]);
	return r;
}

int
op_list_agent_releases(struct op *op, const struct msg_empty *req,
	struct msg_list_agent_releases_reply *rep)
{
	struct release_kept *all = arena_array(op->arena, RELEASES_MAX, sizeof(*all));
	int dir = -1, n = 0, r;

	(void)req;
	if (all == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for a list");
	if ((r = releases_open(&dir, op->env->dir, &op->err)) == 0)
		r = n = releases_list(all, dir, &op->err);
	fd_close(dir);
	return r < 0 ? r : fill_list(op, rep, all, n);
}

int
op_delete_agent_release(struct op *op, const struct msg_delete_agent_release_request *req,
	struct msg_empty *rep)
{
	int dir = -1, r;

	(void)rep;
	if ((r = releases_open(&dir, op->env->dir, &op->err)) == 0)
		r = releases_remove(dir, req->release, &op->err);
	fd_close(dir);
	return r;
}

/* --- for nodes -------------------------------------------------------------------------------- */

/* Which one is meant, where it is not named. */
static int
choose(const char **ret, struct op *op, int dir, const struct msg_get_agent_release_request *req)
{
	struct release_kept found;
	int r;

	if (text_or_empty(req->release)[0] != '\0') {
		*ret = req->release;
		return 0;
	}
	if ((r = releases_find(&found, dir, text_or_empty(req->version), req->architecture,
		     &op->err)) < 0)
		return r;
	return text_keep(ret, op, found.id);
}

static int
read_piece(struct op *op, int dir, const char *id, uint64_t offset,
	struct msg_get_agent_release_reply *rep)
{
	uint8_t *piece = arena_array(op->arena, PIECE, 1);
	size_t n = PIECE;
	uint64_t size;
	int r;

	if (piece == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for a release");
	if ((r = releases_read(dir, id, offset, piece, &n, &size, &op->err)) < 0)
		return r;
	rep->release = id;
	rep->size = (int64_t)size;
	rep->data.p = piece;
	rep->data.n = n;
	return 0;
}

int
op_get_agent_release(struct op *op, const struct msg_get_agent_release_request *req,
	struct msg_get_agent_release_reply *rep)
{
	const char *id;
	int dir = -1, r;

	if ((r = releases_open(&dir, op->env->dir, &op->err)) == 0 &&
		(r = choose(&id, op, dir, req)) == 0)
		r = read_piece(op, dir, id, (uint64_t)req->offset, rep);
	fd_close(dir);
	return r;
}
