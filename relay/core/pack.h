/*
 * A backup's file: files one after another, sealed, with the list of them at the end. It is written
 * and read from one end to the other.
 *
 *   "hawser backup 1\n"
 *   u32 length of a box (proto/trust/secret.h) with the file's own key, sealed to its readers; it
 *   u32 length of a reader's private key that a passphrase locks (proto/trust/auditor_key.h), or 0;
 *       it
 *   pieces: u32 length, with bit 31 set in the last one; that much, sealed with AES-256-GCM under
 *       the file's own key, with the piece's number as nonce. Bound to it: the SHA-256 of all
 *       above, and whether it is the last.
 *
 * What they hold, joined:
 *
 *   'F', u32 length of a name, the name, u64 size, the bytes, their SHA-256: for each file
 *   'M', u32 length, the list
 *
 * Numbers are little-endian. The list is text: lines "KEY VALUE" that say what it is a backup of,
 * then "file <SHA-256> <size> <name>" for each file, in order.
 */
#ifndef HAWSER_CORE_PACK_H
#define HAWSER_CORE_PACK_H

#include "proto/base/buf.h"
#include "proto/trust/auditor_key.h"

#define PACK_FORMAT   1
#define PACK_NAME_MAX 320
#define PACK_LIST_MAX (256 << 20)

/* A path below the directory, of names that a shell and a terminal can take. Others are refused
 * when they are read: whoever writes asks first. */
bool pack_name_valid(const char *name);

/* --- writing ---------------------------------------------------------------------------------- */

struct pack_out;

/* To the readers, or to whoever knows the passphrase (NULL: nobody by one). One of them must be. fd
 * is the caller's. */
int pack_out_open(struct pack_out **ret, int fd, const struct box_readers *readers,
	const char *passphrase, struct hw_err *err);
void pack_out_close(struct pack_out *p); /* NULL is fine */
/* The first `size` bytes of an open file. HW_ECORRUPT when it has fewer. */
int pack_out_file(struct pack_out *p, const char *name, int from, uint64_t size,
	void (*step)(void *arg, uint64_t bytes), void *arg, struct hw_err *err);
/* The last thing: what it is a backup of, lines of text, before the files. */
int pack_out_end(struct pack_out *p, const char *about, struct hw_err *err);

/* --- reading ---------------------------------------------------------------------------------- */

struct pack_in;

/* HW_ECORRUPT: no backup; HW_EVERSION: of a later program. Safe on hostile bytes, as is all below.
 */
int pack_in_open(struct pack_in **ret, int fd, struct hw_err *err);
void pack_in_close(struct pack_in *p); /* NULL is fine */
/* One of the two, before the first file. HW_EDENIED: it is not for that key, or not with that
 * passphrase. */
int pack_in_unlock(struct pack_in *p, const struct auditor_key *key, struct hw_err *err);
int pack_in_unlock_with(struct pack_in *p, const char *passphrase, struct hw_err *err);
/* 1: a file's name and size, whose bytes pack_in_copy() takes next; 0: there is no more, and all
 * that came was what the list says. HW_ECORRUPT. */
int pack_in_next(struct pack_in *p, const char **name, uint64_t *size, struct hw_err *err);
/* The bytes go to `to` (-1: nowhere), and are what was written. */
int pack_in_copy(struct pack_in *p, int to, void (*step)(void *arg, uint64_t bytes), void *arg,
	struct hw_err *err);
/* After the last: what stands before the files. Lives in it. */
const char *pack_in_about(const struct pack_in *p);

#endif
