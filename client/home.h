/*
 * The client's directory: who we are and which relay is ours. Files: config (a line each), ca.crt,
 * user.crt, user.key, last-command; the folder names (client/names.h), and what is kept of ledgers
 * (client/lookout.h).
 */
#ifndef HAWSER_CLIENT_HOME_H
#define HAWSER_CLIENT_HOME_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/base/err.h"

#define HOME_CA	     "ca.crt"
#define HOME_CERT    "user.crt"
#define HOME_KEY     "user.key"
#define HOME_WITNESS "witness-"	    /* how names of files begin that outlive a login */
#define HOME_LAST    "last-command" /* the id of the one that was sent last */
#define HOME_NAMES   "names"

struct home {
	char path[PATH_MAX];
	char relay[512]; /* https://HOST:PORT#sha256:PIN */
	char user[129], fleet[65];
	int64_t issued, expires; /* of the certificate, microseconds since 1970 */
};

/* Where it is: `wanted`, or HAWSER_HOME, or the default. Touches nothing. */
int home_find(struct home *h, const char *wanted, struct hw_err *err);

/* Reads config. HW_EUNAUTH when nobody is logged in there. */
int home_load(struct home *h, struct hw_err *err);
/* Writes config, making the directory. */
int home_save(const struct home *h, struct hw_err *err);
/* The directory itself, 0700, made when asked. */
int home_open(int *fd, const struct home *h, bool make, struct hw_err *err);
/* Removes config, key and certificates; *had says whether there was a login. */
int home_forget(bool *had, const struct home *h, struct hw_err *err);

/* "path/name". */
void home_file(char out[PATH_MAX], const struct home *h, const char *name);

#endif
