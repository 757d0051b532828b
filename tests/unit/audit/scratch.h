/* Directories of a test's own, and a journal in one. */
#ifndef HAWSER_TESTS_UNIT_AUDIT_SCRATCH_H
#define HAWSER_TESTS_UNIT_AUDIT_SCRATCH_H

#include <stdbool.h>

#include "audit/journal.h"

struct scratch {
	char dir[64];
	char journal[80], recordings[80], ledger[80];
	struct secret_key master;
	struct fake_clock clock;
};

void scratch_init(struct scratch *s);
void scratch_fini(struct scratch *s); /* removes the directory */

/* An inline journal over the scratch's directory and clock. */
struct journal_config scratch_journal(const struct scratch *s);

void dir_remove(const char *dir);
void dir_copy(const char *to, const char *from); /* regular files and directories */
/* Names in a directory, sorted, joined by blanks, lock files left out. */
const char *dir_names(char *out, size_t room, const char *dir);

void file_flip(const char *path, long long at);	  /* one bit; negative: from the end */
void file_cut(const char *path, long long bytes); /* from the end */
long long file_length(const char *path);

#endif
