/*
 * Where a forward goes: a name, an address, or a Unix socket's path, in one canonical spelling. An
 * address hides in many (0251.0376.0251.0376, ::ffff:a9fe:a9fe, 64:ff9b::a9fe:a9fe): here each of
 * them is the one that would be reached. Pure: nothing is looked up.
 */
#ifndef HAWSER_WIRE_HOST_H
#define HAWSER_WIRE_HOST_H

#include <sys/socket.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"

#define HOST_MAX      255
#define HOST_SOCKET   "unix:" /* and an absolute path of at most HOST_PATH_MAX bytes */
#define HOST_PATH_MAX 107

enum host_kind { HOST_IS_NAME, HOST_IS_ADDRESS, HOST_IS_SOCKET };

/* What an address is, besides a way to somebody else. */
enum host_trait {
	HOST_LOCAL = 1,	  /* loopback, or no address at all, which is loopback too */
	HOST_GUARDED = 2, /* reached only where a policy names it: link-local, a cloud's metadata,
			     multicast, broadcast, unspecified, and what embeds none of ours */
};

struct host {
	enum host_kind kind;
	char text[HOST_MAX + 1];   /* what to reach: lower case, without a trailing dot */
	char judged[HOST_MAX + 1]; /* what policies see: of an address that holds an IPv4 address,
				      that one */
	unsigned traits;	   /* of an address; a Unix socket and localhost are local */
	struct sockaddr_storage address; /* of HOST_IS_ADDRESS, port 0 */
	socklen_t address_len;
};

/* HW_EVALIDATION: "..." and why it is none. */
int host_parse(struct host *ret, const char *text, struct hw_err *err);

/* The address that decides: an IPv4 address that an IPv6 address stands for (mapped, compatible,
 * NAT64, 6to4), else the same. Port and length stay those of `sa`'s family. */
void host_judged(struct sockaddr_storage *ret, const struct sockaddr *sa);
unsigned host_traits(const struct sockaddr *sa);
/* What it is that makes it guarded, as "a link-local address"; "" when nothing does. */
const char *host_guarded_as(const struct sockaddr *sa);

/* Whether two addresses are the same, whatever their ports. */
bool host_same(const struct sockaddr *a, const struct sockaddr *b);

/* The address alone, canonical; or with its port, as 10.0.0.9:5432 or [2001:db8::1]:5432. */
#define HOST_SHOWN_MAX 128
void host_write(char out[HOST_SHOWN_MAX], const struct sockaddr *sa, int port);

#endif
