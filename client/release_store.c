#include "client/release_store.h"

#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <string.h>
#include <unistd.h>

#include "client/meter.h"
#include "proto/base/enc.h"
#include "proto/base/file.h"

#define PIECE 65536

/* --- what it is ------------------------------------------------------------------------------- */

static int
read_head(struct release *r, int fd, struct hw_err *err)
{
	uint8_t head[RELEASE_HEAD_MAX];
	size_t n;
	int e;

	if (fd_read_all(fd, head, RELEASE_FIXED_LEN, err) < 0)
		return hw_err_set(err, HW_EVALIDATION, "the release is cut off within its head");
	if ((e = release_head_len(&n, head, err)) < 0)
		return e;
	if (fd_read_all(fd, head + RELEASE_FIXED_LEN, n - RELEASE_FIXED_LEN, err) < 0)
		return hw_err_set(err, HW_EVALIDATION,
			"the release is cut off within its manifest");
	return release_read(r, head, n, err);
}

/* Of bytes from where the file is, n of them, whether they are what the manifest says. */
static int
check_file(const struct release_file *f, int fd, struct hw_err *err)
{
	EVP_MD_CTX *hash = EVP_MD_CTX_new();
	uint8_t chunk[4096], digest[RELEASE_HASH_LEN];
	uint64_t left = f->size;
	int e = hash != NULL && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) > 0
		? 0
		: hw_err_set(err, HW_ENOMEM, "out of memory");

	while (e == 0 && left > 0) {
		size_t n = left < sizeof(chunk) ? (size_t)left : sizeof(chunk);
		if (fd_read_all(fd, chunk, n, err) < 0)
			e = hw_err_set(err, HW_EVALIDATION, "the release is cut off within %s",
				f->name);
		else
			EVP_DigestUpdate(hash, chunk, n);
		left -= n;
	}
	if (e == 0 &&
		(EVP_DigestFinal_ex(hash, digest, NULL) <= 0 ||
			memcmp(digest, f->hash, sizeof(digest)) != 0))
		e = hw_err_set(err, HW_EVALIDATION,
			"%s in the release is not what was signed: it was changed afterwards",
			f->name);
	EVP_MD_CTX_free(hash);
	return e;
}

int
release_check(struct release *ret, const char *path, struct hw_err *err)
{
	int fd = -1, e = file_open(&fd, path, err);
	uint8_t more;

	if (e == 0)
		e = read_head(ret, fd, err);
	for (size_t i = 0; e == 0 && i < ret->n_files; i++)
		e = check_file(&ret->files[i], fd, err);
	if (e == 0 && read(fd, &more, 1) != 0)
		e = hw_err_set(err, HW_EVALIDATION, "the release has bytes behind its last file");
	fd_close(fd);
	return e;
}

/* --- sending it ------------------------------------------------------------------------------- */

static int
name_file(char id[RELEASE_ID_LEN + 1], int64_t *size, int fd, struct hw_err *err)
{
	EVP_MD_CTX *hash = EVP_MD_CTX_new();
	uint8_t chunk[4096], digest[RELEASE_HASH_LEN];
	ssize_t n = -1;

	*size = 0;
	if (hash != NULL && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) > 0)
		for (; (n = pread(fd, chunk, sizeof(chunk), *size)) > 0; *size += n)
			EVP_DigestUpdate(hash, chunk, (size_t)n);
	bool good = n == 0 && EVP_DigestFinal_ex(hash, digest, NULL) > 0;
	EVP_MD_CTX_free(hash);
	if (!good)
		return hw_err_sys(err, "cannot read the release");
	hex_encode(id, digest, sizeof(digest));
	return 0;
}

static int
send_piece(const struct msg_put_agent_release_reply **at, struct client *c, const char *id, int fd,
	int64_t size, struct hw_err *err)
{
	uint8_t piece[PIECE];
	struct msg_upload_agent_release_request req = {
		.release = id, .size = size, .offset = (*at)->offset};
	ssize_t n = pread(fd, piece, sizeof(piece), (*at)->offset);
	int64_t before = (*at)->offset;
	int r;

	if (n <= 0)
		return hw_err_set(err, HW_EVALIDATION, "the release changed while it was sent");
	req.data.p = piece;
	req.data.n = (size_t)n;
	if ((r = client_call(at, c, OP_upload_agent_release, &req, err)) < 0)
		return r;
	return (*at)->complete || (*at)->offset > before
		? 0
		: hw_err_set(err, HW_EPROTO, "the relay does not take the release's bytes");
}

static int
send_all(struct client *c, const char *id, int fd, int64_t size, struct hw_err *err)
{
	const struct msg_put_agent_release_request req = {.release = id, .size = size};
	const struct msg_put_agent_release_reply *at;
	int r = client_call(&at, c, OP_put_agent_release, &req, err);
	int64_t before = r == 0 ? at->offset : 0;
	struct meter meter;

	meter_init(&meter, false);
	while (r == 0 && !at->complete) {
		meter_show(&meter, (uint64_t)(at->offset - before),
			"%" PRId64 " of %" PRId64 " MB sent", at->offset / 1000000, size / 1000000);
		r = send_piece(&at, c, id, fd, size, err);
	}
	meter_hide(&meter);
	return r;
}

int
release_put(char id[RELEASE_ID_LEN + 1], struct client *c, const char *path, struct hw_err *err)
{
	int fd = -1, r = file_open(&fd, path, err);
	int64_t size;

	if (r == 0 && (r = name_file(id, &size, fd, err)) == 0 && (r = client_connect(c, err)) == 0)
		r = send_all(c, id, fd, size, err);
	fd_close(fd);
	return r;
}
