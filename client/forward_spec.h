/*
 * What is forwarded, as it stands on the command line: -L, -D, --stdio, or a port alone. Pure.
 */
#ifndef HAWSER_CLIENT_FORWARD_SPEC_H
#define HAWSER_CLIENT_FORWARD_SPEC_H

#include <stdbool.h>

#include "proto/wire/host.h"

enum forward_kind { FORWARD_TO, FORWARD_SOCKS, FORWARD_STDIO };

struct forward_spec {
	enum forward_kind kind;
	char bind[HOST_MAX + 1]; /* an address, or a Unix socket's path; "" for stdio */
	bool bind_is_path;
	int bind_port;	  /* 0: one that is free */
	struct host host; /* where to; not of FORWARD_SOCKS */
	int port;	  /* 0 of a Unix socket */
};

/* [BIND:]PORT:HOST:HOSTPORT, where SOCKET may stand for BIND and port, and unix:/path (or the path
 * alone) for HOST:HOSTPORT. HW_EUSAGE. */
int forward_spec_local(struct forward_spec *ret, const char *text, struct hw_err *err);
/* [BIND:]PORT */
int forward_spec_socks(struct forward_spec *ret, const char *text, struct hw_err *err);
/* HOST:PORT or unix:/path */
int forward_spec_stdio(struct forward_spec *ret, const char *text, struct hw_err *err);
/* PORT, for the node's own. */
int forward_spec_port(struct forward_spec *ret, const char *text, struct hw_err *err);

#define FORWARD_SHOWN_MAX (HOST_MAX + 16)
/* 127.0.0.1:8080, or the path. */
void forward_spec_near(char out[FORWARD_SHOWN_MAX], const struct forward_spec *s);
/* 10.0.0.9:5432, unix:/path, or socks5. */
void forward_spec_far(char out[FORWARD_SHOWN_MAX], const struct forward_spec *s);

#endif
