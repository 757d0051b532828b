/*
 * Verifying a relay's directory from its files and public keys alone: the ledger's epochs, heads,
 * tree and files, the recordings that it speaks of, and the journal's frames. With the master key
 * also what is sealed.
 *
 * A reader written apart from what writes: of that it shares SHA-256, Ed25519, AES-GCM, CRC-32C,
 * and the texts that are signed, but no format of a file. Safe on hostile bytes. Nothing is
 * changed.
 */
#ifndef HAWSER_AUDIT_VERIFY_H
#define HAWSER_AUDIT_VERIFY_H

#include <stdarg.h>

#include "proto/trust/cert.h"
#include "proto/trust/log_head.h"
#include "proto/trust/secret.h"

/* --- where the files are ---------------------------------------------------------------------- */

struct verify_file {
	uint64_t size;
	int fd;
	const uint8_t *mem;
};

/* A directory of a relay, or what a test has of one in memory. */
struct verify_source {
	void *arg;
	/* `path` is as "ledger/tree". HW_ENOTFOUND. */
	int (*open)(void *arg, struct verify_file *ret, const char *path, struct hw_err *err);
	/* n bytes that lie within the file. */
	int (*read)(void *arg, const struct verify_file *f, uint64_t at, void *p, size_t n,
		struct hw_err *err);
	void (*close)(void *arg, struct verify_file *f);
	/* Calls `each` for every name in a folder; a missing one has none. */
	int (*list)(void *arg, const char *folder,
		int (*each)(void *ctx, const char *name, struct hw_err *err), void *ctx,
		struct hw_err *err);
};

/* The source over a directory, whose descriptor is lent. */
struct verify_source verify_directory(int *dir);

/* --- verifying -------------------------------------------------------------------------------- */

enum verify_verdict {
	VERIFY_INTACT = 0,
	VERIFY_BROKEN = 1,
	VERIFY_UNCHECKED = 2, /* nothing is broken, but not all could be checked */
};

#define VERIFY_NONE UINT64_MAX

/* A head that somebody kept, and where it lies: texts are lent. */
struct verify_kept {
	struct log_head head;
	const char *origin;
	const char *file;  /* what it is called in findings */
	uint64_t from, to; /* bytes of it; VERIFY_NONE: all */
};

struct verify_options {
	X509 *ca;			 /* the fleet's authority */
	const struct secret_key *master; /* NULL: what is sealed stays so */
	const struct log_head *known;	 /* a head that somebody kept; NULL: none */
	const char *known_origin;
	const struct verify_kept *kept; /* and more of them: anchors, witnesses */
	size_t n_kept;
	bool is_running; /* a relay writes to it: what is not signed yet is no wonder */
	int64_t now;	 /* on this machine; 0: not known. A relay that runs has a head of now */
	/* Threads that work on it, with the caller's; 0 is 1. The source is then read by several
	 * at once. What is found, and in which order, does not depend on it. */
	unsigned threads;
};

#define VERIFY_FINDINGS_MAX 16

struct verify_finding {
	char file[160];
	uint64_t from, to; /* bytes of it; VERIFY_NONE: not known */
	uint64_t entry,
		entry_to; /* entries of the ledger, the latter excluded; VERIFY_NONE: none */
	char what[640];
};

/* A sentence, which is cut between words where it has not room enough. */
void verify_sentence(char *out, size_t room, const char *fmt, va_list ap) HW_PRINTF(3, 0);

struct verify_result {
	enum verify_verdict verdict;
	size_t n_findings; /* found in all; the first VERIFY_FINDINGS_MAX are kept */
	struct verify_finding findings[VERIFY_FINDINGS_MAX];
	size_t n_doubts; /* what could not be checked, likewise */
	struct verify_finding doubts[VERIFY_FINDINGS_MAX];
	uint64_t entries, erased, heads, epochs, sessions, bytes;
	uint64_t kept, given_up; /* heads that were kept: in all, and of what a recovery gave up */
	bool ledger_broken, recordings_broken;
	struct log_head head; /* the newest; size 0 and time 0 when there is none */
	char origin[LOG_ORIGIN_MAX];
};

/* 0, and the verdict is in *ret; an error when it could not be done: HW_ENOTFOUND when there is no
 * ledger, HW_EIO, HW_ENOMEM. */
int verify_run(struct verify_result *ret, const struct verify_source *source,
	const struct verify_options *options, struct hw_err *err);

#endif
