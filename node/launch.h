/*
 * Which programs hawser-node run starts: those of its package, or those of a slot
 * (node/upgrade/slots.h). While a slot is tried this process stays as the parent of the monitor
 * there, and puts the old one back when nobody watches over the trial any more, or whoever does has
 * ended it.
 */
#ifndef HAWSER_NODE_LAUNCH_H
#define HAWSER_NODE_LAUNCH_H

struct launch {
	const char *dir;   /* the agent's */
	const char *slots; /* the folder's path */
	char *const *argv; /* hawser-node's own, from argv[0] on, NULL behind the last */
};

/* Returns when this process is to be the agent itself. Otherwise another program is in its place,
 * or the process has ended. */
void launch(const struct launch *l);

/* In the arguments of a program that was launched: the path of the launcher, to start again with;
 * this, when the launcher is the parent, and does that by itself. */
#define LAUNCH_BY_PARENT "-"

#endif
