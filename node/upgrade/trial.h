/* A slot is tried: the new agent is started in the old one's place, and has its time to prove
 * itself. */
#ifndef HAWSER_NODE_UPGRADE_TRIAL_H
#define HAWSER_NODE_UPGRADE_TRIAL_H

#include "node/upgrade/agent.h"
#include "node/upgrade/slots.h"

struct trial {
	int slots;
	const char *slots_path;
	struct slot slot;
	const char *running; /* the version that is to come back if it fails */
	int within;	     /* seconds */
	struct agent_talk *talk;
};

/* 0: the slot is the current one. Otherwise the agent that ran before runs again, or the sentence
 * says that it does not. Whoever calls it holds the slots' lock. */
int trial_run(struct trial *t, struct hw_err *err);

#endif
