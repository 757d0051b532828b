/* All that a relay keeps for auditors, in a directory of a test's own, and images of it in memory.
 */
#ifndef HAWSER_TESTS_UNIT_AUDIT_VAULT_H
#define HAWSER_TESTS_UNIT_AUDIT_VAULT_H

#include "audit/ledger.h"
#include "audit/ledger_heads.h"
#include "audit/recording.h"
#include "audit/verify.h"
#include "tests/unit/audit/scratch.h"

#define VAULT_ORIGIN "hawser/0123456789ab/relay"

struct vault {
	struct scratch s;
	struct ca *ca;
	EVP_PKEY *retired; /* of the epoch before the last rotation */
	EVP_PKEY *recovery;
	int dir;
	const struct journal_io *io;
	size_t segment_size, ledger_file_size; /* 0: as a relay has them */
	size_t reserve;
	uint64_t complaints; /* of what vault_entries() and vault_work() call */
	struct journal *journal;
	struct ledger *ledger;
	struct ledger_heads *heads;
	struct archiver *archiver;
};

void vault_init(struct vault *v); /* with epochs */
void vault_fini(struct vault *v);
int vault_try_open(struct vault *v, struct hw_err *err);
void vault_open(struct vault *v);
/* In order: with all filed, and a last head. */
void vault_close(struct vault *v);
/* Without any of that. */
void vault_drop(struct vault *v);
void vault_entries(struct vault *v, unsigned n);
/* A session with so much output; it ends when it is told to. */
void vault_session(struct vault *v, uint64_t session, const char *id, size_t output, bool ends);
/* More of a session's output, from an offset on; its end. */
void vault_output(struct vault *v, uint64_t session, uint64_t offset, size_t n);
void vault_end(struct vault *v, uint64_t session);
void vault_delete(struct vault *v, const char *id); /* a recording, as retention does */
void vault_work(struct vault *v);		    /* what threads would do in two seconds */
struct log_head vault_head(struct vault *v);
void vault_rotate(struct vault *v);  /* closed */
void vault_recover(struct vault *v); /* closed: an epoch of the recovery key's, at the last head */

/* --- images ----------------------------------------------------------------------------------- */

struct image_file {
	char path[128];
	uint8_t *p;
	size_t n, room;
};

struct image {
	struct image_file files[64];
	size_t n;
};

void image_load(struct image *im, const char *dir);
void image_save(const struct image *im, const char *dir); /* in place of what is there */
void image_fini(struct image *im);
struct image_file *image_find(struct image *im, const char *path);
struct verify_source image_source(struct image *im);

#endif
