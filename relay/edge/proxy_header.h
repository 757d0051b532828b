/*
 * The head that a load balancer puts before a connection's own bytes: the PROXY protocol, versions
 * 1 and 2, of which addresses are read, and nothing else. Pure.
 */
#ifndef HAWSER_EDGE_PROXY_HEADER_H
#define HAWSER_EDGE_PROXY_HEADER_H

#include <sys/socket.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROXY_HEADER_MAX 1024 /* of both versions; those of real balancers have some hundred */

enum proxy_header_state {
	PROXY_HEADER_BAD,   /* it is none */
	PROXY_HEADER_PART,  /* `n` is how many bytes there must be before the next look */
	PROXY_HEADER_WHOLE, /* `n` is its length */
};

struct proxy_header {
	size_t n;
	bool told; /* whose connection it is; a balancer's own (LOCAL, UNKNOWN) is its own */
	struct sockaddr_storage from;
};

/* Looks at the `n` bytes that are there. */
enum proxy_header_state proxy_header_read(struct proxy_header *ret, const uint8_t *p, size_t n);

#endif
