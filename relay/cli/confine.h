/* The relay's sandbox: what its one process needs, once it is up, and no more. */
#ifndef HAWSER_RELAY_CONFINE_H
#define HAWSER_RELAY_CONFINE_H

#include <stdint.h>

#include "proto/sandbox/sandbox.h"

struct confine {
	const char *dir;	       /* all of it is the relay's own */
	const char *master_key;	       /* a path from here; NULL or in dir: nothing more is read */
	int listen_port, metrics_port; /* 0: none */
	bool dials;		       /* to a storage, or a syslog server */
	const char *s3_secret, *s3_ca; /* as master_key */
	const char *stream_dir;	       /* where a file lies that entries go to; NULL or in dir */
	const char *anchor_dir;	       /* the same of heads that are anchored */
	const char *stream_files[3];   /* the relay's side of syslog; NULL or in dir */
};

/* Enters it; before any thread is started. As sandbox_enter(). */
int confine_relay(char said[SANDBOX_SAID_MAX], const struct confine *c, struct hw_err *err);

#endif
