/*
 * HTTP proxies: which one a connection goes by, what it is asked, and what its answer means. Pure:
 * tcp_dial.h has the sockets.
 */
#ifndef HAWSER_WIRE_PROXY_H
#define HAWSER_WIRE_PROXY_H

#include <stdbool.h>

#include "proto/base/buf.h"

#define PROXY_TEXT_MAX 512 /* of a proxy as it is written */

struct proxy {
	char host[256]; /* a name or an address; IPv6 without brackets; "": there is none */
	int port;
	char user[128], password[256]; /* secrets: never in a log, an error or a status */
	bool login;		       /* there are such */
};

/* [http://][USER[:PASSWORD]@]HOST:PORT[/], %XX in USER and PASSWORD decoded. HW_EVALIDATION says
 * what is wrong without repeating the text, which may hold a password. */
int proxy_parse(struct proxy *ret, const char *text, struct hw_err *err);

/* A text that parses to the same, its secrets included; HW_ELIMIT when it does not fit. */
int proxy_format(char out[PROXY_TEXT_MAX], const struct proxy *p);

/* HOST:PORT, for people. */
#define PROXY_SHOWN_MAX 272
void proxy_write(char out[PROXY_SHOWN_MAX], const struct proxy *p);

/* The one that the environment names for https://host:port, as curl reads it: https_proxy,
 * HTTPS_PROXY, else all_proxy, ALL_PROXY where that is an HTTP proxy, unless no_proxy or NO_PROXY
 * has the host. ret->host is "" when there is none. HW_EVALIDATION names the variable. */
int proxy_of_environment(struct proxy *ret, const char *host, int port, struct hw_err *err);

/* Whether a list as NO_PROXY has it names the host: names and their subdomains, with or without a
 * dot before them, addresses, networks, each perhaps with :PORT; * is all. */
bool proxy_is_bypassed(const char *list, const char *host, int port);

/* Appends the request that asks for a way to host:port. */
int proxy_request(struct buf *out, const struct proxy *p, const char *host, int port);

#define PROXY_ANSWER_MAX 16384

/* 1: the way is open. 0: the head of the answer is not there whole. HW_EUNAVAILABLE or HW_EPROTO:
 * the sentence says what the proxy said, and what to do. `in` is all that has come so far. */
int proxy_answer(const struct proxy *p, const char *host, int port, const void *in, size_t n,
	struct hw_err *err);

#endif
