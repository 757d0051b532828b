/*
 * Enters the network process's sandbox and looks up names, one for each line that it reads:
 *
 *   sandbox_look_up DIR
 *
 * prints an address or why there is none. As in the agent, each look-up has a thread of its own.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "node/uplink_sandbox.h"
#include "proto/base/err.h"

static void *
look_up(void *arg)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
	char text[NI_MAXHOST];

	int r = getaddrinfo(arg, NULL, &hints, &found);
	if (r == 0)
		r = getnameinfo(found->ai_addr, found->ai_addrlen, text, sizeof(text), NULL, 0,
			NI_NUMERICHOST);
	puts(r == 0 ? text : gai_strerror(r));
	fflush(stdout);
	if (found != NULL)
		freeaddrinfo(found);
	return NULL;
}

int
main(int argc, char **argv)
{
	char said[SANDBOX_SAID_MAX], line[256];
	struct hw_err err = HW_ERR_INIT;
	pthread_t thread;

	if (argc != 2 || uplink_sandbox_enter(said, argv[1], &err) < 0) {
		fprintf(stderr, "%s\n", hw_err_text(&err));
		return 1;
	}
	puts(said);
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (pthread_create(&thread, NULL, look_up, line) != 0)
			return 1;
		pthread_join(thread, NULL);
	}
	return 0;
}
