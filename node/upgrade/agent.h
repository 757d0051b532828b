/* The side of courier.h that asks: hawser-node-upgrade's. Each call connects, asks, and waits. */
#ifndef HAWSER_NODE_UPGRADE_AGENT_H
#define HAWSER_NODE_UPGRADE_AGENT_H

#include "node/upgrade/courier.h"

struct hw_err;

/* An answer takes longer than that: HW_ETIMEOUT. */
#define AGENT_WITHIN_MS 30000

struct agent_talk {
	const char *dir; /* of the agent */
	int fd;		 /* -1: not connected */
	uint8_t message[sizeof(struct courier_answer) + COURIER_PIECE_MAX];
};

/* Asks, over the connection that there is or a new one. HW_EUNAVAILABLE: no agent answers; a
 * negative code of the agent's own comes with its sentence. *piece is good until the next call. */
int agent_ask(struct courier_answer *ret, const uint8_t **piece, struct agent_talk *t,
	struct courier_ask *ask, int within_ms, struct hw_err *err);
void agent_hang_up(struct agent_talk *t);

#endif
