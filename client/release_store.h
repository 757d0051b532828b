/* A release's file on its way to the relay, which keeps it for the nodes. */
#ifndef HAWSER_CLIENT_RELEASE_STORE_H
#define HAWSER_CLIENT_RELEASE_STORE_H

#include "client/client.h"
#include "proto/trust/release.h"

#define RELEASE_ID_LEN 64

/* What the file says of itself, once all of it was found to be what was signed. HW_EVALIDATION. */
int release_check(struct release *ret, const char *path, struct hw_err *err);

/* Sends what the relay does not have of it yet; `id` is what it is called there: its SHA-256. */
int release_put(char id[RELEASE_ID_LEN + 1], struct client *c, const char *path,
	struct hw_err *err);

#endif
