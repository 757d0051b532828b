/*
 * What this machine never allows, whatever the relay says: a text file of its administrator.
 *
 *   deny user root            # a comment
 *   deny uid 0-999
 *   allow user deploy
 *   deny document AWS-StartNonInteractiveCommand
 *
 * A deny that matches refuses. Once there is a line that allows a user (or uid), only those that
 * such a line matches may be anybody here; the same for documents. * and ? are wildcards. The file
 * is read anew for each session, so nothing needs to be told that it changed.
 */
#ifndef HAWSER_MONITOR_LOCAL_POLICY_H
#define HAWSER_MONITOR_LOCAL_POLICY_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>

#define LOCAL_POLICY_PATH      "/etc/hawser/node.policy"
#define LOCAL_POLICY_BYTES_MAX (64 * 1024)
#define LOCAL_POLICY_LINES_MAX 1000
#define LOCAL_POLICY_WHY_MAX   191 /* bytes of a sentence, with its NUL */

struct local_policy {
	const char *path;
	bool required; /* a file that is not there allows nothing, instead of everything */
};

struct monitor_request;

/* Somebody to become, and for what. */
struct local_policy_ask {
	const char *asked; /* the name in the request, or NULL */
	const char *user;  /* the account's own name, which may differ from what it was asked by;
			      NULL: nobody's, and lines on users do not count */
	uid_t uid;
	const struct monitor_request *request;
};

/* 0, or HW_ELOCAL with the sentence in `why`. A file that cannot be read, breaks the rules above,
 * or could be written by others than root and the process's own user refuses all. */
int local_policy_check(const struct local_policy *policy, const struct local_policy_ask *ask,
	char why[LOCAL_POLICY_WHY_MAX]);

/* Whether the file would refuse all, whoever asks: the same, without anybody. */
int local_policy_inspect(const struct local_policy *policy, char why[LOCAL_POLICY_WHY_MAX]);

#endif
