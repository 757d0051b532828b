/*
 * What invocations wrote: one file for each stream of each step, DIR/commands/COMMAND/NODE.STEP.out
 * or .err, under the relay's directory. A file is a row of blocks, each sealed with a key of the
 * master key's, so that nothing is on disk in clear, and no block can be moved or changed.
 *
 * Names are made of ids and numbers that the caller has checked. Any thread; of one stream only one
 * at a time appends, while others may read.
 */
#ifndef HAWSER_CORE_OUTPUTS_H
#define HAWSER_CORE_OUTPUTS_H

#include "proto/base/buf.h"
#include "proto/trust/secret.h"

#define OUTPUTS_DIR "commands"

struct outputs;

/* `dir` is the relay's; what is there is counted when it is touched, or by outputs_count(). */
int outputs_new(struct outputs **ret, const char *dir, const struct secret_key *master,
	struct hw_err *err);
void outputs_free(struct outputs *o); /* NULL is fine */

struct output_name {
	const char *command, *node;
	int step;
	int stream; /* OUTPUT_STREAM_* */
};

/* How many bytes there are; 0 when there is no file. The last block counts by its length alone. */
int outputs_size(struct outputs *o, const struct output_name *name, int64_t *ret,
	struct hw_err *err);
/* The same of what can be read: what a power cut has spoiled, and all behind it, is cut off. */
int outputs_repair(struct outputs *o, const struct output_name *name, int64_t *ret,
	struct hw_err *err);

/* Appends what of the n bytes from `offset` on is not there yet. *size is then how many there are:
 * less than `offset` when there is a gap, and nothing was written. */
int outputs_append(struct outputs *o, const struct output_name *name, int64_t offset, const void *p,
	size_t n, int64_t *size, struct hw_err *err);
/* All of it is on disk when it returns 0. */
int outputs_sync(struct outputs *o, const struct output_name *name, struct hw_err *err);

/* The same of one file that stays open meanwhile, whether or not there is one yet: the texts of its
 * name live as long. Appending makes it. */
struct output_file;
int output_file_open(struct output_file **ret, struct outputs *o, const struct output_name *name,
	struct hw_err *err);
void output_file_close(struct output_file *f);	       /* NULL is fine */
int64_t output_file_size(const struct output_file *f); /* also after one that failed */
int output_file_append(struct output_file *f, int64_t offset, const void *p, size_t n,
	struct hw_err *err);

/* At most n bytes from `offset` on, as many as there are: to p, *got of them, and *size is how many
 * there are of all; or appended. What is
 * before a block that is damaged is there also with HW_ECORRUPT. */
int outputs_read_to(struct outputs *o, const struct output_name *name, int64_t offset, void *p,
	size_t n, size_t *got, int64_t *size, struct hw_err *err);
int outputs_read(struct outputs *o, const struct output_name *name, int64_t offset, size_t n,
	struct buf *out, struct hw_err *err);

/* Counts what an earlier process left, some files at a time. Once, before outputs_total() matters;
 * any thread. */
void outputs_count(struct outputs *o);
/* Bytes of all of them together. */
int64_t outputs_total(struct outputs *o);
/* HW_EUNAVAILABLE when so many bytes more would be above `most` of all together, or would leave too
 * little of the file system free. */
int outputs_have_room(struct outputs *o, int64_t more, int64_t most, struct hw_err *err);
/* Whether there was none since the last call. */
bool outputs_take_refused(struct outputs *o);

/* All of a command; nothing there is no error. */
int outputs_drop(struct outputs *o, const char *command, struct hw_err *err);

/* Seals all that is there with a key of another master key. Nobody has it open, and each file is
 * replaced as a whole: may be called again after it was killed. A block that `from` does not open
 * was damaged before, and stays so. */
int outputs_rekey(const char *dir, const struct secret_key *from, const struct secret_key *to,
	struct hw_err *err);

#endif
