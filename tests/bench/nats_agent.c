/*
 * What a message broker with standing connections makes of a command on many machines: agents on a
 * nats-server over TLS that start a program when they are told to, and answer with its status. No
 * identity of each, no order that outlives a crash, no record: what is left is how fast it can be.
 *
 *   nats_agent serve URL CA COUNT    so many agents, a process and a connection each. Prints "up"
 *       once all are subscribed; ends with its stdin.
 *   nats_agent ask URL CA COUNT      tells them to run `true`, waits for so many answers.
 */
#include <sys/wait.h>

#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <nats/nats.h>

#define SUBJECT	    "run"
#define PATIENCE_MS 30000

static void
die(const char *what, natsStatus s)
{
	fprintf(stderr, "nats_agent: %s: %s\n", what, natsStatus_GetText(s));
	exit(1);
}

static natsConnection *
dial(const char *url, const char *ca)
{
	natsConnection *nc = NULL;
	natsOptions *o = NULL;
	natsStatus s = natsOptions_Create(&o);

	if (s == NATS_OK)
		s = natsOptions_SetURL(o, url);
	if (s == NATS_OK)
		s = natsOptions_SetSecure(o, true);
	if (s == NATS_OK)
		s = natsOptions_LoadCATrustedCertificates(o, ca);
	/* What is published leaves at once, not with the next turn of a thread. */
	if (s == NATS_OK)
		s = natsOptions_SetSendAsap(o, true);
	if (s == NATS_OK)
		s = natsConnection_Connect(&nc, o);
	if (s != NATS_OK)
		die(url, s);
	natsOptions_Destroy(o);
	return nc;
}

/* --- an agent -----------------------------------------------------------------------------------
 */

static int
run(const char *program)
{
	char *const words[] = {(char *)(uintptr_t)program, NULL};
	int status = -1;
	pid_t pid;

	if (posix_spawnp(&pid, program, NULL, NULL, words, environ) != 0 ||
		waitpid(pid, &status, 0) != pid)
		return -1;
	return status;
}

static void
on_order(natsConnection *nc, natsSubscription *sub, natsMsg *m, void *arg)
{
	char text[16];

	(void)sub;
	(void)arg;
	snprintf(text, sizeof(text), "%d", run(natsMsg_GetData(m)));
	natsConnection_PublishString(nc, natsMsg_GetReply(m), text);
	natsMsg_Destroy(m);
}

static void
be_agent(const char *url, const char *ca, int told)
{
	natsConnection *nc = dial(url, ca);
	natsSubscription *sub;
	natsStatus s = natsConnection_Subscribe(&sub, nc, SUBJECT, on_order, NULL);

	if (s == NATS_OK)
		s = natsConnection_Flush(nc);
	if (s != NATS_OK)
		die(SUBJECT, s);
	if (write(told, "+", 1) != 1)
		exit(1);
	for (;;)
		pause();
}

static int
serve(const char *url, const char *ca, int count)
{
	pid_t *agents = calloc((size_t)count, sizeof(*agents));
	int up[2], n = 0;
	char c;

	if (agents == NULL || pipe(up) < 0)
		return 1;
	for (int i = 0; i < count; i++) {
		agents[i] = fork();
		if (agents[i] == 0) {
			close(up[0]);
			be_agent(url, ca, up[1]);
		}
		/* One by one: a server that is dialled by hundreds at once turns some away. */
		if (agents[i] > 0 && read(up[0], &c, 1) == 1)
			n++;
	}
	printf("up %d\n", n);
	fflush(stdout);
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
	for (int i = 0; i < count; i++)
		if (agents[i] > 0)
			kill(agents[i], SIGKILL);
	while (wait(NULL) > 0)
		;
	free(agents);
	return n != count;
}

/* --- who asks -----------------------------------------------------------------------------------
 */

static int
ask(const char *url, const char *ca, int count)
{
	natsConnection *nc = dial(url, ca);
	natsSubscription *sub = NULL;
	natsInbox *inbox = NULL;
	natsMsg *m;
	int good = 0;
	natsStatus s = natsInbox_Create(&inbox);

	if (s == NATS_OK)
		s = natsConnection_SubscribeSync(&sub, nc, inbox);
	if (s == NATS_OK)
		s = natsConnection_PublishRequestString(nc, SUBJECT, inbox, "true");
	for (int i = 0; s == NATS_OK && i < count; i++)
		if ((s = natsSubscription_NextMsg(&m, sub, PATIENCE_MS)) == NATS_OK) {
			good += strcmp(natsMsg_GetData(m), "0") == 0;
			natsMsg_Destroy(m);
		}
	if (s != NATS_OK)
		die("answers", s);
	natsSubscription_Destroy(sub);
	natsInbox_Destroy(inbox);
	natsConnection_Destroy(nc);
	printf("%d\n", good);
	return good != count;
}

int
main(int argc, char **argv)
{
	int count = argc == 5 ? atoi(argv[4]) : 0;

	if (count > 0 && strcmp(argv[1], "serve") == 0)
		return serve(argv[2], argv[3], count);
	if (count > 0 && strcmp(argv[1], "ask") == 0)
		return ask(argv[2], argv[3], count);
	fprintf(stderr, "usage: nats_agent serve|ask URL CA COUNT\n");
	return 2;
}
