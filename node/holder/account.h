/* The operating system user that a program runs as, and becoming it for good. */
#ifndef HAWSER_HOLDER_ACCOUNT_H
#define HAWSER_HOLDER_ACCOUNT_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>

struct account {
	uid_t uid;
	gid_t gid;
	char name[65];
	char home[256], shell[256];
};

/* By name, or the process's own when name is NULL. HW_ERUNAS with the sentence in `why`. */
int account_find(struct account *ret, const char *name, char *why, size_t room);

/* Looks the process's own up and forgets it: what NSS loads for that is there for children. With
 * `groups` also what it loads for groups, which may be half of a small process. */
void account_load(bool groups);

/* Becomes the user with all its groups, when the process is root, and checks that there is no way
 * back; otherwise checks that it is the user already. Where this fails nothing of the user's may
 * run: HW_ESYS. */
int account_become(const struct account *a, char *why, size_t room);

/* Changes nothing, and checks that the process is the user: real, effective and saved. Its groups
 * are those that it was started with. HW_ESYS. */
int account_stay(const struct account *a, char *why, size_t room);

#endif
