/*
 * Links of many peers in one process, as a relay sees them: TLS 1.3 with a certificate each, HELLO,
 * pings and pongs. epoll and OpenSSL alone, so that ten thousand fit on a machine beside their
 * relay. What does not work ends the program.
 */
#ifndef HAWSER_BENCH_SIM_LINK_H
#define HAWSER_BENCH_SIM_LINK_H

#include <sys/socket.h>

#include <time.h>

#include <openssl/ssl.h>

#include "proto/trust/cert.h"
#include "proto/trust/https.h"
#include "proto/wire/enrol.h"
#include "proto/wire/frame.h"

enum sim_wait { WAIT_NOTHING, WAIT_TCP, WAIT_TLS, WAIT_UPGRADE, WAIT_HELLO, WAIT_END };

struct sim_link {
	int fd; /* -1: none */
	enum sim_wait state;
	int role; /* ROLE_* */
	SSL *ssl;
	X509 *cert;
	EVP_PKEY *key;
	char id[CERT_ID_MAX];
	struct buf in, out;
	time_t pinged, dialled;
	uint64_t requests; /* that it made */
};

struct sim_net {
	struct relay_url url;
	SSL_CTX *tls;
	struct sockaddr_storage address;
	socklen_t address_len;
	int epoll;    /* each link's events have the link as their data */
	int up, lost; /* links that have HELLO; those that ended after it */
	int failed;   /* times that one did not come so far */
	long pings, pongs, bytes;
	/* HELLO has come. */
	void (*on_up)(void *arg, struct sim_link *l);
	/* A head of the relay's ledger, from HELLO (after on_up) or a ping; good during the call.
	 * May be NULL. */
	void (*on_head)(void *arg, struct sim_link *l, const char *head);
	/* The connection is over, after HELLO or before it: who wants to dial again, does so later.
	 * NULL: one that never was up is lost too. */
	void (*on_lost)(void *arg, struct sim_link *l, bool was_up);
	/* Every other frame but Ping, Pong and the link's CLOSE. What it says goes when it returns.
	 */
	void (*on_frame)(void *arg, struct sim_link *l, const struct frame *f);
	void *arg;
};

void sim_die(const char *what, const struct hw_err *err); /* errno when err is NULL */

/* `url` is set. */
void sim_net_init(struct sim_net *net);

/* Who it is, by the files of a directory. */
void sim_link_load(struct sim_link *l, int dir, const char *cert, const char *key, int role);
void sim_link_dial(struct sim_net *net, struct sim_link *l);
void sim_link_ready(struct sim_net *net, struct sim_link *l, uint32_t events);
/* Sends a ping when one is due, and gives up what was not up within ten seconds. */
void sim_link_ping(struct sim_net *net, struct sim_link *l, time_t now);

/* Each queues a frame: a message; the caller's own; a request, whose number is returned. */
void sim_say(struct sim_link *l, enum frame_kind kind, uint32_t channel, const struct msg_row *row,
	const void *msg);
void sim_say_frame(struct sim_link *l, const struct frame *f);
uint64_t sim_request(struct sim_link *l, const struct op_row *row, const struct msg_row *msg_row,
	const void *msg);
/* One message of whole frames. */
void sim_say_encoded(struct sim_link *l, const struct buf *frames);
/* Sends what is queued, as far as it goes. */
void sim_flush(struct sim_net *net, struct sim_link *l);

#endif
